"""GET /api/{version}/software/ven/image: the pairing script and the VEN package, to anybody."""

import base64
from pathlib import Path
from urllib.parse import parse_qs

from pce.errors import Invalid, NotFound, Problem
from pce.runtime.http import Reply, Request, http_function
from pce.runtime.ven_package import ven_package

SCRIPT = "pair.sh"
PACKAGE = "ven.tar.gz"
LARGEST_PROFILE_ID = 2**53
"""Identifiers are JSON numbers."""

_TEMPLATE = Path(__file__).with_name(SCRIPT).read_text()


@http_function
def handler(request: Request) -> Reply:
    """200 with the script or the package. Nothing that the caller says gets into the script but
    two whole numbers."""
    query = {name: values[-1] for name, values in parse_qs(request.raw_query).items()}
    version = _number("version", request.parameters.get("version", "").removeprefix("v"), 999)
    if query.get("package") == PACKAGE:
        content = base64.b64encode(ven_package().content).decode()
        return _reply("application/gzip", content, is_base64=True)
    if query.get("pair_script") == SCRIPT:
        profile = _number("profile_id", query.get("profile_id", ""), LARGEST_PROFILE_ID)
        script = (
            _TEMPLATE.replace("@PACKAGE_SHA256@", ven_package().sha256)
            .replace("@PROFILE_ID@", str(profile))
            .replace("@API_VERSION@", f"v{version}")
        )
        return _reply("text/x-shellscript", script)
    raise NotFound(
        Problem(
            "not_found",
            f"there is ?pair_script={SCRIPT}&profile_id=ID and ?package={PACKAGE} here;"
            " other systems than Linux have no VEN yet",
        )
    )


def _number(name: str, text: str, largest: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 17 and int(text) <= largest):
        message = f"{name} is a whole number of at most {largest}, not {text[:20]!r}"
        raise Invalid(Problem("invalid_field", message, name))
    return int(text)


def _reply(content_type: str, body: str, is_base64: bool = False) -> Reply:
    headers = {"content-type": content_type, "cache-control": "no-cache"}
    return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": is_base64}
