"""Read workloads and VENs: documents joined with presence and the names of labels."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import OrgId, tail
from pce.objects.collection import Collection
from pce.objects.filters import boolean, first_matching, matching
from pce.objects.shown import referred_to, with_names
from pce.objects.ven import VENS
from pce.objects.vulnerability_summary import Findings
from pce.objects.workload import WORKLOADS
from pce.objects.workload_shown import SHOWN_FILTERS as WORKLOAD_FILTERS
from pce.objects.workload_shown import Host, shown_ven, shown_workload
from pce.presence.record import Presence
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.current_etag import newest_etag
from pce.usecases.find_workloads import find_workloads, worth_one_by_one
from pce.usecases.name_references import by_href
from pce.usecases.read_firewalls import read_firewalls
from pce.usecases.read_objects import Page, Query
from pce.usecases.read_vulnerabilities import findings_of_workloads
from pce.usecases.show_caps import with_caps
from pce.usecases.stores import Stores
from pce.usecases.write_object import find
from ven_protocol.policy import Firewall

READ_BY_ID = 2_000
"""VENs up to which documents and presence rows are asked for by their ids, 100 a request: more are
read with the org's whole, 2,000 documents or 5,000 rows a request."""

MOST_AT_ONCE = 25_000
"""Hosts that are joined for one answer: 0.6 GB, and 2.3 s of a core (docs/performance.md). The
API's function has 1 GB, half a core and 25 s. A larger org's are read asynchronously."""

Shown = list[dict[str, Any]]


def list_workloads(caller: Caller, query: Query, stores: Stores, limit: int | None) -> Page:
    """Workloads that match. Reads the index and those that are shown, where the index can tell;
    else all workloads. VENs and presence are read of those that are shown, or of all matching ones
    when the query asks for something that presence knows.

    Raises :class:`Invalid` when more than ``MOST_AT_ONCE`` would have to be joined.
    """
    findings = findings_asked_for(caller, query, stores)
    asks_presence = bool(query.keys() & WORKLOAD_FILTERS.keys())
    joined = None if asks_presence else limit
    by_id = find_workloads(caller.org_id, query, joined, stores)
    if by_id is not None:
        ids, total = by_id
        refuse_too_many(ids)
        read = documents_of(caller.org_id, WORKLOADS.name, ids, stores)
        page = [read[id] for id in ids if id in read]
    else:
        stored = stores.objects.one_by_one(caller.org_id, WORKLOADS.name)
        page, total = first_matching(
            not_deleted(stored, query), WORKLOADS.filters, WORKLOADS.searched, query, most(joined)
        )
        refuse_too_many(page)
    shown = shown_workloads(caller, page, stores, findings)
    if not asks_presence:
        return Page(shown, total)
    matched = matching(shown, WORKLOAD_FILTERS, query)
    return Page([dict(document) for document in matched[:limit]], len(matched))


def findings_asked_for(caller: Caller, query: Query, stores: Stores) -> Findings:
    """What scanners found, where the query asks for it."""
    asked = "vulnerabilities" in query.get("representation", "")
    if asked or any(name.startswith("vulnerability_summary.") for name in query):
        return findings_of_workloads(caller, stores)
    return {}


def shown_workloads(
    caller: Caller, documents: Sequence[Mapping[str, Any]], stores: Stores, findings: Findings
) -> Shown:
    """Workloads as clients see them, of their documents and what scanners found on them. A batch
    read per 100, of VENs, presence and labels each."""
    return workloads_of(caller, _hosts(caller, documents, stores), stores, findings)


def shown_vens(caller: Caller, workloads: Sequence[Mapping[str, Any]], stores: Stores) -> Shown:
    """The VENs of workloads as clients see them. Reads as :func:`shown_workloads` does."""
    return vens_of(caller, _hosts(caller, workloads, stores), stores)


def _with_findings(hosts: Sequence[Host], findings: Findings) -> Sequence[Host]:
    if not findings:
        return hosts
    return [replace(host, findings=findings.get(str(host.workload["href"]), ())) for host in hosts]


def every_host(caller: Caller, stores: Stores) -> Iterator[Host]:
    """All workloads in the order of their ids, deleted ones too, joined with VENs and presence.

    Holds the presence rows and some thousand documents. One query per MB of workloads and VENs, and
    per 5,000 VENs.
    """
    presence = {str(row.ven_id): row for row in stores.presence.all_of(caller.org_id)}
    vens = stores.objects.one_by_one(caller.org_id, VENS.name)
    ven = next(vens, None)
    for workload in stores.objects.one_by_one(caller.org_id, WORKLOADS.name):
        while ven is not None and ven.id < workload.id:
            ven = next(vens, None)
        known = ven.document if ven is not None and ven.id == workload.id else None
        yield Host(workload.document, known, presence.get(workload.id))


def hosts_by_id(caller: Caller, ids: Iterable[str], stores: Stores) -> list[Host]:
    """Those of these workloads that exist, joined with VENs and presence. Three batch reads per
    100."""
    read = documents_of(caller.org_id, WORKLOADS.name, list(ids), stores)
    return _hosts(caller, list(read.values()), stores)


