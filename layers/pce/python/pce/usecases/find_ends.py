"""Find the two ends of a connection that somebody asks about, without reading all workloads."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.identifiers import tail
from pce.objects.connection import AskedEnd
from pce.objects.hrefs import parse_href
from pce.policy.addresses import peer_address
from pce.policy.estate_from_documents import Surroundings, workload_of
from pce.usecases.caller import Caller
from pce.usecases.read_containers import HOSTS, workloads_by_id
from pce.usecases.stores import Stores

Document = dict[str, Any]


@dataclass(frozen=True)
class FoundEnd:
    """One end: an address, and the workload there if one has it."""

    address: str
    """Canonical text."""
    workload: Document | None


@dataclass(frozen=True)
class FoundEnds:
    """Both ends, and everybody who has one of their addresses."""

    source: FoundEnd
    destination: FoundEnd
    workloads: tuple[Document, ...]
    """The ends' workloads and their namesakes: no other has a say in what becomes of the
    connection."""


def find_ends(caller: Caller, source: AskedEnd, destination: AskedEnd, stores: Stores) -> FoundEnds:
    """Both ends with their workloads.

    A workload that was asked for by href has its first address of a family that the other end has
    too, IPv4 before IPv6, unless one was asked for. Who has an address is known from the directory,
    up to half a minute late.

    Raises :class:`NotFound` for a workload that does not exist (or is another org's), and
    :class:`Invalid` when the ends share no family, or several workloads have the address and none
    was named. Addresses of loopback interfaces stand in no directory: ask for their workloads by
    href. Cost: two batch reads; the directory.
    """
    named = _named_workloads(caller, (source, destination), stores)
    addresses = _addresses(source, destination, named)
    ids = stores.directory.holders(caller.org_id, addresses)
    known = named | workloads_by_id(caller.org_id, ids - named.keys(), stores)
    workloads = [w for w in known.values() if not w.get("deleted")]
    ends = []
    for asked, address in zip((source, destination), addresses, strict=True):
        workload = named.get(tail(asked.workload_href)) if asked.workload_href else None
        if asked.workload_href is None:
            workload = _only_holder(asked, address, workloads)
        ends.append(FoundEnd(address, workload))
    return FoundEnds(ends[0], ends[1], tuple(workloads))


def own_addresses(workload: Document) -> list[str]:
    """The addresses that peers may know a workload by, in the order of its interfaces."""
    facts = workload_of(workload, Surroundings({}, {}))
    found: list[str] = []
    for text in (*facts.addresses, *facts.loopback_addresses):
        try:
            address = peer_address(text)
        except ValueError:
            continue
        if address is not None:
            found.append(address)
    return found


def find_workload(caller: Caller, href: str, stores: Stores) -> Document:
    """The workload behind an href. Raises :class:`NotFound` for one that does not exist, is
    deleted or is another org's: they look alike."""
    parsed = parse_href(href)
    if parsed is not None and parsed.collection in HOSTS and parsed.org_id == caller.org_id:
        for document in workloads_by_id(caller.org_id, [parsed.item_id], stores).values():
            if document["href"] == href and not document.get("deleted"):
                return document
    raise NotFound(Problem("workload_not_found", f"there is no workload {href[:200]}"))


def _named_workloads(
    caller: Caller, asked: Sequence[AskedEnd], stores: Stores
) -> dict[str, Document]:
    hrefs = {end.workload_href for end in asked if end.workload_href}
    return {tail(href): find_workload(caller, href, stores) for href in sorted(hrefs)}


def _addresses(
    source: AskedEnd, destination: AskedEnd, named: dict[str, Document]
) -> tuple[str, str]:
    choices = []
    for asked in (source, destination):
        if asked.workload_href is None:
            choices.append([asked.address or ""])
            continue
        own = own_addresses(named[tail(asked.workload_href)])
        if asked.address is not None and asked.address not in own:
            message = f"{asked.workload_href} has no address {asked.address}; it has {own}"
            raise Invalid(Problem("invalid_query_parameter", message, asked.parameter))
        choices.append([asked.address] if asked.address else own)
    for version in (4, 6):
        first, second = (
            [address for address in own if ip_address(address).version == version]
            for own in choices
        )
        if first and second:
            return first[0], second[0]
    message = f"{source.parameter} and {destination.parameter} share no IP version: {choices}"
    raise Invalid(Problem("invalid_query_parameter", message, destination.parameter))


def _only_holder(asked: AskedEnd, address: str, workloads: Sequence[Document]) -> Document | None:
    holders = [workload for workload in workloads if address in own_addresses(workload)]
    if len(holders) > 1:
        hrefs = ", ".join(sorted(workload["href"] for workload in holders))
        message = f"{address} is an address of {hrefs}: ask for one of them by its href"
        raise Invalid(Problem("ambiguous_address", message, asked.parameter))
    return holders[0] if holders else None
