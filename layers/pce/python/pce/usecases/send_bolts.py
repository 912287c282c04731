"""Hand queued bolts to open connections, and forget connections that are gone."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from pce.identifiers import OrgId
from pce.store.bolts import BoltSender
from pce.store.presence import PresenceStore
from pce.store.queues import BoltOrder
from ven_protocol.bolts import Bolt

OPENING_S = 30
"""A connection may take this long to open: API Gateway gives its function 29 seconds."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch of bolts."""

    sent: int
    gone: int
    busy: int


def send_bolts(
    orders: Iterable[BoltOrder], sender: BoltSender, presence: PresenceStore, now: int
) -> Sent:
    """Send each bolt once. A busy connection is not tried again: the heartbeat repairs it."""
    counts = {"sent": 0, "gone": 0, "busy": 0}
    for order in orders:
        bolt = Bolt(type=order.type, etag=order.etag, reason=order.reason, spread_s=order.spread_s)
        outcome = sender.send(order.connection_id, msgspec.json.encode(bolt))
        counts[outcome] += 1
        if outcome == "gone":
            ven_id = uuid.UUID(order.ven_id)
            presence.drop_connection(
                OrgId(order.org_id), ven_id, order.connection_id, now - OPENING_S
            )
    return Sent(**counts)