def workloads_of(
    caller: Caller, hosts: Sequence[Host], stores: Stores, findings: Findings
) -> Shown:
    """The workloads of hosts as clients see them. A read of the policy's head, and a batch read per
    100 labels."""
    joined = _with_findings(_with_policy(caller, hosts, stores), findings)
    return _labelled(caller, WORKLOADS, [shown_workload(host) for host in joined], stores)


def vens_of(caller: Caller, hosts: Iterable[Host], stores: Stores) -> Shown:
    """The VENs of hosts as clients see them. A batch read per 100 labels."""
    return _labelled(caller, VENS, [shown_ven(host) for host in hosts], stores)


def get_workload(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One workload, with its open ports, its users and what scanners found on it; deleted or not.
    Raises :class:`NotFound`."""
    stored = find(caller, WORKLOADS, id, stores)
    [host] = _with_policy(caller, _hosts(caller, [stored.document], stores), stores)
    services = stores.objects.get(caller.org_id, "service_reports", id)
    users = stores.objects.get(caller.org_id, "user_reports", id)
    host = replace(
        host,
        service_report=services.document if services else None,
        user_report=users.document if users else None,
        findings=findings_of_workloads(caller, stores).get(stored.document["href"], ()),
    )
    return _labelled(caller, WORKLOADS, [shown_workload(host)], stores)[0]


def get_ven(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One VEN, uninstalled or not. Raises :class:`NotFound`."""
    find(caller, VENS, id, stores)
    workload = find(caller, WORKLOADS, id, stores)
    return shown_vens(caller, [workload.document], stores)[0]


def not_deleted(stored: Iterable[Stored], query: Query) -> Iterator[Mapping[str, Any]]:
    """The documents; deleted ones where the query wants them."""
    everything = boolean(query.get("include_deleted", ""), "include_deleted")
    return (s.document for s in stored if everything or not s.document.get("deleted"))


def most(limit: int | None) -> int:
    """How many of the wanted hosts are looked for: one more than may be shown tells enough."""
    return MOST_AT_ONCE + 1 if limit is None else min(limit, MOST_AT_ONCE + 1)


def refuse_too_many(hosts: Sequence[Any]) -> None:
    """Raise :class:`Invalid` for more than ``MOST_AT_ONCE``."""
    if len(hosts) > MOST_AT_ONCE:
        message = (
            f"more than {MOST_AT_ONCE} hosts would have to be read for one answer: ask for the list"
            " asynchronously (header Prefer: respond-async), filter by name or labels, or lower"
            " max_results"
        )
        raise Invalid(Problem("answer_too_large", message))


def _hosts(caller: Caller, workloads: Sequence[Mapping[str, Any]], stores: Stores) -> list[Host]:
    """The workloads, joined with their VENs and presence."""
    ids = [tail(workload["href"]) for workload in workloads if workload.get("ven")]
    vens = documents_of(caller.org_id, VENS.name, ids, stores)
    presence = presence_of(caller, ids, stores)
    return [
        Host(workload, vens.get(tail(workload["href"])), presence.get(tail(workload["href"])))
        for workload in workloads
    ]


def _with_policy(caller: Caller, hosts: Sequence[Host], stores: Stores) -> Sequence[Host]:
    """The hosts, joined with what policy says of them."""
    if not hosts:
        return hosts
    firewalls = read_firewalls(caller.org_id, [host.workload for host in hosts], stores)
    return [
        replace(
            host,
            wanted_etag=newest_etag(row, row.applied_etag, stores) if row else "",
            firewall=firewalls.get(host.workload["href"]) or Firewall(),
        )
        for host in hosts
        for row in (host.presence,)
    ]


def documents_of(
    org_id: OrgId, collection: str, ids: Sequence[str], stores: Stores
) -> dict[str, Mapping[str, Any]]:
    """Workloads or VENs by id; ids that do not exist are left out. One request per 100; where they
    are many of all that the org has, one per MB of all."""
    if len(ids) > READ_BY_ID and not worth_one_by_one(len(ids), stores.directory.count(org_id)):
        wanted = set(ids)
        everything = stores.objects.one_by_one(org_id, collection)
        return {stored.id: stored.document for stored in everything if stored.id in wanted}
    read = stores.objects.get_many(org_id, collection, ids)
    return {id: stored.document for id, stored in read.items()}


def presence_of(caller: Caller, ids: Sequence[str], stores: Stores) -> dict[str, Presence]:
    """The presence rows of these VENs, by id. One request per 100, or the org's whole."""
    if len(ids) > READ_BY_ID:
        return {str(row.ven_id): row for row in stores.presence.all_of(caller.org_id)}
    rows = stores.presence.get_many(caller.org_id, [uuid.UUID(id) for id in ids])
    return {str(id): row for id, row in rows.items()}


def _labelled(
    caller: Caller, collection: Collection, shown: Sequence[Mapping[str, Any]], stores: Stores
) -> list[dict[str, Any]]:
    labels = by_href(caller, "labels", referred_to(shown, "labels"), stores)
    named = [with_names(_inner(document, labels), "labels", labels) for document in shown]
    return with_caps(caller, collection.name, named, stores)


def _inner(
    document: Mapping[str, Any], labels: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """A VEN with the labels of its workload named too."""
    if "workloads" not in document:
        return document
    return {
        **document,
        "workloads": [with_names(w, "labels", labels) for w in document["workloads"]],
    }
