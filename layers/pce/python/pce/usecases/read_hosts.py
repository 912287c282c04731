"""Read workloads and VENs: documents joined with presence and the names of labels."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.filters import boolean, exact_first, matching
from pce.objects.shown import referred_to, with_names
from pce.objects.ven import SHOWN_FILTERS as VEN_FILTERS
from pce.objects.ven import VENS
from pce.objects.vulnerability_summary import Findings
from pce.objects.workload import WORKLOADS
from pce.objects.workload_shown import SHOWN_FILTERS as WORKLOAD_FILTERS
from pce.objects.workload_shown import Host, shown_ven, shown_workload
from pce.presence.record import Presence
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.current_etag import newest_etag
from pce.usecases.find_workloads import find_workloads
from pce.usecases.name_references import by_href
from pce.usecases.read_firewalls import read_firewalls
from pce.usecases.read_objects import Page, Query
from pce.usecases.read_vulnerabilities import findings_of_workloads
from pce.usecases.show_caps import with_caps
from pce.usecases.stores import Stores
from pce.usecases.write_object import find
from ven_protocol.policy import Firewall

READ_BY_ID = 2_000
"""VENs up to which presence rows are asked for by their ids, 100 a request: more are read with the
org's whole, 5,000 a request."""

Shown = list[dict[str, Any]]


def list_workloads(caller: Caller, query: Query, stores: Stores, limit: int | None) -> Page:
    """Workloads that match. Reads the index and those that are shown, where the index can tell;
    else all workloads. VENs and presence are read of those that are shown, or of all matching ones
    when the query asks for something that presence knows."""
    findings = findings_asked_for(caller, query, stores)
    asks_presence = bool(query.keys() & WORKLOAD_FILTERS.keys())
    by_id = None if asks_presence else find_workloads(caller.org_id, query, limit, stores)
    if by_id is not None:
        ids, total = by_id
        read = stores.objects.get_many(caller.org_id, WORKLOADS.name, ids)
        page = [read[id].document for id in ids if id in read]
        return Page(shown_workloads(caller, page, stores, findings), total)
    documents = _not_deleted(stores.objects.all_of(caller.org_id, WORKLOADS.name), query)
    found = exact_first(matching(documents, WORKLOADS.filters, query), WORKLOADS.searched, query)
    if not asks_presence:
        return Page(shown_workloads(caller, found[:limit], stores, findings), len(found))
    hosts = _with_findings(_hosts(caller, found, stores), findings)
    matched = matching([shown_workload(host) for host in hosts], WORKLOAD_FILTERS, query)
    return Page(_labelled(caller, WORKLOADS, matched[:limit], stores), len(matched))


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
    hosts = _with_findings(_hosts(caller, documents, stores), findings)
    return _labelled(caller, WORKLOADS, [shown_workload(host) for host in hosts], stores)


def shown_vens(caller: Caller, workloads: Sequence[Mapping[str, Any]], stores: Stores) -> Shown:
    """The VENs of workloads as clients see them. Reads as :func:`shown_workloads` does."""
    return _labelled(
        caller, VENS, [shown_ven(h) for h in _hosts(caller, workloads, stores)], stores
    )


def _with_findings(hosts: list[Host], findings: Findings) -> list[Host]:
    if not findings:
        return hosts
    return [replace(host, findings=findings.get(str(host.workload["href"]), ())) for host in hosts]


def get_workload(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One workload, with its open ports, its users and what scanners found on it; deleted or not.
    Raises :class:`NotFound`."""
    stored = find(caller, WORKLOADS, id, stores)
    [host] = _hosts(caller, [stored.document], stores)
    services = stores.objects.get(caller.org_id, "service_reports", id)
    users = stores.objects.get(caller.org_id, "user_reports", id)
    host = replace(
        host,
        service_report=services.document if services else None,
        user_report=users.document if users else None,
        findings=findings_of_workloads(caller, stores).get(stored.document["href"], ()),
    )
    return _labelled(caller, WORKLOADS, [shown_workload(host)], stores)[0]


def list_vens(caller: Caller, query: Query, stores: Stores, limit: int | None) -> Page:
    """VENs that match. Reads all VENs, their workloads and their presence."""
    vens = _not_deleted(stores.objects.all_of(caller.org_id, VENS.name), query)
    workloads = {s.id: s.document for s in stores.objects.all_of(caller.org_id, WORKLOADS.name)}
    presence = {str(row.ven_id): row for row in stores.presence.all_of(caller.org_id)}
    hosts = [
        _host(workloads[tail(ven["href"])], ven, presence.get(tail(ven["href"])), stores)
        for ven in vens
        if tail(ven["href"]) in workloads
    ]
    matched = matching([shown_ven(host) for host in hosts], VEN_FILTERS, query)
    found = exact_first(matched, VENS.searched, query)
    return Page(_labelled(caller, VENS, found[:limit], stores), len(found))


def get_ven(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One VEN, uninstalled or not. Raises :class:`NotFound`."""
    find(caller, VENS, id, stores)
    workload = find(caller, WORKLOADS, id, stores)
    return shown_vens(caller, [workload.document], stores)[0]


def _not_deleted(stored: Iterable[Stored], query: Query) -> list[Mapping[str, Any]]:
    everything = boolean(query.get("include_deleted", ""), "include_deleted")
    return [s.document for s in stored if everything or not s.document.get("deleted")]


def _hosts(
    caller: Caller,
    workloads: Sequence[Mapping[str, Any]],
    stores: Stores,
) -> list[Host]:
    ids = [tail(workload["href"]) for workload in workloads if workload.get("ven")]
    vens = stores.objects.get_many(caller.org_id, VENS.name, ids)
    presence = _presence(caller, ids, stores)
    firewalls = read_firewalls(caller.org_id, workloads, stores)
    return [
        _host(
            workload,
            vens[tail(workload["href"])].document if tail(workload["href"]) in vens else None,
            presence.get(tail(workload["href"])),
            stores,
            firewalls.get(workload["href"]),
        )
        for workload in workloads
    ]


def _host(
    workload: Mapping[str, Any],
    ven: Mapping[str, Any] | None,
    row: Presence | None,
    stores: Stores,
    firewall: Firewall | None = None,
) -> Host:
    return Host(
        workload,
        ven,
        row,
        wanted_etag=newest_etag(row, row.applied_etag, stores) if row else "",
        firewall=firewall or Firewall(),
    )


def _presence(caller: Caller, ids: Sequence[str], stores: Stores) -> dict[str, Presence]:
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
