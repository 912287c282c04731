"""The watch over the firewall table: looked at, put back, reported, without a fight."""

from ven.core import tampering
from ven.core.timing import Tick


def tamper_until_reported(state: tampering.TamperState, now: float) -> tuple[object, float]:
    """One change by others, found and reverted; the time at which it was looked at."""
    state, _ = tampering.step(state, tampering.Suspected("nft"), now)
    due = tampering.wake_at(state)
    state, said = tampering.step(state, Tick(), due)
    assert said == (tampering.CheckKernel(),)
    state, said = tampering.step(state, tampering.Looked(intact=False), due)
    assert said == (tampering.RevertKernel(),)
    state, said = tampering.step(state, tampering.Reverted(succeeded=True), due)
    assert said == (tampering.ReportTampering(True, "nft", ""),)
    return state, due


def test_tampering_is_reverted_within_a_second_and_fights_slow_down() -> None:
    """Two programs that revert each other end at one revert a minute."""
    state, now, waits = tampering.TamperState(), 0.0, []
    for _ in range(10):
        state, due = tamper_until_reported(state, now)
        waits.append(round(due - now, 6))
        now = due
    assert waits[0] < 1
    assert waits == sorted(waits)
    assert waits[-1] == tampering.SLOWEST_PACE_S
    _, due = tamper_until_reported(state, now + 1000)
    assert due - now - 1000 < 1, "after a calm time it is quick again"


def test_a_false_alarm_reports_nothing() -> None:
    """Others change their own tables all the time."""
    state, _ = tampering.step(tampering.TamperState(), tampering.Suspected("docker"), 0)
    state, _ = tampering.step(state, Tick(), 1)
    state, said = tampering.step(state, tampering.Looked(intact=True), 1)
    assert said == ()
    assert state.phase == "quiet"


def test_a_refused_revert_is_reported_and_tried_again() -> None:
    """The table stays wrong, so the VEN looks again by itself."""
    state, _ = tampering.step(tampering.TamperState(), tampering.Suspected("nft"), 0)
    for event in (Tick(), tampering.Looked(False)):
        state, _ = tampering.step(state, event, 1)
    state, said = tampering.step(state, tampering.Reverted(succeeded=False), 1)
    assert said == (tampering.ReportTampering(False, "nft", ""),)
    assert state.phase == "suspicious"
