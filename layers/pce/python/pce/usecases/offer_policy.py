"""What VENs would be answered if they fetched now, where it is small enough to go with their bolts.

A change that concerns many VENs leads most of them from one etag to another and the same: their
answer is made once, and a bolt that carries it saves each of them the fetch. Whoever has lost a
bolt, or holds something else by then, fetches as ever.
"""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pce.errors import PceError
from pce.identifiers import OrgId
from pce.policy.parts import WideHead, etag_of
from pce.presence.record import Presence
from pce.usecases.fetch_policy import answer
from pce.usecases.side_by_side import side_by_side
from pce.usecases.stores import Stores
from ven_protocol.limits import MAX_BOLT_REPLY_BYTES

NEW_ANSWERS = 10
"""Answers that are made for one batch of bolts, those for most VENs first. To make one takes 1 to
50 ms of CPU, and all bolts of the batch wait."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A policy that a bolt can bring."""

    base: str
    """Etag that the VEN holds, by its last report."""
    etag: str
    reply: bytes
    """Compressed; at most MAX_BOLT_REPLY_BYTES."""


def offer_policy(
    org_id: OrgId, connections: Mapping[uuid.UUID, str], stores: Stores
) -> dict[uuid.UUID, Offer]:
    """What to send to VENs over these connections; VENs to which nothing can be sent are left out.

    An offer is what a fetch would be answered now. A connection gets what belongs to the VEN whose
    row names it, and to no other. From here on these VENs count as having no bolt under way: what
    changes later is announced to them by another.

    Requests: one for every 100 VENs, one for the wide head and another when an offer depends on it;
    a write for each VEN that was named one by one; parts that are not in memory.
    """
    head = stores.policies.wide_head(org_id)
    # Rows are written before the head that belongs to them, and were read after it.
    read = stores.presence.get_many(org_id, list(connections))
    rows = [
        row
        for ven_id, row in read.items()
        if row.connection_id == connections[ven_id] and _may_be_told(row, head)
    ]
    answers = _Answers(head, stores)
    answers.make(rows)
    rows = [row for row in rows if answers.of(row)]
    named = [row for row in rows if row.bolt_at is not None]
    again = side_by_side(
        lambda row: stores.presence.answer_bolt(org_id, row.ven_id, row.connection_id), named
    )
    rows = [row for row in rows if row.bolt_at is None]
    rows += [row for row in again if row and _may_be_told(row, head)]
    wide = any(row.wide_slots for row in rows)
    if wide and stores.policies.wide_head(org_id).generation != head.generation:
        return {}  # some row may be of the newer one
    return {row.ven_id: offer for row in rows if (offer := answers.of(row))}


def _may_be_told(row: Presence, head: WideHead) -> bool:
    """Whether a policy was computed for the VEN, none waits for a person, and the row is of no
    later state of the org than the head."""
    return bool(row.target) and not row.keeps_policy and row.wide_since <= head.generation


class _Answers:
    """Answers by what is held and what is to be held."""

    def __init__(self, head: WideHead, stores: Stores) -> None:
        self._head = head
        self._stores = stores
        self._made: dict[tuple[str, str], Offer | None] = {}
        self._etags: dict[tuple[str, int], str] = {}

    def make(self, rows: list[Presence]) -> None:
        """Make the answers that most of these VENs need."""
        needed = Counter(map(self._pair, rows))
        by_pair = {self._pair(row): row for row in rows}
        for pair, _ in needed.most_common(NEW_ANSWERS):
            self._made[pair] = self._offer(by_pair[pair])

    def of(self, row: Presence) -> Offer | None:
        """The offer to a VEN, if it was made and is one."""
        return self._made.get(self._pair(row))

    def _pair(self, row: Presence) -> tuple[str, str]:
        named = row.target, row.wide_slots
        if named not in self._etags:
            self._etags[named] = etag_of(*named, self._head)
        return row.applied_etag, self._etags[named]

    def _offer(self, row: Presence) -> Offer | None:
        try:
            fetched = answer(row, self._head, row.applied_etag, self._stores)
        except PceError:  # a fetch says it to the VEN
            return None
        if fetched.gzipped is None or len(fetched.gzipped) > MAX_BOLT_REPLY_BYTES:
            return None
        return Offer(row.applied_etag, fetched.etag, fetched.gzipped)
