"""Ask VENs for a heartbeat, whose reply carries the actions that wait for them.

A bolt is a hint: a VEN that none reaches learns of its actions with its next heartbeat.
"""

import contextlib
from collections.abc import Sequence

from pce.identifiers import OrgId
from pce.policy.pacing import PER_ORG
from pce.presence.record import Presence
from pce.store.queues import BOLTS_PER_MESSAGE, ActionOrder, BoltOrder, NotSent
from pce.usecases.announce_policy import queue_bolts
from pce.usecases.stores import Stores

SPREAD_S = 60.0
"""Many VENs wait up to this long: an upgrade is a download of some 100 kB, and no hurry."""


def announce_actions(org_id: OrgId, rows: Sequence[Presence], reason: str, stores: Stores) -> None:
    """Have bolts sent to those that are connected. One request for 1,000 of them.

    ``reason`` is the kind of action: a degraded VEN heeds some kinds alone. A queue that takes no
    bolts is no failure of the request: it was accepted, and the heartbeats remain.
    """
    orders = [
        BoltOrder(str(row.ven_id), row.connection_id, "") for row in rows if row.connection_id
    ]
    batches = [
        ActionOrder(org_id, orders[at : at + BOLTS_PER_MESSAGE], reason, len(orders))
        for at in range(0, len(orders), BOLTS_PER_MESSAGE)
    ]
    if batches:
        with contextlib.suppress(NotSent):
            stores.queues.announce(batches)


def queue_action_bolts(order: ActionOrder, stores: Stores, now: float) -> None:
    """Book the bolts of an order and queue them: what the fan-out does, since it may book."""
    spread_s = SPREAD_S if order.fleet > PER_ORG else 0
    queue_bolts(
        OrgId(order.org_id),
        order.orders,
        tightens=False,
        reason=order.reason,
        stores=stores,
        now=now,
        kind="heartbeat",
        spread_s=spread_s,
    )
