"""All workloads or VENs of an org that match a query, a thousand at a time.

What ``read_hosts.py`` answers in one piece, for orgs of any size: no more than one batch is held.
The order is that of ids.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from pce.identifiers import tail
from pce.objects.filters import boolean, matching
from pce.objects.ven import SHOWN_FILTERS as VEN_FILTERS
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.objects.workload_shown import SHOWN_FILTERS as WORKLOAD_FILTERS
from pce.usecases.caller import Caller
from pce.usecases.read_hosts import findings_asked_for, shown_vens, shown_workloads
from pce.usecases.read_objects import Query, max_results
from pce.usecases.stores import Stores

BATCH = 1_000
"""Objects that are shown together: their VENs and presence rows are 20 requests, and 3 MB."""

Shown = list[dict[str, Any]]
Documents = list[Mapping[str, Any]]


def check_query(collection: str, query: Query) -> None:
    """Raise :class:`Invalid` for a malformed parameter, before anything is read."""
    boolean(query.get("include_deleted", ""), "include_deleted")
    max_results(query, None)
    for makers in _FILTERS[collection]:
        matching([], makers, query)


def stream_hosts(
    caller: Caller, collection: str, query: Query, stores: Stores
) -> Iterator[dict[str, Any]]:
    """``workloads`` or ``vens`` as clients see them, up to the query's ``max_results``.

    Cost: 256 queries, and some 25 batch reads per thousand that match.
    """
    return islice(_all(caller, collection, query, stores), max_results(query, None))


def _all(caller: Caller, collection: str, query: Query, stores: Stores) -> Iterator[dict[str, Any]]:
    deleted_too = boolean(query.get("include_deleted", ""), "include_deleted")
    stored_makers, shown_makers = _FILTERS[collection]
    show = _shower(caller, collection, query, stores)
    documents = (
        stored.document
        for stored in stores.objects.one_by_one(caller.org_id, collection)
        if deleted_too or not stored.document.get("deleted")
    )
    for batch in _batches(documents):
        shown = show(matching(batch, stored_makers, query))
        yield from (dict(document) for document in matching(shown, shown_makers, query))


def _shower(
    caller: Caller, collection: str, query: Query, stores: Stores
) -> Callable[[Documents], Shown]:
    if collection == WORKLOADS.name:
        findings = findings_asked_for(caller, query, stores)
        return lambda documents: shown_workloads(caller, documents, stores, findings)

    def show(vens: Documents) -> Shown:
        ids = [tail(ven["href"]) for ven in vens]
        read = stores.objects.get_many(caller.org_id, WORKLOADS.name, ids)
        return shown_vens(caller, [read[id].document for id in ids if id in read], stores)

    return show


_FILTERS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    WORKLOADS.name: (WORKLOADS.filters, WORKLOAD_FILTERS),
    VENS.name: ({}, VEN_FILTERS),
}
"""Filters on stored documents, and on what is shown."""


def _batches(documents: Iterable[Mapping[str, Any]]) -> Iterator[Documents]:
    left = iter(documents)
    while batch := list(islice(left, BATCH)):
        yield batch
