"""Which summaries of a batch a query selects.

A query is turned into tests of an address, of a profile and of a time. In a batch each test runs
once for every distinct address and profile; the rows themselves only look the results up.
"""

import re
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from pce.errors import Invalid, Problem
from pce.flows.batch import StoredBatch
from pce.flows.directory import Workload
from pce.flows.profiles import Profile
from pce.flows.query import (
    Actor,
    BoundaryDecision,
    Cast,
    Decision,
    Query,
    ServiceFilter,
    Side,
)
from pce.policy.addresses import Interval, interval

DECISIONS: tuple[Decision, ...] = ("allowed", "potentially_blocked", "blocked", "unknown")
"""Names of ``pd`` 0 to 3."""
BOUNDARY_DECISIONS: tuple[BoundaryDecision | None, ...] = (
    None,
    "blocked",
    "blocked_by_override_deny",
    "blocked_non_illumio_rule",
)
"""Names of ``pd_qualifier`` 0 to 3."""
_PORT_PROTOCOLS = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP, UDP-Lite."""
TRANSMISSIONS: dict[str, Cast] = {"U": "unicast", "M": "multicast", "B": "broadcast"}


class IpListContent(Struct, frozen=True):
    """What an IP list holds."""

    intervals: Sequence[Interval] = ()
    """Disjoint and sorted, exclusions already taken out (``pce.policy.addresses.subtract``)."""
    fqdns: tuple[str, ...] = ()
    """Names; ``*.`` in front stands for any labels."""


class Resolver(Protocol):
    """What hrefs in queries mean now. Each method returns None for an href that the org has not."""

    def label_ids(self, href: str) -> frozenset[str] | None:
        """The id of a label, or those of all labels of a label group and its sub-groups."""

    def workload_id(self, href: str) -> uuid.UUID | None:
        """The id of a workload; of a deleted one too."""

    def ip_list(self, href: str) -> IpListContent | None:
        """The content of an IP list."""


_Found = TypeVar("_Found")


class _End(NamedTuple):
    """One end of a flow."""

    address: bytes
    workload: Workload | None
    labels: frozenset[str]
    name: str | None
    """By which the reporter knew it; of destinations only."""


_Test = Callable[[_End], bool]

_EXCLUDED, _OTHER, _INCLUDED = range(3)
"""What a side's filter says of an end."""


class Selection:
    """A query, ready to be held against batches."""

    def __init__(self, query: Query, resolver: Resolver) -> None:
        """Raises :class:`Invalid`, with one problem for each href that means nothing."""
        problems: list[Problem] = []
        self._query = query
        self._source = _SideTest(query.sources, query, resolver, "sources", problems)
        self._destination = _SideTest(query.destinations, query, resolver, "destinations", problems)
        if problems:
            raise Invalid(problems)
        # A side without includes does not take part in "or": it would make it true for all.
        self._either = bool(
            query.either_side and query.sources.include and query.destinations.include
        )

    def rows(self, batch: StoredBatch) -> list[int]:
        """The selected rows, rising.

        Cost: a microsecond for every distinct address and profile, a tenth of one for every row.
        """
        admitted = [admits(self._query, profile) for profile in batch.profiles]
        if not any(admitted):
            return []
        ends = [
            _End(address, workload, _label_ids(workload), None)
            for address, workload in zip(batch.addresses, batch.workloads, strict=True)
        ]
        if self._destination.by_name and any(batch.fqdn):
            rows = self._rows_by_name(batch, admitted, ends)
        else:
            rows = self._rows_by_address(batch, admitted, ends)
        start, end = self._query.start, self._query.end
        if rows and start is not None:
            rows = [row for row in rows if batch.last[row] >= start]
        if rows and end is not None:
            # A flow that began before the window was seen in it only from the window's start.
            rows = [
                row
                for row in rows
                if min(max(batch.first[row], batch.start), batch.last[row]) <= end
            ]
        return rows

    def _rows_by_address(
        self, batch: StoredBatch, admitted: list[bool], ends: list[_End]
    ) -> list[int]:
        sources = bytes(map(self._source.verdict, ends))
        destinations = bytes(map(self._destination.verdict, ends))
        # What the other side must be, given what the reporter's own is: three is out of reach.
        least = (3, 2, 1) if self._either else (3, 3, 2)
        passes = {
            (side, level): bytes(verdict >= level for verdict in verdicts)
            for side, verdicts in (("I", sources), ("O", destinations))
            for level in (1, 2, 3)
        }
        nobody = bytes(len(ends))
        tables = [
            passes[
                profile.dir, least[(destinations if profile.dir == "I" else sources)[profile.own]]
            ]
            if admitted[index]
            else nobody
            for index, profile in enumerate(batch.profiles)
        ]
        return [
            row
            for row, (profile, peer) in enumerate(zip(batch.profile, batch.peer, strict=True))
            if tables[profile][peer]
        ]

    def _rows_by_name(
        self, batch: StoredBatch, admitted: list[bool], ends: list[_End]
    ) -> list[int]:
        """The same row by row, for queries that ask for names of destinations."""
        destinations: dict[tuple[int, int], int] = {}
        rows = []
        for row, (index, peer) in enumerate(zip(batch.profile, batch.peer, strict=True)):
            if not admitted[index]:
                continue
            profile = batch.profiles[index]
            src, dst = (peer, profile.own) if profile.dir == "I" else (profile.own, peer)
            key = dst, batch.fqdn[row]
            if key not in destinations:
                end = ends[dst]._replace(name=batch.strings[batch.fqdn[row]])
                destinations[key] = self._destination.verdict(end)
            # Three takes an included end and one that is not excluded, four takes two included.
            if self._source.verdict(ends[src]) + destinations[key] >= (3 if self._either else 4):
                rows.append(row)
        return rows


