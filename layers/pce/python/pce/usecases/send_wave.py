"""Announce wide parts that changed: find the VENs that have them and queue their bolts.

A change of a wide part writes nothing to its VENs. Which they are stands in their presence rows,
and is read here, once for all changes that came together: a wave waits until the one before it is
through, and takes along what changed meanwhile.
"""

from pce.identifiers import OrgId
from pce.presence.record import Presence
from pce.store.bolt_plans import Wave, slots_bytes, slots_of
from pce.store.presence_key import presence_partitions
from pce.store.queues import BoltOrder, WaveOrder, WavePart
from pce.usecases.announce_policy import Announced, queue_bolts
from pce.usecases.current_etag import current_etag
from pce.usecases.stores import Stores

SPLIT_FROM = 500
"""Rows in one presence partition (of 16) from which each gets a message of its own: one function
reads 8,000 rows in a second, and has 30."""


def begin_wave(order: WaveOrder, stores: Stores, now: float) -> Announced:
    """Queue the bolts of a wave, or its parts when the org is large. Nothing when another message
    has taken along what it was about."""
    org_id = OrgId(order.org_id)
    wave = stores.bolt_plans.take_wave(org_id, order.tightens)
    if wave is None:
        return Announced()
    rows: list[Presence] = []
    partitions = presence_partitions(org_id)
    for number, partition in enumerate(partitions):
        rows += stores.presence.bolt_rows(partition)
        if len(rows) >= SPLIT_FROM * (number + 1):
            parts = [_part(order, wave, other) for other in partitions]
            stores.queues.send_bolts([(part, 0) for part in parts])
            return Announced()
    return _queue(order, wave, rows, len(rows), stores, now)


def send_wave_part(part: WavePart, stores: Stores, now: float) -> Announced:
    """Queue the bolts of one presence partition."""
    rows = stores.presence.bolt_rows(part.partition)
    wave = Wave(part.generation, slots_of(part.slots))
    fleet = len(rows) * len(presence_partitions(OrgId(part.org_id)))
    return _queue(part, wave, rows, fleet, stores, now)


def _queue(
    order: WaveOrder | WavePart,
    wave: Wave,
    rows: list[Presence],
    fleet: int,
    stores: Stores,
    now: float,
) -> Announced:
    org_id = OrgId(order.org_id)
    concerned = [row for row in rows if row.wide_slots & wave.slots]
    orders = [
        BoltOrder(str(row.ven_id), row.connection_id, f"{row.target}.{wave.generation}")
        for row in concerned
        if row.wants_bolt(int(now))
    ]
    # Of containers their host is told, which asks for all of them.
    for host_id in sorted({row.host for row in concerned if row.host}):
        host = stores.presence.get(org_id, host_id)
        if host is not None and host.connection_id:
            etag = current_etag(host, host.applied_etag, stores)
            orders.append(BoltOrder(str(host_id), host.connection_id, etag))
    announced = queue_bolts(org_id, orders, order.tightens, order.reason, stores, now, fleet=fleet)
    if announced.lasts_s:
        stores.bolt_plans.wave_lasts(org_id, order.tightens, int(now) + announced.lasts_s)
    return announced


def _part(order: WaveOrder, wave: Wave, partition: str) -> WavePart:
    return WavePart(
        org_id=order.org_id,
        tightens=order.tightens,
        reason=order.reason,
        generation=wave.generation,
        slots=slots_bytes(wave.slots),
        partition=partition,
    )
