"""Which function answers what: the whole wiring of triggers to functions, in one place.

``infra`` declares the same for AWS; a test compares the two. Pure: text in, a match out.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API, written as API Gateway writes it."""

    method: str
    """An HTTP method, or ``ANY``."""
    path: str
    """``{name}`` stands for one segment, ``{name+}`` for all that follow (at least one)."""
    function: str

    @property
    def key(self) -> str:
        """The route key as it appears in events, for example ``POST /ven/v1/activate``."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Match:
    """A route that answers a request, and what its variables stand for (decoded)."""

    route: Route
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """A queue whose messages invoke a function."""

    queue: str
    function: str
    batch_size: int
    """Most messages per invocation."""


_VEN = "/ven/v1/orgs/{org_id}/vens/{ven_id}"


def _ven(function: str, method: str, *resources: str) -> tuple[Route, ...]:
    return tuple(Route(method, f"{_VEN}/{resource}", function) for resource in resources)


HTTP_ROUTES: tuple[Route, ...] = (
    Route("POST", "/ven/v1/activate", "ven_activate"),
    *_ven("ven_activate", "POST", "clone"),
    *_ven("ven_ticket", "POST", "ticket"),
    *_ven("ven_heartbeat", "POST", "heartbeat"),
    *_ven("ven_flows", "POST", "flows"),
    *_ven("ven_policy", "GET", "policy"),
    *_ven("ven_policy", "POST", "policy/applied"),
    *_ven("ven_reports", "PUT", "interfaces", "services", "users", "compatibility"),
    *_ven("ven_reports", "PUT", "container_workloads"),
    *_ven("ven_reports", "GET", "container_workloads"),
    *_ven("ven_reports", "POST", "tampering", "support_reports"),
    *_ven(
        "ven_lifecycle",
        "POST",
        *("suspend", "unsuspend", "goodbye", "deactivate", "token", "lost", "recovery"),
    ),
    Route("GET", "/ven/v1/software/{release}", "ven_software"),
    Route("ANY", "/ven/{proxy+}", "ven_version"),
    Route("GET", "/api/{version}/software/ven/image", "ven_software"),
    Route("ANY", "/api/v2/{proxy+}", "api"),
)

#: Routes of the WebSocket API.
BOLT_ROUTES: dict[str, str] = {
    "$connect": "bolts_connect",
    "$default": "bolts_message",
}

QUEUE_TRIGGERS: tuple[QueueTrigger, ...] = (
    QueueTrigger("compile.fifo", "policy_compile", batch_size=10),
    QueueTrigger("bolts", "bolts_fan_out", batch_size=10),
    QueueTrigger("traffic_queries", "traffic_query", batch_size=1),
    QueueTrigger("streams.fifo", "stream_out", batch_size=1),
)

SCHEDULED = ("sweep", "stream_wake")
"""What runs every minute, one after the other."""

ARCHIVE_PLACE = "archive_place"
"""Invoked by Firehose."""

ORG_CREATE = "org_create"
"""Invoked by the operator, on this host once at the first start."""


def functions() -> frozenset[str]:
    """Names of all functions that something here triggers."""
    return frozenset(
        {route.function for route in HTTP_ROUTES}
        | set(BOLT_ROUTES.values())
        | {trigger.function for trigger in QUEUE_TRIGGERS}
        | {*SCHEDULED, ARCHIVE_PLACE, ORG_CREATE}
    )


_VARIABLE = re.compile(r"\{(\w+)(\+?)\}")


def _pattern(path: str) -> re.Pattern[str]:
    """The regular expression for a route's path; variables become named groups."""
    parts = []
    end = 0
    for variable in _VARIABLE.finditer(path):
        parts.append(re.escape(path[end : variable.start()]))
        parts.append(f"(?P<{variable[1]}>{'.+' if variable[2] else '[^/]+'})")
        end = variable.end()
    return re.compile("".join(parts) + re.escape(path[end:]))


def _precedence(route: Route) -> tuple[bool, list[bool], bool]:
    """Sort key: full paths before greedy ones, literal segments before variables, ANY last."""
    segments = ["{" in segment for segment in route.path.split("/")]
    return ("+}" in route.path, segments, route.method == "ANY")


class RouteTable:
    """Finds the route for a request the way an HTTP API does: the most specific one wins."""

    def __init__(self, routes: tuple[Route, ...] = HTTP_ROUTES) -> None:
        self._routes = [(_pattern(r.path), r) for r in sorted(routes, key=_precedence)]

    def match(self, method: str, raw_path: str) -> Match | None:
        """The route for a method and a still percent-encoded path, or None (a 404 on AWS).

        Cost: one regular expression per route, a few dozen.
        """
        for pattern, route in self._routes:
            if route.method not in ("ANY", method):
                continue
            found = pattern.fullmatch(raw_path)
            if found is not None:
                return Match(route, {k: unquote(v) for k, v in found.groupdict().items()})
        return None
