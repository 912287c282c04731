"""Ask VENs for a heartbeat, whose reply carries the actions that wait for them.

A bolt is a hint: a VEN that none reaches learns of its actions with its next heartbeat.
"""

import contextlib
from collections.abc import Sequence

from pce.identifiers import OrgId
from pce.policy.pacing import PER_ORG
from pce.presence.record import Presence
from pce.store.queues import BoltOrder, NotSent
from pce.usecases.announce_policy import queue_bolts
from pce.usecases.stores import Stores

SPREAD_S = 60.0
"""Many VENs wait up to this long: an upgrade is a download of some 100 kB, and no hurry."""
MANY = PER_ORG // 10


def announce_actions(
    org_id: OrgId, rows: Sequence[Presence], reason: str, stores: Stores, now: float
) -> None:
    """Have bolts sent to those that are connected. Requests: as ``queue_bolts``.

    ``reason`` is the kind of action: a degraded VEN heeds some kinds alone. A queue that takes no
    bolts is no failure of the request: it was accepted, and the heartbeats remain.
    """
    orders = [
        BoltOrder(str(row.ven_id), row.connection_id, "") for row in rows if row.connection_id
    ]
    spread_s = SPREAD_S if len(orders) > MANY else 0
    with contextlib.suppress(NotSent):
        queue_bolts(org_id, orders, False, reason, stores, now, kind="heartbeat", spread_s=spread_s)
