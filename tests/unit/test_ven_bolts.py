"""The bolt channel's life."""

import pytest

from ven.core import bolts
from ven.core.bolts import (
    BACKOFF_CAP_S,
    RENEWED_SPREAD_S,
    BoltState,
    CloseBolts,
    Failed,
    HeartbeatHint,
    Hold,
    Lost,
    OpenBolts,
    Opened,
    PolicyHint,
    Received,
    Release,
    Renew,
    SendKeepAlive,
    SetKeepAlive,
    Start,
    Stop,
)
from ven.core.timing import NEVER, Dice, Tick
from ven_protocol.bolts import Bolt
from ven_protocol.limits import BOLT_KEEPALIVE_S


def run(state: BoltState, *events: object, now: float = 0) -> tuple[BoltState, list[object]]:
    said: list[object] = []
    for event in events:
        state, commands = bolts.step(state, event, now)
        said += commands
    return state, said


def opened(seed: int = 1) -> BoltState:
    return run(bolts.start(Dice(seed), BOLT_KEEPALIVE_S), Start(), Tick(), Opened())[0]


def test_start_connects_at_once() -> None:
    """And asks for no heartbeat: the first one has just been sent."""
    _, said = run(bolts.start(Dice(1), 540), Start(), Tick(), Opened())
    assert said == [OpenBolts()]


def test_idle_connection_is_kept_alive_under_ten_minutes() -> None:
    """A message at least every keep-alive interval; a received bolt counts as one."""
    state = opened()
    assert bolts.wake_at(state) == BOLT_KEEPALIVE_S < 600
    state, said = run(state, Tick(), now=540)
    assert said == [SendKeepAlive()]
    state, _ = run(state, Received(Bolt(type="?"), "normal"), now=600)
    assert bolts.wake_at(state) == 600 + 540
    state, _ = run(state, SetKeepAlive(60), now=600)
    assert bolts.wake_at(state) == 660


@pytest.mark.parametrize("seed", range(10))
def test_connection_is_replaced_before_two_hours(seed: int) -> None:
    """At a random age; the old one stays until the new one is open, so there is no gap."""
    state = opened(seed)
    now, said = 0.0, []
    while OpenBolts() not in said:
        now = bolts.wake_at(state)
        state, said = run(state, Tick(), now=now)
    assert 6000 <= now <= 7080
    assert state.phase == "open"
    state, said = run(state, Opened(), now=now + 1)
    assert said == [], "nothing was missed, so no heartbeat is needed"
    assert state.replace_at > now + 6000


def test_replacement_ages_differ() -> None:
    """Fleets that connected together do not return together."""
    assert len({round(opened(seed).replace_at) for seed in range(20)}) > 15


def test_failed_replacement_is_tried_again_while_the_old_one_lives() -> None:
    """And the loss of the old one meanwhile is a gap."""
    state = opened()
    state, _ = run(state, Tick(), now=7100)
    state, said = run(state, Failed(), now=7100)
    assert (state.phase, said) == ("open", [])
    assert state.replace_at <= 7100 + 2
    state, said = run(state, Tick(), Lost(), Opened(), now=7103)
    assert said == [OpenBolts(), HeartbeatHint(0)]


def test_loss_leads_to_full_jitter_backoff_and_a_heartbeat_when_back() -> None:
    """Waits grow to five minutes at most; what was missed is asked for once connected."""
    state, _ = run(opened(), Lost(), now=100)
    now = 100.0
    waits = []
    for _ in range(30):
        waits.append(bolts.wake_at(state) - now)
        now = bolts.wake_at(state)
        state, said = run(state, Tick(), Failed(), now=now)
        assert said == [OpenBolts()]
    assert waits[0] <= 1
    assert max(waits) <= BACKOFF_CAP_S
    assert max(waits) > 60
    _, said = run(state, Tick(), Opened(), now=bolts.wake_at(state))
    assert said == [OpenBolts(), HeartbeatHint(0)]


def test_stop_closes_and_nothing_is_due() -> None:
    """Minimal mode: no channel, no timers; what comes late is ignored."""
    state, said = run(opened(), Stop())
    assert said == [CloseBolts()]
    assert bolts.wake_at(state) == NEVER
    late = (Opened(), Failed(), Lost(), Received(Bolt(type="policy", etag="e"), "normal"), Tick())
    assert run(state, *late) == (state, [])


def test_bolts_become_hints() -> None:
    """A policy bolt names an etag, a heartbeat bolt asks for a heartbeat, others are ignored."""
    policy = Received(Bolt(type="policy", etag="e", spread_s=3), "normal")
    assert run(opened(), policy)[1] == [PolicyHint("e", 3)]
    brings = Bolt(type="policy", etag="e", base="d", reply=b"gz", report_after_s=4)
    assert run(opened(), Received(brings, "normal"))[1] == [PolicyHint("e", 0, "d", b"gz", 4)]
    heartbeat = Received(Bolt(type="heartbeat", spread_s=2), "normal")
    assert run(opened(), heartbeat)[1] == [HeartbeatHint(2)]
    assert run(opened(), Received(Bolt(type="of-tomorrow"), "normal"))[1] == []


