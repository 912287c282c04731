"""Which policy a VEN should hold, by name: what every heartbeat is told."""

from pce.policy.parts import etag_of, split_etag
from pce.presence.record import Presence
from pce.usecases.stores import Stores

HEAD_AGE_S = 2
"""A heartbeat may be answered with a wide head as old as this: a lost bolt's repair is late by 2 s
in 300."""


def current_etag(row: Presence, held_etag: str, stores: Stores) -> str:
    """The etag of what a VEN should hold; "" before the first compile. While a newer policy waits
    for a person, that is what it holds. Cost: see :func:`newest_etag`."""
    return held_etag if held_etag and row.keeps_policy else newest_etag(row, held_etag, stores)


def newest_etag(row: Presence, held_etag: str, stores: Stores) -> str:
    """The etag of the newest policy of a VEN. Between the two writes of a change, of its row and of
    the wide head, that is what it holds.

    No read without wide parts. With them at most one, and mostly none: the org's wide head is
    remembered for ``HEAD_AGE_S``, unless the row or the VEN knows of a later one.
    """
    if not row.wide_slots:
        return row.target
    head = stores.policies.wide_head(row.org_id, HEAD_AGE_S)
    known = sum({1 << part.slot for part in head.parts.values()})
    held = split_etag(held_etag)
    is_old = held is not None and held[1] is not None and held[1] > head.generation
    if is_old or row.wide_slots & ~known or row.wide_since > head.generation:
        head = stores.policies.wide_head(row.org_id)
    if row.wide_since > head.generation:
        return held_etag
    return etag_of(row.target, row.wide_slots, head)
