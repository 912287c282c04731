"""Actions, reports, the outbox, tampering: the VEN's smaller state machines."""

from ven.core import actions, outbox, reports, tampering
from ven.core.timing import Tick
from ven_protocol.messages import Action


def run(step: object, state: object, *events: object) -> tuple[object, list[object]]:
    said: list[object] = []
    for event in events:
        state, commands = step(state, event)
        said += commands
    return state, said


def ask(*types: str) -> actions.Asked:
    return actions.Asked(tuple(Action(id=type, type=type) for type in types))


def test_unknown_actions_are_reported_done_and_ignored() -> None:
    """So that a newer PCE does not ask for ever."""
    state, said = run(actions.step, actions.start(), ask("of-tomorrow", "upgrade"))
    assert not [command for command in said if isinstance(command, actions.Do)]
    assert actions.named(state) == ("of-tomorrow", "upgrade")


def test_repeated_action_is_done_once() -> None:
    """While it runs, after it is done, and after its report was heard."""
    state, said = run(actions.step, actions.start(), ask("unpair"), ask("unpair"))
    assert len(said) == 1
    state, said = run(actions.step, state, actions.Finished("unpair"), ask("unpair"))
    assert said == [actions.RememberActions(("unpair",))]
    state, _ = run(actions.step, state, actions.Reported(("unpair",)))
    assert actions.named(state) == ()
    state, said = run(actions.step, state, ask("unpair"))
    assert said == []
    assert actions.named(state) == ("unpair",), "the PCE did not hear it: say it again"


def test_restart_is_remembered_before_it_is_done() -> None:
    """Else the next process would restart again."""
    _, said = run(actions.step, actions.start(), ask("restart"))
    assert [type(command) for command in said] == [actions.RememberActions, actions.Do]
    again = actions.start(done=("restart",))
    assert run(actions.step, again, ask("restart"))[1] == []
    assert actions.named(again) == ("restart",)


def test_refresh_policy_is_passed_on() -> None:
    """And is done with that."""
    state, said = run(actions.step, actions.start(), ask("refresh_policy"))
    assert said[0] == actions.RefreshAsked()
    assert actions.named(state) == ("refresh_policy",)


def test_report_is_sent_when_changed_and_not_otherwise() -> None:
    """Same content, no request; new content while one is on its way goes after it."""
    state, said = run(reports.step, reports.ReportState(), reports.Observed("services", "a"))
    assert said == [reports.SendReport("services")]
    state, said = run(
        reports.step,
        state,
        reports.Observed("services", "b"),
        reports.ReportAccepted("services"),
    )
    assert said == [reports.SendReport("services")]
    state, said = run(
        reports.step,
        state,
        reports.ReportAccepted("services"),
        reports.Observed("services", "b"),
        reports.Reachable(),
    )
    assert said == []


def test_failed_report_is_sent_again_when_the_pce_answers() -> None:
    """No timer of its own: the next answered heartbeat brings it."""
    state, said = run(
        reports.step,
        reports.ReportState(),
        reports.Observed("interfaces", "a"),
        reports.ReportFailed("interfaces"),
    )
    assert len(said) == 1
    assert run(reports.step, state, reports.Reachable())[1] == [reports.SendReport("interfaces")]


def batch(seq: int, size: int = 10) -> outbox.Stored:
    return outbox.Stored(outbox.Batch(seq, size))


def test_batches_are_posted_oldest_first_one_at_a_time() -> None:
    """A batch that did not get there stays first."""
    state, said = run(outbox.step, outbox.OutboxState(), batch(1), batch(2), outbox.PostNext())
    assert said == [outbox.PostFlows(1)]
    assert run(outbox.step, state, outbox.PostNext())[1] == []
    state, said = run(outbox.step, state, outbox.NotAccepted(1), outbox.PostNext())
    assert said == [outbox.PostFlows(1)]
    state, said = run(outbox.step, state, outbox.Accepted(1), outbox.PostNext())
    assert said == [outbox.ForgetBatch(1, lost=False), outbox.PostFlows(2)]


def test_disk_cap_drops_the_oldest_but_not_the_one_on_its_way() -> None:
    """The cap holds, and every loss is said."""
    third = outbox.CAP_BYTES // 3
    state, _ = run(outbox.step, outbox.OutboxState(), batch(1, third), outbox.PostNext())
    state, said = run(outbox.step, state, *(batch(seq, third) for seq in (2, 3, 4, 5)))
    assert said == [outbox.ForgetBatch(2, lost=True), outbox.ForgetBatch(3, lost=True)]
    assert [kept.seq for kept in state.waiting] == [1, 4, 5]
    assert sum(kept.size_bytes for kept in state.waiting) <= outbox.CAP_BYTES


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