def test_degraded_hears_only_upgrade_and_support_report() -> None:
    """ "VEN-to-PCE Communication": other bolts are ignored in the degraded state."""
    for reason, heard in (
        ("policy", False),
        ("", False),
        ("upgrade", True),
        ("support_report", True),
    ):
        bolt = Bolt(type="heartbeat", reason=reason)
        assert bool(run(opened(), Received(bolt, "degraded"))[1]) is heard
    for bolt in (Bolt(type="policy", etag="e"), Bolt(type="policy", etag="e", reply=b"gz")):
        assert run(opened(), Received(bolt, "degraded"))[1] == []


def test_closing_bolt_replaces_the_connection_whatever_the_mode() -> None:
    """The PCE is about to close: connect again first."""
    state, _ = run(opened(), Received(Bolt(type="closing", spread_s=5), "degraded"))
    assert state.replace_at <= 5


def test_connection_is_renewed_when_enforcement_begins() -> None:
    """The new one before the old one goes; then a heartbeat, for the old one may have been deaf:
    within a minute, since a whole fleet may begin at once."""
    state, said = run(opened(), Renew())
    assert said == [OpenBolts()]
    assert state.phase == "open"
    state, said = run(state, Opened())
    assert said == [HeartbeatHint(RENEWED_SPREAD_S)]
    assert bolts.wake_at(state) == BOLT_KEEPALIVE_S, "and that was all"


@pytest.mark.parametrize("begun_by", ["first", "replacement"])
def test_connection_that_was_being_opened_is_renewed_too(begun_by: str) -> None:
    """When enforcement begins between its first packet and its opening."""
    state = bolts.start(Dice(1), BOLT_KEEPALIVE_S) if begun_by == "first" else opened()
    state, _ = run(state, Start(), Tick(), now=7080)
    state, said = run(state, Renew(), Opened(), now=7081)
    assert said == [OpenBolts()]
    state, said = run(state, Opened(), now=7082)
    assert said == [HeartbeatHint(RENEWED_SPREAD_S)]
    assert state.replace_at > 7082 + 6000


def test_a_real_gap_is_asked_for_at_once_although_the_connection_is_renewed() -> None:
    """One that was lost before, or is lost while its replacement is being opened."""
    state, _ = run(opened(), Lost())
    state, said = run(state, Tick(), Renew(), Opened(), now=BACKOFF_CAP_S)
    assert said == [OpenBolts(), OpenBolts()]
    assert run(state, Opened())[1] == [HeartbeatHint(0)]
    state, _ = run(opened(), Renew(), Lost())
    assert run(state, Opened())[1] == [HeartbeatHint(0)]


def test_a_replacement_that_overlaps_asks_for_nothing() -> None:
    """No bolt falls between the two."""
    state, said = run(opened(), Tick(), now=7200)
    assert OpenBolts() in said
    assert run(state, Opened(), now=7201)[1] == []


def test_no_connection_needs_no_renewal() -> None:
    """Whatever is opened later is young enough."""
    for state in (bolts.start(Dice(1), 540), run(opened(), Lost())[0]):
        assert run(state, Renew()) == (state, [])
    state, _ = run(bolts.start(Dice(1), 540), Start(), Tick(), Renew(), Failed())
    state, said = run(state, Tick(), Opened(), now=BACKOFF_CAP_S)
    assert said == [OpenBolts(), HeartbeatHint(0)]


def test_a_degraded_ven_opens_nothing_until_a_heartbeat_was_answered() -> None:
    """A connection that is open stays; one that waits, or fails, waits for the answer."""
    state, _ = run(opened(), Hold())
    assert state.phase == "open"
    state, _ = run(state, Lost(), now=10)
    assert (state.phase, bolts.wake_at(state)) == ("waiting", NEVER)
    state, said = run(state, Release(), Tick(), now=500)
    assert said == [OpenBolts()]
    waiting, _ = run(opened(), Lost(), Hold())
    assert bolts.wake_at(waiting) == NEVER
    trying, _ = run(opened(), Lost(), Tick(), Hold(), now=1)
    assert bolts.wake_at(run(trying, Failed(), now=2)[0]) == NEVER
    assert run(opened(), Release())[0] == opened(), "nothing was held"


@pytest.mark.parametrize("seed", range(10))
def test_one_that_is_refused_as_one_too_many_waits_as_long_as_a_heartbeat(seed: int) -> None:
    """At its first attempt already, so that those who came together come apart."""
    waits = []
    for busy in (False, True):
        state, _ = run(opened(seed), Lost(), now=1)
        state, _ = run(state, Tick(), Failed(busy), now=2)
        waits.append(bolts.wake_at(state) - 2)
    as_ever, refused = waits
    assert as_ever <= 2
    assert refused == pytest.approx(as_ever * BACKOFF_CAP_S / 2)
