"""Give VENs the intervals that their org's settings say, and ask them to come for them."""

from collections import defaultdict
from collections.abc import Sequence

from pce.identifiers import OrgId
from pce.presence.sweep import NewClocks
from pce.store.queues import BoltOrder
from pce.usecases.announce_policy import queue_bolts
from pce.usecases.side_by_side import side_by_side
from pce.usecases.stores import Stores

AT_ONCE = 5_000
"""VENs whose clocks are changed by one sweep: some 5 s of writes. The next one goes on, so that
100,000 VENs take 20 minutes and ask for no more than 100 further heartbeats a second."""


def tell_clocks(stores: Stores, wanted: Sequence[NewClocks], now: int) -> int:
    """Write the clocks of the first ``AT_ONCE`` VENs and queue a bolt for each that has a
    connection; how many were written. One write each; the others hear of it from their next
    heartbeat."""
    first = wanted[:AT_ONCE]
    written = side_by_side(
        lambda new: stores.presence.set_clocks(
            new.seen.org_id, new.seen.ven_id, new.seen.clocks, new.clocks
        ),
        first,
    )
    orders: defaultdict[OrgId, list[BoltOrder]] = defaultdict(list)
    for new, done in zip(first, written, strict=True):
        if done and new.seen.connection_id:
            order = BoltOrder(str(new.seen.ven_id), new.seen.connection_id, "")
            orders[new.seen.org_id].append(order)
    for org_id, of_org in orders.items():
        queue_bolts(org_id, of_org, False, "settings", stores, now, kind="heartbeat")
    return sum(written)
