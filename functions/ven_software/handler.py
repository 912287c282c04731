"""GET /api/{version}/software/ven/image: the pairing script and the VEN's packages, to anybody;
GET /ven/v1/software/{release}: what a package is known by."""

import base64
from pathlib import Path
from urllib.parse import parse_qs

from pce.errors import Invalid, NotFound, Problem
from pce.objects.ven_release import image_path
from pce.runtime.http import Reply, Request, http_function, json_reply
from pce.runtime.ven_packages import ven_package
from ven_protocol.messages import SoftwareRelease

SCRIPT = "pair.sh"
PACKAGE = "ven.tar.gz"
LARGEST_PROFILE_ID = 2**53
"""Identifiers are JSON numbers."""

_TEMPLATE = Path(__file__).with_name(SCRIPT).read_text()


@http_function
def handler(request: Request) -> Reply:
    """200 with the script, a package or its description. Nothing that the caller says gets into
    the script but two whole numbers."""
    if release := request.parameters.get("release"):
        return _described(release)
    query = {name: values[-1] for name, values in parse_qs(request.raw_query).items()}
    version = _number("version", request.parameters.get("version", "").removeprefix("v"), 999)
    if query.get("package") == PACKAGE:
        content = base64.b64encode(ven_package(query.get("release", "")).content).decode()
        return _reply("application/gzip", content, is_base64=True)
    if query.get("pair_script") == SCRIPT:
        profile = _number("profile_id", query.get("profile_id", ""), LARGEST_PROFILE_ID)
        newest = ven_package()
        script = (
            _TEMPLATE.replace("@RELEASE@", newest.release)
            .replace("@PACKAGE_SHA256@", newest.sha256)
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


def _described(release: str) -> Reply:
    package = ven_package(release)
    described = SoftwareRelease(
        release=package.release,
        package=image_path(package.release),
        size_bytes=len(package.content),
        sha256=package.sha256,
    )
    return json_reply(200, described)


def _number(name: str, text: str, largest: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 17 and int(text) <= largest):
        message = f"{name} is a whole number of at most {largest}, not {text[:20]!r}"
        raise Invalid(Problem("invalid_field", message, name))
    return int(text)


def _reply(content_type: str, body: str, is_base64: bool = False) -> Reply:
    headers = {"content-type": content_type, "cache-control": "no-cache"}
    return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": is_base64}
