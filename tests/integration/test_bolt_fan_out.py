"""Bolts from the compile to the connection: whom, in which order, how many, at what cost."""

import uuid
from collections.abc import Iterator, Sequence

import pytest

from pce.identifiers import OrgId
from pce.policy.pacing import HORIZON_S, PER_ORG
from pce.policy.parts import Target
from pce.runtime.wiring import Wiring
from pce.store.change import Change, PresenceChange, Put
from pce.store.presence import token_hash
from pce.store.queues import BoltBatch, BoltOrder, WaveOrder, WavePart
from pce.usecases import send_wave
from pce.usecases.announce_policy import (
    REPORTS_AT_ONCE,
    SPREAD_S,
    Announced,
    NewTarget,
    WideChange,
    announce_policy,
    queue_bolts,
)
from pce.usecases.send_bolts import BUSY_S, send_bolts
from pce.usecases.send_wave import begin_wave, send_wave_part
from tests.fakes.fan_out import Connections, Queued
from tests.fakes.installation import Requests, installed
from ven_protocol.paths import AgentToken

ORG = OrgId(1)
NOW = 1_800_000_000


@pytest.fixture
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        stores.__dict__["queues"] = Queued()
        yield stores


def queued(stores: Wiring) -> Queued:
    found = stores.queues
    assert isinstance(found, Queued)
    return found


def ven(stores: Wiring, connection: str = "", slots: int = 0) -> AgentToken:
    """A VEN whose policy is ``t``, with wide parts in these slots."""
    token = AgentToken.new(ORG, uuid.uuid4())
    created = PresenceChange(token.ven_id, create_at=100, token_hash=token_hash(token.secret))
    stores.objects.commit(Change(ORG, presence=(created,)))
    stores.presence.set_target(ORG, token.ven_id, Target("t", slots), 1, NOW - 1000)
    attributes = {"ci": {"S": connection}} if connection else {}
    stores.presence.sign_of_life(token, NOW - 100, attributes=attributes, remove=("bo",))
    return token


def test_without_lightning_bolts_policy_waits_for_the_heartbeat(stores: Wiring) -> None:
    """An org that has switched them off: nothing is booked or queued, whatever changed."""
    features = {"features": [{"name": "lightning_default", "enabled": False}]}
    off = Put("settings", "optional_features", features)
    stores.objects.commit(Change(ORG, puts=(off,)))
    changed = [retarget(stores, ven(stores, "c1"), 2, NOW)]
    wide = [WideChange(7, 0b1, tightens=True)]
    announced = announce_policy(ORG, changed, wide, "test", stores, NOW)
    assert announced == Announced(left_to_heartbeat=1)
    assert not queued(stores).messages


def retarget(stores: Wiring, token: AgentToken, compile: int, now: int) -> NewTarget:
    before = stores.presence.set_target(ORG, token.ven_id, Target(f"t{compile}", 0), compile, now)
    assert before is not None
    return NewTarget(before, f"t{compile}", tightens=False)


def announce(stores: Wiring, *targets: NewTarget, wide: Sequence[WideChange] = (), now: int = NOW):
    return announce_policy(ORG, targets, wide, "rule", stores, now)


def test_what_tightens_goes_before_what_loosens_and_one_by_one_before_waves(stores):
    """The order in which a compile's bolts are queued, whatever order it names them in."""
    targets = [retarget(stores, ven(stores, name), 2, NOW) for name in ("l1", "t1", "l2", "t2")]
    tightening = [
        NewTarget(target.before, target.etag, target.before.connection_id.startswith("t"))
        for target in targets
    ]
    wide = [WideChange(5, 0b10, tightens=False), WideChange(5, 0b01, tightens=True)]
    announce(stores, *tightening, wide=wide)
    (tight, _), (tight_wave, _), (loose, _), (loose_wave, _) = queued(stores).messages
    assert [order.connection_id for order in tight.orders] == ["t1", "t2"]
    assert [order.connection_id for order in loose.orders] == ["l1", "l2"]
    assert (tight_wave, loose_wave) == (WaveOrder(ORG, True, "rule"), WaveOrder(ORG, False, "rule"))


def test_one_bolt_at_a_time(stores):
    """Until a VEN has fetched, or 60 s have passed, further changes queue no bolt for it."""
    token = ven(stores, "c")
    announce(stores, retarget(stores, token, 2, NOW))
    announce(stores, retarget(stores, token, 3, NOW + 59), now=NOW + 59)
    assert len(queued(stores).orders()) == 1
    announce(stores, retarget(stores, token, 4, NOW + 60), now=NOW + 60)
    announce(stores, retarget(stores, token, 5, NOW + 119), now=NOW + 119)
    assert len(queued(stores).orders()) == 2, "the lost one is replaced, once"
    stores.presence.sign_of_life(token, NOW + 119, remove=("bo",))  # it fetches
    announce(stores, retarget(stores, token, 6, NOW + 120), now=NOW + 120)
    assert len(queued(stores).orders()) == 3


def test_a_ven_without_connection_gets_no_bolt(stores):
    """Its heartbeat brings the news; nothing is booked or queued."""
    target = retarget(stores, ven(stores), 2, NOW)
    with Requests(stores) as requests:
        assert announce(stores, target) == Announced()
    assert not requests.counts and not queued(stores).messages


def test_announcing_a_hundred_costs_three_requests(stores):
    """Two timetables are read, and written in one transaction; the queue takes the rest."""
    orders = [BoltOrder(str(uuid.uuid4()), f"c{n}", "t2") for n in range(100)]
    with Requests(stores) as requests:
        queue_bolts(ORG, orders, True, "rule", stores, NOW)
    assert requests.counts == {"GetItem": 2, "TransactWriteItems": 1}


