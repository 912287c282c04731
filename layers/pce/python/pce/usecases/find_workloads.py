"""Find workloads without reading all of them.

The index is as old as the last compile. What changed since stands in the change log, which a
compile empties only after it has brought the index up to date; so the log is read first, then the
index, and what the log names is read itself. Together they are never older than the request.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pce.identifiers import OrgId, is_container_id, tail
from pce.objects.filters import boolean, exact_first, matching
from pce.objects.hrefs import parse_href
from pce.objects.workload import WORKLOADS
from pce.objects.workload_index import INDEXED
from pce.usecases.read_containers import HOSTS, workloads_by_id
from pce.usecases.stores import Stores

MAX_PENDING = 1_000
"""Workloads that changed since the last compile, up to which they are read one by one: ten
requests. More are a bulk change or a compile that is late, and all are read."""
WORTH_ONE_BY_ONE = 10
"""Documents that a query reads for the price of one that is asked for by its id (4 KB)."""

Facts = Mapping[str, Any]


def workload_facts(
    org_id: OrgId, stores: Stores, *, with_containers: bool = False
) -> dict[str, Facts] | None:
    """What the index knows of each workload (or its document, where it changed lately), by id;
    with those of container workloads, or without.

    None when there is no index yet, or too much is newer than it. Cost: a query and a GET; a batch
    read per 100 workloads that changed since the last compile.
    """
    collections = HOSTS if with_containers else (WORKLOADS.name,)
    changed: set[str] = set()
    for entry in stores.objects.change_log(org_id):
        if not entry.hrefs:
            return None
        for href in entry.hrefs:
            parsed = parse_href(href)
            if parsed is not None and parsed.collection in collections:
                changed.add(parsed.id)
    if len(changed) > MAX_PENDING:
        return None
    known = stores.directory.workloads(org_id)
    if known is None:
        return None
    if not with_containers:
        known = {id: facts for id, facts in known.items() if not is_container_id(id)}
    newer = workloads_by_id(org_id, changed, stores) if changed else {}
    for id in changed:
        document = newer.get(id)
        if document is None or document.get("deleted"):
            known.pop(id, None)
        else:
            known[id] = document
    return known


def worth_one_by_one(wanted: int, there: int) -> bool:
    """Whether so many documents are read cheaper by their ids than with all that there are."""
    return wanted * WORTH_ONE_BY_ONE <= there


def find_workloads(
    org_id: OrgId, query: Mapping[str, str], limit: int | None, stores: Stores
) -> tuple[list[str], int] | None:
    """Ids of the first ``limit`` workloads that match, and how many there are.

    None when reading all is cheaper, or the only way: the query asks for something that the index
    does not hold, or for much of what there is. Raises :class:`Invalid` for a malformed parameter.
    """
    asked = query.keys() & WORKLOADS.filters.keys()
    if not asked <= INDEXED or boolean(query.get("include_deleted", ""), "include_deleted"):
        return None
    known = workload_facts(org_id, stores)
    if known is None:
        return None
    in_order = (known[id] for id in sorted(known))
    matched = matching(in_order, WORKLOADS.filters, query)
    found = exact_first(matched, WORKLOADS.searched, query)
    page = found[:limit]
    if not worth_one_by_one(len(page), len(known)):
        return None
    return [tail(document["href"]) for document in page], len(found)


def labels_by_workload(org_id: OrgId, stores: Stores) -> Iterator[tuple[str, set[str]]]:
    """The href of each workload with those of its labels. Reads the index, or else all
    workloads."""
    known = workload_facts(org_id, stores)
    workloads: Iterable[Facts]
    if known is None:
        stored = stores.objects.all_of(org_id, WORKLOADS.name)
        workloads = (s.document for s in stored if not s.document.get("deleted"))
    else:
        workloads = known.values()
    for workload in workloads:
        yield workload["href"], {label["href"] for label in workload.get("labels") or ()}
