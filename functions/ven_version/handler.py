"""ANY /ven/{proxy+}: whatever is no known resource of the spoken version is refused clearly."""

from pce.runtime.http import Event, Reply, json_reply
from ven_protocol.limits import SUPPORTED_VERSIONS
from ven_protocol.messages import Problem


def handler(event: Event, context: object) -> Reply:
    """404 for an unknown resource of a spoken version, else 406 with the versions spoken."""
    asked = str(event["rawPath"]).removeprefix("/ven/").partition("/")[0]
    spoken = [f"v{version}" for version in SUPPORTED_VERSIONS]
    if asked in spoken:
        message = f"{event['rawPath']} is no resource of the VEN API; see docs/ven-api/openapi.yaml"
        return json_reply(404, [Problem(token="not_found", message=message)])
    problem = Problem(
        token="unsupported_protocol_version",
        message=f"this PCE speaks VEN protocol {', '.join(spoken)}, not {asked!r}; install a VEN"
        " that speaks one of them",
        supported_versions=list(SUPPORTED_VERSIONS),
    )
    return json_reply(406, [problem])
