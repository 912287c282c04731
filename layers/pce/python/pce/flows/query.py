"""A traffic query as clients send it, checked and in our own terms.

The request is that of ``POST /orgs/{id}/traffic_flows/async_queries``. What a query selects is
``selection.py``'s matter, what it answers ``answer.py``'s.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from pce.errors import Invalid, Problem

MAX_RESULTS = 200_000
"""Records that one query may ask for; the public clients' own limit."""

MAX_ACTORS = 10_000
"""Actors in one query: more are better said as an IP list or a label group."""

ActorKind = Literal[
    "label", "label_group", "workload", "ip_list", "ip_address", "fqdn", "transmission", "actors"
]
Decision = Literal["allowed", "potentially_blocked", "blocked", "unknown"]
BoundaryDecision = Literal["blocked", "blocked_by_override_deny", "blocked_non_illumio_rule"]
Cast = Literal["unicast", "broadcast", "multicast"]

_REFERENCES = ("label", "label_group", "workload", "ip_list")


class Actor(Struct, frozen=True):
    """One end of traffic, or what is common to many."""

    kind: ActorKind
    value: str
    """An href; an address or a network; a name; ``ams`` for all managed workloads."""


class Side(Struct, frozen=True):
    """Sources or destinations."""

    include: tuple[tuple[Actor, ...], ...] = ()
    """Any of these groups, of each group all actors. None at all: anybody."""
    exclude: tuple[Actor, ...] = ()
    """None of these."""


class ServiceFilter(Struct, frozen=True):
    """A service matches when all that is said here matches."""

    port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    to_port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    """Last port of a range that begins at ``port``."""
    proto: Annotated[int, Meta(ge=-1, le=255)] | None = None
    """-1 is any, as in services."""
    process_name: str | None = None
    windows_service_name: str | None = None
    icmp_type: Annotated[int, Meta(ge=0, le=255)] | None = None
    icmp_code: Annotated[int, Meta(ge=0, le=255)] | None = None


class Query(Struct, frozen=True, kw_only=True):
    """What to look for. Everything left at its default restricts nothing."""

    start: int | None = None
    """Epoch seconds, both ends inclusive: flows that were seen between them."""
    end: int | None = None
    sources: Side = Side()
    destinations: Side = Side()
    either_side: bool = False
    """The includes of one side suffice (``sources_destinations_query_op`` is ``or``)."""
    services: tuple[ServiceFilter, ...] = ()
    services_excluded: tuple[ServiceFilter, ...] = ()
    decisions: frozenset[Decision] = frozenset()
    boundary_decisions: frozenset[BoundaryDecision] = frozenset()
    max_results: int = MAX_RESULTS
    ip_lists_hold_workloads: bool = False
    """IP lists select workloads too, by their addresses, and not strangers alone."""


class _Href(Struct):
    href: str


class _Value(Struct):
    value: str


class _Actor(Struct):
    label: _Href | None = None
    label_group: _Href | None = None
    workload: _Href | None = None
    ip_list: _Href | None = None
    ip_address: str | _Value | None = None
    fqdn: str | None = None
    transmission: Cast | None = None
    actors: Literal["ams"] | None = None


class _Side(Struct):
    include: list[list[_Actor]] | None = None
    exclude: list[_Actor] | None = None


class _Services(Struct):
    include: list[ServiceFilter] | None = None
    exclude: list[ServiceFilter] | None = None


class _Request(Struct):
    start_date: str | None = None
    end_date: str | None = None
    sources: _Side | None = None
    destinations: _Side | None = None
    services: _Services | None = None
    policy_decisions: list[Decision] | None = None
    boundary_decisions: list[BoundaryDecision] | None = None
    max_results: Annotated[int, Meta(ge=0)] | None = None
    exclude_workloads_from_ip_list_query: bool | None = None
    sources_destinations_query_op: Literal["and", "or"] | None = None


