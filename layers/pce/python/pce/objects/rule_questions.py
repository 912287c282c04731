"""What clients send to ask for rules: batches of edges (``rule_coverage``), and ``rule_search``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import tail
from pce.objects.fields import INVALID, Choices, Flag, Integer, ListOf, Record, Shape, Text
from pce.objects.rule import PROVIDERS, Actor, ServiceEntry
from pce.objects.service import port_problems
from pce.policy.estate import Actor as EstateActor
from pce.policy.traffic import Traffic
from ven_protocol.policy import Service

MAX_EDGES = 1_000
"""Edges in one coverage call: public clients send 100."""
MAX_SERVICES = 1_000
"""Services of one edge; all edges of a call have at most ten times as many."""
DEFAULT_FOUND = 500
"""Rules that a search answers when the client does not say how many."""

_EDGE_SERVICE = Record(
    Shape(
        {
            "protocol": Integer(-1, 255),
            "port": Integer(-1, 65_535),
            "to_port": Integer(0, 65_535),
            "icmp_type": Integer(0, 255),
            "icmp_code": Integer(0, 255),
            "process_name": Text(1024),
            "service_name": Text(),
        },
        required=("protocol",),
    ),
    also=lambda entry, at: _edge_service_problems(entry, at),
)
_RESOLVE_AS = Choices(("workloads", "virtual_services"))
_END = Actor({"workload": "workloads", "ip_list": "ip_lists"})
_EDGE = Record(
    Shape(
        {
            "source": _END,
            "destination": _END,
            "services": ListOf(_EDGE_SERVICE, MAX_SERVICES),
            "resolve_labels_as": Record(
                Shape({"source": _RESOLVE_AS, "destination": _RESOLVE_AS}), nullable=True
            ),
        },
        required=("source", "destination", "services"),
    )
)
_ACTOR = Actor(PROVIDERS, words=("ams", "container_host"))
_SEARCH = Shape(
    {
        "providers": ListOf(_ACTOR),
        "consumers": ListOf(_ACTOR),
        "providers_or_consumers": ListOf(_ACTOR),
        "ingress_services": ListOf(ServiceEntry()),
        "resolve_actors": Flag(),
        "include_deny_rules": Flag(),
        "max_results": Integer(0, 2**31 - 1),
    }
)


@dataclass(frozen=True, slots=True)
class Edge:
    """A source and a destination, each a workload or an IP list, and the traffic between them."""

    source: EstateActor
    destination: EstateActor
    services: tuple[Traffic, ...]


@dataclass(frozen=True, slots=True)
class RuleSearch:
    """What rules are wanted. Each actor that is named must be meant; of services, one."""

    providers: tuple[EstateActor, ...]
    consumers: tuple[EstateActor, ...]
    either: tuple[EstateActor, ...]
    services: tuple[str | Service, ...]
    """Ids of services, and inline ones."""
    resolve: bool
    """Rules that mean the actor, in whatever words; otherwise those that name it."""
    deny_rules: bool
    """Deny rules and boundaries too: clients that do not ask know none."""
    most: int
    hrefs: frozenset[str]
    """Of everything that is named, provisionable ones in draft form."""


def coverage_edges(body: Any) -> tuple[list[Edge], frozenset[str]]:
    """The edges of a ``rule_coverage`` call, in order, and the hrefs that they name. Raises
    :class:`Invalid` with everything that is wrong."""
    problems: list[Problem] = []
    entries = ListOf(_EDGE, MAX_EDGES).check(body, "", problems)
    if problems:
        raise Invalid(problems)
    edges = [
        Edge(
            source=_actor(entry["source"]),
            destination=_actor(entry["destination"]),
            services=tuple(_traffic(service) for service in entry["services"]),
        )
        for entry in entries
    ]
    services = sum(len(edge.services) for edge in edges)
    if services > 10 * MAX_SERVICES:
        message = f"{services} services in one call, at most {10 * MAX_SERVICES} are allowed"
        raise Invalid(Problem("too_many_services", message, "services"))
    ends = [entry[end] for entry in entries for end in ("source", "destination")]
    return edges, _hrefs(reference for end in ends for reference in end.values())


def rule_search(body: Any) -> RuleSearch:
    """A ``rule_search`` call. Raises :class:`Invalid` with everything that is wrong."""
    clean = _SEARCH.clean(body)
    services = clean.get("ingress_services") or ()
    sides = ("providers", "consumers", "providers_or_consumers")
    actors = [actor for side in sides for actor in clean.get(side) or ()]
    references = [value for actor in actors for value in actor.values()] + list(services)
    return RuleSearch(
        providers=tuple(map(_actor, clean.get("providers") or ())),
        consumers=tuple(map(_actor, clean.get("consumers") or ())),
        either=tuple(map(_actor, clean.get("providers_or_consumers") or ())),
        services=tuple(tail(s["href"]) if "href" in s else _inline(s) for s in services),
        resolve=bool(clean.get("resolve_actors")),
        deny_rules=bool(clean.get("include_deny_rules")),
        most=clean.get("max_results", DEFAULT_FOUND),
        hrefs=_hrefs(references),
    )


def _edge_service_problems(entry: Mapping[str, Any], at: str) -> Iterable[Problem]:
    yield from port_problems({**entry, "proto": entry["protocol"]}, at)
    if entry.get("to_port") not in (None, entry.get("port")):
        message = f"{at}: ask for one port at a time; rules may cover a part of a range"
        yield Problem(INVALID, message, at)


def _actor(actor: Mapping[str, Any]) -> EstateActor:
    [(kind, value)] = ((name, said) for name, said in actor.items() if name != "exclusion")
    if kind == "actors":
        return EstateActor(value)
    return EstateActor(kind, tail(value["href"]))  # type: ignore[arg-type]  # one of the shape's


def _hrefs(references: Iterable[Any]) -> frozenset[str]:
    return frozenset(r["href"] for r in references if isinstance(r, Mapping) and "href" in r)


def _inline(entry: Mapping[str, Any]) -> Service:
    port = entry.get("port")
    return Service(
        proto=entry["proto"],
        port=None if port is None or port < 0 else port,
        to_port=entry.get("to_port"),
    )


def _traffic(service: Mapping[str, Any]) -> Traffic:
    port = service.get("port")
    return Traffic(
        proto=service["protocol"],
        port=None if port is None or port < 0 else port,
        icmp_type=service.get("icmp_type"),
        icmp_code=service.get("icmp_code"),
    )
