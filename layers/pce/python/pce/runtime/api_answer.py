"""One request to the management API, answered: the row of ``api_routes.py`` that fits, who may, and
what its endpoint says."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pce.access.roles import VIEWER, Right
from pce.errors import Conflict, Invalid, NotAllowed, TooLarge
from pce.runtime.api_access import right_to
from pce.runtime.api_call import Call, Endpoint, api_path, fitting, no_content, ok
from pce.runtime.api_event_types import event_type_of
from pce.runtime.api_gate import admit, record_failure, record_not_allowed
from pce.runtime.api_page import POLICY, page
from pce.runtime.api_routes import ENDPOINTS
from pce.runtime.http import Reply, Request, json_reply
from pce.runtime.published_api import openapi
from pce.usecases.stores import Stores

_FORMS = {
    "org": r"\d{1,9}",
    "version": r"draft|active|\d{1,9}",
    "number": r"\d{1,9}",
    "name": r"[^/]+",  # of an interface, percent-encoded
}
_ANY_ID = r"[^/]{1,255}"
"""What may stand for a name in a path, unless it is listed. A sort key holds 1,024 bytes: DynamoDB
refuses to look for a longer one."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table, ready to be compared with a path."""

    method: str
    path: str
    pattern: re.Pattern[str]
    endpoint: Endpoint
    event_type: str
    """Of the event that it writes when it changes something."""
    right: Right
    """Who may use it, from the table in ``api_access.py``."""

    @property
    def changes(self) -> bool:
        """Whether it changes what an org has; what every viewer may do are questions."""
        return self.method != "GET" and VIEWER not in self.right.roles


def _compiled() -> Iterator[Route]:
    for method, path, endpoint in ENDPOINTS:
        pattern = re.sub(
            r"\{(\w+)\}",
            lambda match: f"(?P<{match[1]}>{_FORMS.get(match[1], _ANY_ID)})",
            path,
        )
        event_type, right = event_type_of(method, path), right_to(method, path)
        yield Route(method, path, re.compile(pattern), endpoint, event_type, right)


ROUTES = tuple(_compiled())


def document() -> dict[str, Any]:
    """The OpenAPI document of all this."""
    return openapi(
        tuple((r.method, r.path, r.endpoint, r.right, r.event_type, r.changes) for r in ROUTES)
    )


def _page() -> Reply:
    headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": POLICY}
    return {"statusCode": 200, "headers": headers, "body": page(document())}


_OPEN: Mapping[str, Callable[[], Reply]] = {
    "/node_available": lambda: ok({"node_available": True}),
    "/noop": no_content,
    "/openapi.json": lambda: ok(document()),
    "/docs": _page,
}
"""GET without credentials: whether anybody is there, and what the API is."""


def answer(request: Request, stores: Stores, now: float) -> Reply:
    """The answer to one request. Raises a ``PceError`` for whatever is wrong with it."""
    if request.method == "HEAD":
        whole = answer(replace(request, method="GET"), stores, now)
        return {**whole, "body": "", "isBase64Encoded": False}
    path = api_path(request.path)
    if path in _OPEN and request.method == "GET":
        return fitting(_OPEN[path](), request)
    routes = [(route, match) for route in ROUTES if (match := route.pattern.fullmatch(path))]
    if not routes:
        return _refusal(404, "not_found", f"there is nothing at {request.path}")
    for route, match in routes:
        if route.method == request.method:
            call = admit(request, match.groupdict(), route.right, stores, now)
            return _answered(call, route)
    allowed = ", ".join(sorted({route.method for route, _ in routes}))
    message = f"{request.method} is not possible at {request.path}; {allowed} is"
    return _refusal(405, "method_not_allowed_error", message, {"allow": allowed})


def _answered(call: Call, route: Route) -> Reply:
    """What the endpoint answers; a change that it refuses is written down."""
    try:
        return fitting(route.endpoint(call), call.request)
    except NotAllowed as error:
        record_not_allowed(call.caller, error, call.stores)
        raise
    except (Invalid, Conflict, TooLarge) as error:
        if route.changes:
            record_failure(call.caller, route.event_type, error, call.stores)
        raise


def _refusal(
    status: int, token: str, message: str, headers: Mapping[str, str] | None = None
) -> Reply:
    return json_reply(status, [{"token": token, "message": message}], headers)