def validate_query(document: Any) -> Query:
    """The query in a request's JSON document. Unknown attributes are ignored.

    Absent, null, ``[]`` and ``[[]]`` restrict nothing. Raises :class:`Invalid`: with the first
    attribute of a wrong type, or else with every value that makes no sense. Whether hrefs exist is
    looked at by ``selection.Selection``.
    """
    try:
        request = msgspec.convert(document, _Request)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        raise Invalid(_problem(path.rstrip("`") or None, message)) from None
    problems: list[Problem] = []
    start = _epoch(request.start_date, "start_date", problems, last=False)
    end = _epoch(request.end_date, "end_date", problems, last=True)
    if start is not None and end is not None and start > end:
        problems.append(_problem("end_date", f"{request.end_date} is before start_date"))
    if (request.max_results or 0) > MAX_RESULTS:
        problems.append(_problem("max_results", f"at most {MAX_RESULTS} records can be asked for"))
    services = request.services or _Services()
    query = Query(
        start=start,
        end=end,
        sources=_side(request.sources or _Side(), "sources", problems),
        destinations=_side(request.destinations or _Side(), "destinations", problems),
        either_side=request.sources_destinations_query_op == "or",
        services=_services(services.include or [], "services.include", problems),
        services_excluded=_services(services.exclude or [], "services.exclude", problems),
        decisions=frozenset(request.policy_decisions or ()),
        boundary_decisions=frozenset(request.boundary_decisions or ()),
        max_results=MAX_RESULTS if request.max_results is None else request.max_results,
        ip_lists_hold_workloads=request.exclude_workloads_from_ip_list_query is False,
    )
    actors = sum(len(list(_actors(side))) for side in (query.sources, query.destinations))
    if actors > MAX_ACTORS:
        problems.append(
            _problem("sources", f"{actors} actors in one query, at most {MAX_ACTORS} are allowed")
        )
    if problems:
        raise Invalid(problems)
    return query


def _actors(side: Side) -> Iterator[Actor]:
    for group in side.include:
        yield from group
    yield from side.exclude


def _side(side: _Side, name: str, problems: list[Problem]) -> Side:
    groups = [
        tuple(
            _actor(actor, name, f"{name}.include[{i}][{j}]", problems)
            for j, actor in enumerate(group)
        )
        for i, group in enumerate(side.include or [])
    ]
    return Side(
        # [[]] is anybody, as [] is; so is an empty group beside others, since groups are joined
        # by "or".
        include=() if () in groups else tuple(groups),
        exclude=tuple(
            _actor(actor, name, f"{name}.exclude[{i}]", problems)
            for i, actor in enumerate(side.exclude or [])
        ),
    )


def _actor(actor: _Actor, side: str, at: str, problems: list[Problem]) -> Actor:
    said: list[tuple[ActorKind, Any]] = [
        (kind, value) for kind in get_args(ActorKind) if (value := getattr(actor, kind)) is not None
    ]
    if len(said) != 1:
        known = ", ".join(get_args(ActorKind))
        problems.append(
            _problem(at, f"an actor names exactly one of {known}; this one {len(said)}")
        )
        return Actor("actors", "ams")
    kind, value = said[0]
    if kind in _REFERENCES:
        return Actor(kind, value.href)
    if kind == "ip_address":
        text = value if isinstance(value, str) else value.value
        try:
            ip_network(text, strict=False)
        except ValueError:
            problems.append(_problem(at, f"{text!r} is neither an IP address nor a network"))
        return Actor(kind, text)
    if kind == "fqdn" and side != "destinations":
        problems.append(_problem(at, "fqdn is known of destinations only"))
    if kind == "transmission" and not at.startswith("destinations.exclude"):
        problems.append(_problem(at, "transmission can only be excluded, and of destinations"))
    return Actor(kind, value)


def _services(
    filters: list[ServiceFilter], at: str, problems: list[Problem]
) -> tuple[ServiceFilter, ...]:
    for index, service in enumerate(filters):
        if service.to_port is not None and (service.port is None or service.to_port < service.port):
            problems.append(
                _problem(f"{at}[{index}].to_port", "ends a range of ports that begins at port")
            )
    # An empty filter matches every service: among the included it says nothing.
    return () if ServiceFilter() in filters and at.endswith("include") else tuple(filters)


def _epoch(text: str | None, field: str, problems: list[Problem], *, last: bool) -> int | None:
    """Epoch seconds. A bare date is its first second, or as an end its last; years before 1970 (a
    client's zero time) are open ends."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problems.append(
            _problem(field, f"{text!r} is not an RFC 3339 time such as 2026-01-31T12:00:00Z")
        )
        return None
    if moment.year < 1970:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if last and len(text) == len("2026-01-31"):
        moment += timedelta(days=1, seconds=-1)
    return int(moment.timestamp())


def _problem(field: str | None, message: str) -> Problem:
    return Problem("invalid_traffic_query", f"{field or 'the body'}: {message}", field)
