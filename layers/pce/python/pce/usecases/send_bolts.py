"""Hand queued bolts to open connections, and forget connections that are gone."""

import uuid
from dataclasses import dataclass

import msgspec

from pce.identifiers import OrgId
from pce.store.queues import BoltBatch
from pce.usecases.stores import Stores
from ven_protocol.bolts import Bolt

OPENING_S = 30
"""A connection may take this long to open: API Gateway gives its function 29 seconds."""

BUSY_S = 5
"""A client that reads slowly, or a rate limit, gets this long before the second and last try."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch of bolts."""

    sent: int
    gone: int
    busy: int


def send_bolts(batch: BoltBatch, stores: Stores, now: int) -> Sent:
    """Post each bolt, several at a time. What is busy or still being opened is queued once more; if
    it is so again it is left to the heartbeat.

    Raises what :meth:`BoltSender.send` raises; then all may be repeated.
    """
    outcomes = stores.bolts.send(
        [
            (order.connection_id, msgspec.json.encode(_bolt(batch, order.etag)))
            for order in batch.orders
        ]
    )
    again = []
    for order, outcome in zip(batch.orders, outcomes, strict=True):
        gone = outcome == "gone" and stores.presence.drop_connection(
            OrgId(batch.org_id), uuid.UUID(order.ven_id), order.connection_id, now - OPENING_S
        )
        if outcome != "sent" and not gone:
            again.append(order)
    if again and not batch.repeated:
        rest = msgspec.structs.replace(batch, orders=again, repeated=True)
        stores.queues.send_bolts([(rest, BUSY_S)])
    return Sent(outcomes.count("sent"), outcomes.count("gone"), outcomes.count("busy"))


def _bolt(batch: BoltBatch, etag: str) -> Bolt:
    return Bolt(type=batch.kind, etag=etag, reason=batch.reason, spread_s=batch.spread_s)
