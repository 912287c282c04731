"""Find VENs without reading all of them.

Three things narrow them down in turn, and each is read of those alone that the one before has left:
the index of workloads, which holds host names and labels; presence; what is stored of the VEN. Only
for what follows from several of these are they joined before it is known which VENs match.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pce.identifiers import tail
from pce.objects.filters import (
    MakeFilter,
    boolean,
    contains,
    first_matching,
    has_labels,
    matching,
)
from pce.objects.ven import OF_PRESENCE, SHOWN_FILTERS, VENS
from pce.objects.workload import WORKLOADS
from pce.presence.record import Presence
from pce.timestamps import rfc3339
from pce.usecases.caller import Caller
from pce.usecases.find_workloads import workload_facts
from pce.usecases.read_hosts import (
    READ_BY_ID,
    documents_of,
    most,
    not_deleted,
    presence_of,
    refuse_too_many,
    shown_vens,
)
from pce.usecases.read_objects import Page, Query
from pce.usecases.stores import Stores

BY_INDEX: Mapping[str, MakeFilter] = {"hostname": contains("hostname"), "labels": has_labels}
"""A VEN reports one host name, for itself and for its workload; labels are the workload's."""

Document = Mapping[str, Any]


def list_vens(caller: Caller, query: Query, stores: Stores, limit: int | None) -> Page:
    """VENs that match, with their workloads and their presence.

    Reads the index; presence, where the query asks for a status or a heartbeat; stored VENs, where
    it asks for what they hold; and what is shown. Before the first compile, with deleted ones, and
    for much of an org, it reads all VENs. Raises :class:`~pce.errors.Invalid` when more than
    ``MOST_AT_ONCE`` would have to be joined.
    """
    asked = query.keys() & {*VENS.filters, *SHOWN_FILTERS}
    left = _by_index_and_presence(caller, query, stores)
    if left is not None:
        asked -= {*BY_INDEX, *OF_PRESENCE}
    joins = bool(asked & SHOWN_FILTERS.keys())
    wanted = most(None if joins else limit)
    if left is not None and not asked & VENS.filters.keys():
        page, total = first_matching(left, {}, VENS.searched, query, wanted)
    else:
        vens = _stored_vens(caller, left, query, stores)
        page, total = first_matching(vens, VENS.filters, VENS.searched, query, wanted)
    refuse_too_many(page)
    shown = shown_vens(caller, _workloads(caller, page, stores), stores)
    if not joins:
        return Page(shown, total)
    matched = matching(shown, SHOWN_FILTERS, query)
    return Page([dict(document) for document in matched[:limit]], len(matched))


def _by_index_and_presence(
    caller: Caller, query: Query, stores: Stores
) -> Sequence[Document] | None:
    """What the index knows of the VENs that are left, in the order of their ids; None without an
    index."""
    if boolean(query.get("include_deleted", ""), "include_deleted"):
        return None
    known = workload_facts(caller.org_id, stores)
    if known is None:
        return None
    managed = (known[id] for id in sorted(known) if known[id].get("managed"))
    left = matching(managed, BY_INDEX, query)
    if not left or not query.keys() & OF_PRESENCE.keys():
        return left
    ids = [tail(facts["href"]) for facts in left]
    if len(ids) > READ_BY_ID:
        rows = {str(row.ven_id): row for row in stores.presence.signs_of(caller.org_id)}
    else:
        rows = presence_of(caller, ids, stores)
    signs = [{**facts, **_signs(rows.get(id))} for id, facts in zip(ids, left, strict=True)]
    return matching(signs, OF_PRESENCE, query)


def _signs(row: Presence | None) -> Document:
    """What presence knows, under the names by which it is shown."""
    if row is None:
        return {"status": "active", "last_heartbeat_at": None}
    return {"status": row.status, "last_heartbeat_at": rfc3339(row.last_heartbeat)}


def _stored_vens(
    caller: Caller, left: Sequence[Document] | None, query: Query, stores: Stores
) -> Iterable[Document]:
    """The documents of VENs that are left, or of all, in the order of their ids."""
    if left is None:
        return not_deleted(stores.objects.one_by_one(caller.org_id, VENS.name), query)
    ids = [tail(facts["href"]) for facts in left]
    read = documents_of(caller.org_id, VENS.name, ids, stores)
    return [read[id] for id in ids if id in read]


def _workloads(caller: Caller, vens: Sequence[Document], stores: Stores) -> list[Document]:
    """The workloads of these VENs, in their order."""
    ids = [tail(document["href"]) for document in vens]
    read = documents_of(caller.org_id, WORKLOADS.name, ids, stores)
    return [read[id] for id in ids if id in read]
