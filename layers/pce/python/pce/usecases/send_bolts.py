"""Hand queued bolts to open connections, and forget connections that are gone."""

import uuid
from dataclasses import dataclass

import msgspec

from pce.identifiers import OrgId
from pce.store.queues import BoltBatch
from pce.usecases.offer_policy import Offer, offer_policy
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
    """Post each bolt, several at a time, with the policy that it tells of where that is small. What
    is busy or still being opened is queued once more; if it is so again it is left to the
    heartbeat.

    Raises what :meth:`BoltSender.send` raises; then all may be repeated. Cost: a post for each, and
    what :func:`offer_policy` costs.
    """
    connections = {uuid.UUID(order.ven_id): order.connection_id for order in batch.orders}
    asks_for_policy = batch.kind == "policy"
    offers = offer_policy(OrgId(batch.org_id), connections, stores) if asks_for_policy else {}
    messages: dict[Offer | str, bytes] = {}  # equal for VENs that are led the same way
    posts = []
    for order in batch.orders:
        tells = offers.get(uuid.UUID(order.ven_id)) or order.etag
        if tells not in messages:
            messages[tells] = msgspec.json.encode(_bolt(batch, tells))
        posts.append((order.connection_id, messages[tells]))
    outcomes = stores.bolts.send(posts)
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


def _bolt(batch: BoltBatch, tells: Offer | str) -> Bolt:
    """The bolt that brings a policy, or names one by its etag."""
    bolt = Bolt(
        type=batch.kind,
        etag=tells if isinstance(tells, str) else tells.etag,
        reason=batch.reason,
        spread_s=batch.spread_s,
        report_after_s=batch.report_after_s,
    )
    if isinstance(tells, str):
        return bolt
    return msgspec.structs.replace(bolt, base=tells.base, reply=tells.reply)
