"""The heartbeat's modes and pace."""

import pytest

from ven.core import heartbeat
from ven.core.heartbeat import (
    JITTER,
    Answered,
    EnterMinimal,
    GiveSign,
    HeartbeatState,
    LeaveMinimal,
    Missed,
    ModeChanged,
    Soon,
    TellLost,
)
from ven.core.timing import NEVER, Dice, Tick

INTERVAL_S = 300
FOUR_HOURS_S = 4 * 3600


def started() -> HeartbeatState:
    return heartbeat.start(0, Dice(1), INTERVAL_S)


def after(*events: object, state: HeartbeatState | None = None, now: float = 0) -> HeartbeatState:
    state = state or started()
    for event in events:
        state, _ = heartbeat.step(state, event, now)
    return state


def test_first_heartbeat_is_due_at_once_and_sent_once() -> None:
    """One Tick sends it; a second one does not send another before an answer."""
    state, commands = heartbeat.step(started(), Tick(), 0)
    assert commands == (GiveSign(),)
    assert heartbeat.wake_at(state) == NEVER
    assert heartbeat.step(state, Tick(), 1e9)[1] == ()


@pytest.mark.parametrize("seed", range(20))
def test_server_sets_the_pace_with_jitter(seed: int) -> None:
    """The next one is due within 5 % of what the PCE said, early or late."""
    state = heartbeat.start(0, Dice(seed), INTERVAL_S)
    state, _ = heartbeat.step(state, Answered(77), 1000)
    wait_s = heartbeat.wake_at(state) - 1000
    assert 77 * (1 - JITTER) <= wait_s <= 77 * (1 + JITTER)


def test_three_misses_degrade_and_three_answers_restore() -> None:
    """Two misses change nothing; nor do two answers, or answers with a miss between them."""
    assert after(Missed(), Missed()).mode == "normal"
    assert after(Missed(), Missed(), Answered(300), Missed(), Missed()).mode == "normal"
    degraded, commands = heartbeat.step(after(Missed(), Missed()), Missed(), 0)
    assert (degraded.mode, commands) == ("degraded", (ModeChanged("degraded"),))
    good = Answered(300)
    assert after(good, good, state=degraded).mode == "degraded"
    assert after(good, good, Missed(), good, good, state=degraded).mode == "degraded"
    assert after(good, good, good, state=degraded).mode == "normal"


def test_failed_authentication_leads_to_minimal_and_one_answer_out() -> None:
    """The third miss by authentication stops collection and slows down; one answer undoes both."""
    refused = Missed(authentication=True)
    minimal, commands = heartbeat.step(after(refused, refused), refused, 1000)
    assert minimal.mode == "minimal"
    assert commands == (ModeChanged("minimal"), EnterMinimal())
    wait_s = heartbeat.wake_at(minimal) - 1000
    assert wait_s == pytest.approx(FOUR_HOURS_S, rel=JITTER)
    normal, commands = heartbeat.step(minimal, Answered(300), 2000)
    assert normal.mode == "normal"
    assert commands == (ModeChanged("normal"), LeaveMinimal())


def test_network_failure_then_failed_authentication() -> None:
    """Degraded by the network, minimal after three refusals in a row."""
    refused = Missed(authentication=True)
    degraded = after(Missed(), Missed(), Missed())
    assert after(refused, refused, Missed(), refused, state=degraded).mode == "degraded"
    assert after(refused, refused, refused, state=degraded).mode == "minimal"


def test_lost_is_told_once_after_four_hours_of_refusals() -> None:
    """Not at the beginning, not for network failures, and only once."""
    refused = Missed(authentication=True)
    state = after(refused, refused, refused)
    assert TellLost() not in heartbeat.step(state, refused, 3600)[1]
    assert heartbeat.step(state, Missed(), FOUR_HOURS_S)[1] == ()
    state, commands = heartbeat.step(state, refused, FOUR_HOURS_S)
    assert commands == (TellLost(),)
    assert heartbeat.step(state, refused, 2 * FOUR_HOURS_S)[1] == ()


def test_a_hint_brings_the_next_one_forward_within_its_spread() -> None:
    """A hint is kept even when an answer to an older heartbeat comes between."""
    state = after(Answered(300))
    state, _ = heartbeat.step(state, Soon(10), 100)
    assert 100 <= heartbeat.wake_at(state) <= 110
    state, _ = heartbeat.step(state, Answered(300), 101)
    assert heartbeat.wake_at(state) <= 110