def test_a_fleet_is_paced_and_spread_and_what_finds_no_room_is_left(stores):
    """Delays grow with the bookings of those before; nothing waits longer than a heartbeat."""
    orders = [BoltOrder(str(uuid.uuid4()), f"c{n}", "t2") for n in range(PER_ORG + 100)]
    first = queue_bolts(ORG, orders, False, "rule", stores, NOW)
    assert first.queued == len(orders) and first.lasts_s == 1
    assert {message.spread_s for message, _ in queued(stores).messages} == {SPREAD_S}
    reports_after_s = {message.report_after_s for message, _ in queued(stores).messages}
    assert reports_after_s == {len(orders) / REPORTS_AT_ONCE}
    again = queue_bolts(ORG, orders[:100], False, "rule", stores, NOW)
    assert again.lasts_s == 1, "after those"
    small = queue_bolts(ORG, orders[:100], True, "rule", stores, NOW)
    assert small.lasts_s == 0, "what tightens finds room at once"
    assert queued(stores).messages[-1][0].report_after_s == 0
    late = queue_bolts(ORG, orders[:100], False, "rule", stores, NOW - HORIZON_S)
    assert late.queued == 100
    full = queue_bolts(ORG, orders * 300, False, "rule", stores, NOW)
    assert full.left_to_heartbeat > 0 and full.lasts_s == HORIZON_S


def test_a_wave_reaches_connected_vens_that_have_a_changed_part(stores):
    """By the slots in their rows; not those without connection, or with a bolt under way."""
    ven(stores, "both", 0b11)
    ven(stores, "one", 0b01)
    ven(stores, "other", 0b10)
    ven(stores, "narrow")
    ven(stores, slots=0b11)
    stores.presence.set_target(ORG, ven(stores, "told", 0b11).ven_id, Target("t", 0b11), 2, NOW)
    announce(stores, wide=[WideChange(7, 0b01, tightens=True)])
    ((wave, delay_s),) = queued(stores).messages
    assert delay_s == 0
    begin_wave(wave, stores, NOW)
    assert sorted(connection for connection, _ in queued(stores).orders()) == ["both", "one"]
    batch = queued(stores).messages[-1][0]
    assert {order.etag for order in batch.orders} == {"t.7"}


def test_waves_that_wait_become_one(stores):
    """The first message takes along what changed meanwhile, the others find nothing."""
    ven(stores, "a", 0b001)
    ven(stores, "b", 0b010)
    for generation, slots in ((7, 0b001), (8, 0b010), (9, 0b100)):
        announce(stores, wide=[WideChange(generation, slots, tightens=False)])
    waves = [message for message, _ in queued(stores).messages]
    assert begin_wave(waves[0], stores, NOW).queued == 2
    assert {order.etag for order in queued(stores).messages[-1][0].orders} == {"t.9"}
    assert begin_wave(waves[1], stores, NOW) == begin_wave(waves[2], stores, NOW) == Announced()


def test_a_wave_waits_until_the_one_before_it_is_through(stores):
    """What loosens; what tightens waits for what tightens only."""
    ven(stores, "a", 1)
    stores.bolt_plans.wave_lasts(ORG, tightens=False, through=NOW + 40)
    announce(stores, wide=[WideChange(7, 1, tightens=False), WideChange(7, 1, tightens=True)])
    assert [delay_s for _, delay_s in queued(stores).messages] == [0, 40]


def test_a_large_wave_is_split_by_presence_partition(stores, monkeypatch):
    """Each part stands for itself: repeated or late it announces the same."""
    monkeypatch.setattr(send_wave, "SPLIT_FROM", 0)
    for number in range(20):
        ven(stores, f"c{number}", 0b1000_0000_0001)
    announce(stores, wide=[WideChange(7, 1 << 11, tightens=False)])
    ((wave, _),) = queued(stores).messages
    begin_wave(wave, stores, NOW)
    parts = [message for message, _ in queued(stores).messages if isinstance(message, WavePart)]
    assert len(parts) == 16
    for part in parts:
        send_wave_part(part, stores, NOW)
    connections = sorted(connection for connection, _ in queued(stores).orders())
    assert connections == sorted(f"c{number}" for number in range(20))


def test_gone_connections_are_forgotten_and_busy_ones_tried_once_more(stores):
    """One that is still being opened is not gone, but tried again; who fails twice is left."""
    gone, opening, busy, well = (ven(stores, c) for c in ("gone", "opening", "busy", "well"))
    stores.presence.sign_of_life(opening, NOW - 5)
    stores.__dict__["bolts"] = Connections(gone="gone", opening="gone", busy="busy")
    orders = [
        BoltOrder(str(token.ven_id), connection, "t2")
        for token, connection in (
            (gone, "gone"),
            (opening, "opening"),
            (busy, "busy"),
            (well, "well"),
        )
    ]
    sent = send_bolts(BoltBatch(ORG, orders, "rule"), stores, NOW)
    assert (sent.sent, sent.gone, sent.busy) == (1, 2, 1)
    rows = {token: stores.presence.get(ORG, token.ven_id) for token in (gone, opening, busy)}
    assert [row.connection_id for row in rows.values() if row] == ["", "opening", "busy"]
    ((again, delay_s),) = queued(stores).messages
    assert again == BoltBatch(ORG, orders[1:3], "rule", repeated=True) and delay_s == BUSY_S
    send_bolts(again, stores, NOW + 5)
    assert len(queued(stores).messages) == 1
    bolt = {"type": "policy", "etag": "t2", "reason": "rule"}
    assert stores.bolts.posted[3] == ("well", bolt)
