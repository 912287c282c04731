"""All workloads or VENs of an org that match a query, a thousand at a time.

What ``read_hosts.py`` and ``find_vens.py`` answer in one piece, for orgs of any size: no more than
one batch is held, and the presence rows. The order is that of ids, which is that of a list too but
for exact matches of a searched name, which a list puts first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pce.objects.filters import boolean, filter_of, matching
from pce.objects.ven import SHOWN_FILTERS as VEN_FILTERS
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.objects.workload_shown import SHOWN_FILTERS as WORKLOAD_FILTERS
from pce.objects.workload_shown import Host
from pce.usecases.caller import Caller
from pce.usecases.read_hosts import every_host, findings_asked_for, vens_of, workloads_of
from pce.usecases.read_objects import Query, max_results
from pce.usecases.stores import Stores

BATCH = 1_000
"""Hosts that are shown together: 3 MB, and one read of the labels that they have."""

Shown = list[dict[str, Any]]


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

    Cost: as ``every_host``, and some batch reads of labels per thousand that match.
    """
    return islice(_all(caller, collection, query, stores), max_results(query, None))


def _all(caller: Caller, collection: str, query: Query, stores: Stores) -> Iterator[dict[str, Any]]:
    deleted_too = boolean(query.get("include_deleted", ""), "include_deleted")
    document_of = _DOCUMENT[collection]
    stored_makers, shown_makers = _FILTERS[collection]
    fits = filter_of(stored_makers, query)
    show = _shower(caller, collection, query, stores)
    hosts = (
        host
        for host in every_host(caller, stores)
        if (document := document_of(host)) is not None
        and (deleted_too or not document.get("deleted"))
        and fits(document)
    )
    for batch in _batches(hosts):
        yield from (dict(shown) for shown in matching(show(batch), shown_makers, query))


def _shower(
    caller: Caller, collection: str, query: Query, stores: Stores
) -> Callable[[Sequence[Host]], Shown]:
    if collection == VENS.name:
        return lambda hosts: vens_of(caller, hosts, stores)
    findings = findings_asked_for(caller, query, stores)
    return lambda hosts: workloads_of(caller, hosts, stores, findings)


_DOCUMENT: Mapping[str, Callable[[Host], Mapping[str, Any] | None]] = {
    WORKLOADS.name: lambda host: host.workload,
    VENS.name: lambda host: host.ven,
}
_FILTERS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    WORKLOADS.name: (WORKLOADS.filters, WORKLOAD_FILTERS),
    VENS.name: (VENS.filters, VEN_FILTERS),
}
"""Filters on stored documents, and on what is shown."""


def _batches(hosts: Iterable[Host]) -> Iterator[list[Host]]:
    left = iter(hosts)
    while batch := list(islice(left, BATCH)):
        yield batch
