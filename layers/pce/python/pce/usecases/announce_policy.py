"""Tell VENs that their policy became another: queue bolts, the most urgent first.

A bolt is a hint. Whatever is lost, dropped or never queued is in the next heartbeat's reply.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pce.identifiers import OrgId
from pce.policy.pacing import HORIZON_S, PER_ORG, Urgency
from pce.presence.record import Presence
from pce.store.queues import BOLTS_PER_MESSAGE, BoltBatch, BoltKind, BoltOrder, WaveOrder
from pce.usecases.current_etag import current_etag
from pce.usecases.lightning import has_lightning
from pce.usecases.stores import Stores

SPREAD_S = 5.0
"""VENs wait up to this long before they fetch a loosening change that concerns more of them than an
org's bolts of one second: it is no hurry, and their fetches come evenly."""

REPORTS_AT_ONCE = 500
"""More VENs than this report what they applied later, so many a second: a report is a transaction,
and the most work of what a change makes. Before that is done, the change itself is everywhere."""
LAST_REPORT_S = HORIZON_S
"""By then each VEN's heartbeat has told it."""


@dataclass(frozen=True, slots=True)
class NewTarget:
    """A VEN whose own part of its policy became another."""

    before: Presence
    """Its row as it was until then, from ``PresenceStore.set_target``: without a connection, or
    with a bolt under way, no bolt is queued."""
    etag: str
    tightens: bool
    """Something that was allowed may not be any more. True when in doubt."""


@dataclass(frozen=True, slots=True)
class WideChange:
    """Wide parts that became others. Whose they are is found out when their bolts are sent."""

    generation: int
    """Of the org's wide head, since this change."""
    slots: int
    """Bit n: the part in slot n changed."""
    tightens: bool


@dataclass(frozen=True, slots=True)
class Announced:
    """What became of the bolts of one change."""

    queued: int = 0
    left_to_heartbeat: int = 0
    """There was no room for them before the next heartbeat."""
    lasts_s: int = 0
    """Seconds until the last of those queued goes out."""


def announce_policy(
    org_id: OrgId,
    targets: Iterable[NewTarget],
    wide: Iterable[WideChange],
    reason: str,
    stores: Stores,
    now: float,
) -> Announced:
    """Queue the bolts of one compile: what tightens before what loosens, VENs named one by one
    before waves. ``now`` in epoch seconds.

    Requests: for each of the two, 3 and one for every 1,000 bolts, and 3 for a wave; none for what
    there is none of. One to learn whether the org has bolts. The answer does not count waves: their
    bolts are queued later.
    """
    wanted = list(_reachable(targets, stores, int(now)))
    changes = list(wide)
    if (wanted or changes) and not has_lightning(org_id, stores):
        return Announced(left_to_heartbeat=len(wanted))
    announced = []
    for tightens in (True, False):
        orders = [
            BoltOrder(str(target.before.ven_id), target.before.connection_id, target.etag)
            for target in wanted
            if target.tightens is tightens
        ]
        announced.append(queue_bolts(org_id, orders, tightens, reason, stores, now))
        for change in changes:
            if change.tightens is tightens and change.slots:
                _queue_wave(org_id, change, reason, stores, now)
    return Announced(
        queued=sum(each.queued for each in announced),
        left_to_heartbeat=sum(each.left_to_heartbeat for each in announced),
        lasts_s=max(each.lasts_s for each in announced),
    )


def _reachable(targets: Iterable[NewTarget], stores: Stores, now: int) -> Iterator[NewTarget]:
    """The VENs that a bolt would reach. Of container workloads it is their host, once: whatever it
    hears, it asks what its containers should hold. One read for each such host."""
    hosts: dict[uuid.UUID, NewTarget] = {}
    for target in targets:
        before = target.before
        if before.host is None:
            if before.wants_bolt(now):
                yield target
        elif before.host not in hosts or target.tightens:
            hosts[before.host] = target
    for host_id, target in hosts.items():
        host = stores.presence.get(target.before.org_id, host_id)
        if host is not None and host.connection_id:
            yield replace(target, before=host, etag=current_etag(host, host.applied_etag, stores))


def queue_bolts(
    org_id: OrgId,
    orders: Sequence[BoltOrder],
    tightens: bool,
    reason: str,
    stores: Stores,
    now: float,
    fleet: int = 0,
    kind: BoltKind = "policy",
    spread_s: float = 0,
) -> Announced:
    """Book room for bolts and queue them for then, in order.

    ``fleet``: how many VENs the change concerns, when these are a part of them. ``kind``: what the
    bolts say. ``spread_s``: VENs wait up to this long, at least.
    """
    if not orders:
        return Announced()
    concerned = max(len(orders), fleet)
    if not tightens and concerned > PER_ORG:
        spread_s = max(spread_s, SPREAD_S)
    batches = [
        BoltBatch(
            org_id,
            list(orders[at : at + BOLTS_PER_MESSAGE]),
            reason,
            spread_s,
            _report_after_s(concerned),
            kind,
        )
        for at in range(0, len(orders), BOLTS_PER_MESSAGE)
    ]
    urgency: Urgency = "tightening" if tightens else "loosening"
    if tightens and len(batches) == 1 and not fleet:
        urgency = "small_tightening"
    sizes = [len(batch.orders) for batch in batches]
    delays_s = stores.bolt_plans.book(org_id, sizes, urgency, int(now))
    due = [
        (batch, delay_s)
        for batch, delay_s in zip(batches, delays_s, strict=True)
        if delay_s is not None
    ]
    stores.queues.send_bolts(due)
    queued = sum(len(batch.orders) for batch, _ in due)
    return Announced(queued, len(orders) - queued, due[-1][1] if due else 0)


def _report_after_s(concerned: int) -> float:
    """When so many VENs are to report: each between so long after its change and twice as long."""
    if concerned <= REPORTS_AT_ONCE:
        return 0
    return min(concerned / REPORTS_AT_ONCE, LAST_REPORT_S / 2)


def _queue_wave(org_id: OrgId, change: WideChange, reason: str, stores: Stores, now: float) -> None:
    """Add the change to the org's next wave, which begins when the one before it is through."""
    begins_at = stores.bolt_plans.add_to_wave(
        org_id, change.tightens, change.generation, change.slots
    )
    delay_s = min(max(0, begins_at - int(now)), HORIZON_S)
    stores.queues.send_bolts([(WaveOrder(org_id, change.tightens, reason), delay_s)])