def admits(query: Query, profile: Profile) -> bool:
    """Does the query ask for such a service, decision and transmission?"""
    if query.decisions and DECISIONS[profile.pd] not in query.decisions:
        return False
    if query.boundary_decisions and boundary_decision(profile) not in query.boundary_decisions:
        return False
    transmission = Actor("transmission", TRANSMISSIONS[profile.transmission])
    if transmission in query.destinations.exclude:
        return False
    if query.services and not any(_serves(service, profile) for service in query.services):
        return False
    return not any(_serves(service, profile) for service in query.services_excluded)


def boundary_decision(profile: Profile) -> BoundaryDecision | None:
    """Which kind of deny blocked, or would block; None when none did."""
    if profile.pd not in (1, 2) or profile.pd_qualifier is None:
        return None
    return BOUNDARY_DECISIONS[profile.pd_qualifier]


def _serves(service: ServiceFilter, profile: Profile) -> bool:
    if service.proto not in (None, -1, profile.proto):
        return False
    if service.port is not None:
        last = service.port if service.to_port is None else service.to_port
        # A port of an ICMP flow, or of GRE, is no port that anybody asks for.
        if profile.proto not in _PORT_PROTOCOLS or not service.port <= profile.port <= last:
            return False
    return (
        service.icmp_type in (None, profile.icmp_type)
        and service.icmp_code in (None, profile.icmp_code)
        and _is_program(service.process_name, profile.process)
        and _is_program(service.windows_service_name, profile.service)
    )


def _is_program(wanted: str | None, found: str | None) -> bool:
    """``nginx`` finds ``/usr/sbin/nginx`` and ``NGINX``; nothing wanted finds all."""
    if not wanted:
        return True
    if found is None:
        return False
    wanted, found = wanted.casefold(), found.casefold()
    return found == wanted or re.split(r"[/\\]", found)[-1] == wanted


def _label_ids(workload: Workload | None) -> frozenset[str]:
    return frozenset([label.id for label in workload.labels]) if workload else frozenset()


class _SideTest:
    """The filter of sources, or of destinations."""

    def __init__(
        self, side: Side, query: Query, resolver: Resolver, name: str, problems: list[Problem]
    ) -> None:
        self.by_name = False
        self._query = query
        self._resolver = resolver
        self._name = name
        self._problems = problems
        self._include = [[self._test(actor) for actor in group] for group in side.include]
        self._exclude = [
            self._test(actor) for actor in side.exclude if actor.kind != "transmission"
        ]

    def verdict(self, end: _End) -> int:
        """Excluded, included, or neither."""
        if any(test(end) for test in self._exclude):
            return _EXCLUDED
        if not self._include or any(all(test(end) for test in group) for group in self._include):
            return _INCLUDED
        return _OTHER

    def _test(self, actor: Actor) -> _Test:
        match actor.kind:
            case "label" | "label_group":
                labels = self._found(actor, self._resolver.label_ids(actor.value), frozenset())
                return lambda end: not labels.isdisjoint(end.labels)
            case "workload":
                id = self._found(actor, self._resolver.workload_id(actor.value), None)
                return lambda end: end.workload is not None and end.workload.id == id
            case "ip_list":
                return self._ip_list_test(actor)
            case "ip_address":
                return _Addresses([_network(actor.value)])
            case "fqdn":
                self.by_name = True
                return _name_test((actor.value,))
            case _:
                return lambda end: end.workload is not None

    def _ip_list_test(self, actor: Actor) -> _Test:
        content = self._found(actor, self._resolver.ip_list(actor.value), IpListContent())
        holds = _Addresses(content.intervals)
        named = _name_test(content.fqdns)
        workloads_too = self._query.ip_lists_hold_workloads
        self.by_name = self.by_name or bool(content.fqdns)
        return lambda end: (workloads_too or end.workload is None) and (holds(end) or named(end))

    def _found(self, actor: Actor, found: _Found | None, instead: _Found) -> _Found:
        if found is None:
            self._problems.append(
                Problem(
                    "traffic_query_unknown_href",
                    f"{self._name}: there is no {actor.kind} {actor.value}",
                    self._name,
                )
            )
            return instead
        return found


class _Addresses:
    """Addresses in disjoint intervals, found by bisection."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self._firsts: dict[int, list[int]] = {4: [], 6: []}
        self._lasts: dict[int, list[int]] = {4: [], 6: []}
        for version, first, last in sorted(intervals):
            self._firsts[version].append(first)
            self._lasts[version].append(last)

    def __call__(self, end: _End) -> bool:
        version = 4 if len(end.address) == 4 else 6
        number = int.from_bytes(end.address, "big")
        at = bisect_right(self._firsts[version], number) - 1
        return at >= 0 and number <= self._lasts[version][at]


def _network(text: str) -> Interval:
    """The interval of an address or a network; of a mapped IPv4 address, that address's."""
    first, last = interval(text)[1:]
    version = interval(text)[0]
    if version == 6 and first >> 32 == last >> 32 == 0xFFFF:
        return 4, first & 0xFFFF_FFFF, last & 0xFFFF_FFFF
    return version, first, last


def _name_test(names: tuple[str, ...]) -> _Test:
    """Names without regard to case; ``*.example.com`` has any labels in front."""
    exact = {name.casefold() for name in names if not name.startswith("*")}
    suffixes = tuple(name.casefold()[1:] for name in names if name.startswith("*"))

    def test(end: _End) -> bool:
        name = (end.name or "").casefold()
        return name in exact or name.endswith(suffixes)

    return test
