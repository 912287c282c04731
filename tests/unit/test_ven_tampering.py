"""The watch over the firewall table: looked at, put back, reported, without a fight."""

from ven.core import tampering
from ven.core.timing import NEVER, Tick


def tamper(
    state: tampering.TamperState, now: float, takes_s: float = 0.05
) -> tuple[tampering.TamperState, float, tuple[object, ...]]:
    """One change by others, found and reverted; when it was looked at, and what was said then."""
    state, _ = tampering.step(state, tampering.Suspected("nft"), now)
    due = state.look_at
    state, said = tampering.step(state, Tick(), due)
    assert tampering.CheckKernel() in said
    earlier = tuple(each for each in said if isinstance(each, tampering.ReportTampering))
    state, said = tampering.step(state, tampering.Looked(intact=False), due)
    assert said == (tampering.RevertKernel(),)
    state, said = tampering.step(state, tampering.Reverted(True, takes_s), due + takes_s)
    return state, due, earlier + said


def test_each_change_of_a_few_is_reverted_and_reported_within_a_second() -> None:
    """Also the tenth, right after the ninth."""
    state, now = tampering.TamperState(), 0.0
    for _ in range(tampering.REPORTS_AT_ONCE):
        state, due, said = tamper(state, now)
        assert said == (tampering.ReportTampering(True, "nft", ""),)
        assert due - now < 1
        now = due + 0.05


def test_a_storm_takes_a_tenth_of_a_core() -> None:
    """However fast others change the table, and however large it is."""
    for takes_s in (0.05, 2.0):
        state, now, busy_s = tampering.TamperState(), 0.0, 0.0
        for _ in range(200):
            state, due, _ = tamper(state, now, takes_s)
            busy_s += takes_s
            now = due + takes_s
        assert busy_s / now < 0.11


def test_reports_of_a_storm_are_counted_out_and_lose_no_revert() -> None:
    """Ten at once, then one a minute, which tells of all since."""
    state, now, told = tampering.TamperState(), 0.0, []
    for _ in range(500):
        state, due, said = tamper(state, now)
        told += said
        now = due + 0.05
    assert len(told) <= 10 + now / 60 + 1
    state, said = tampering.step(state, Tick(), tampering.wake_at(state))
    told += said
    assert sum(report.reverts for report in told) == 500
    assert tampering.wake_at(state) == NEVER


def test_a_false_alarm_reports_nothing() -> None:
    """Others change their own tables all the time."""
    state, _ = tampering.step(tampering.TamperState(), tampering.Suspected("docker"), 0)
    state, _ = tampering.step(state, Tick(), 1)
    state, said = tampering.step(state, tampering.Looked(intact=True), 1)
    assert said == ()
    assert state.phase == "quiet"


def test_a_refused_revert_is_reported_and_tried_again() -> None:
    """The table stays wrong, so the VEN looks again by itself, each time after twice as long."""
    state, now, waits = tampering.TamperState(), 0.0, []
    state, _ = tampering.step(state, tampering.Suspected("nft"), now)
    for number in range(9):
        now = state.look_at
        for event in (Tick(), tampering.Looked(False)):
            state, _ = tampering.step(state, event, now)
        state, said = tampering.step(state, tampering.Reverted(succeeded=False), now)
        assert said == (tampering.ReportTampering(False, "" if number else "nft", ""),)
        assert state.phase == "suspicious"
        waits.append(state.look_at - now)
    assert waits[:3] == [1, 2, 4] and waits[-1] == tampering.SLOWEST_PACE_S
    for event in (Tick(), tampering.Looked(True)):
        state, said = tampering.step(state, event, state.look_at + 1000)
    assert said == (tampering.ReportTampering(True, "", tampering.HEALED, 0),)


def test_who_changes_the_table_during_a_look_is_named() -> None:
    """The look that was under way may have come before the change, or after it."""
    state, _ = tampering.step(tampering.TamperState(), tampering.Suspected(), 0)
    state, _ = tampering.step(state, Tick(), 1)
    state, _ = tampering.step(state, tampering.Suspected("nft", "generation 7"), 1)
    before, _ = tampering.step(state, tampering.Looked(intact=True), 1)
    before, _ = tampering.step(before, Tick(), before.look_at)
    for looking, now in ((state, 1.0), (before, 2.0)):
        found, said = tampering.step(looking, tampering.Looked(intact=False), now)
        assert said == (tampering.RevertKernel(),)
        _, said = tampering.step(found, tampering.Reverted(True), now)
        assert said == (tampering.ReportTampering(True, "nft", "generation 7"),)


def test_a_name_is_forgotten_when_all_is_well() -> None:
    """The next change is somebody else's."""
    state, _ = tampering.step(tampering.TamperState(), tampering.Suspected("nft"), 0)
    for event in (Tick(), tampering.Looked(intact=True)):
        state, _ = tampering.step(state, event, 1)
    assert state.process_name == ""
