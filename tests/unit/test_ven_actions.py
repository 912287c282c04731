"""What the PCE asks for is done once, and reported until the PCE has heard it."""

from ven.core import actions
from ven_protocol.messages import Action


def run(state: actions.ActionState, *events: object) -> tuple[actions.ActionState, list[object]]:
    said: list[object] = []
    for event in events:
        state, commands = actions.step(state, event)
        said += commands
    return state, said


def ask(*types: str) -> actions.Asked:
    return actions.Asked(tuple(Action(id=type, type=type) for type in types))


def test_unknown_actions_are_reported_done_and_ignored() -> None:
    """So that a newer PCE does not ask for ever."""
    state, said = run(actions.start(), ask("of-tomorrow", "reboot"))
    assert not [command for command in said if isinstance(command, actions.Do)]
    assert actions.named(state) == ("of-tomorrow", "reboot")


def test_repeated_action_is_done_once() -> None:
    """While it runs, after it is done, and after its report was heard."""
    state, said = run(actions.start(), ask("unpair"), ask("unpair"))
    assert len(said) == 1
    state, said = run(state, actions.Finished("unpair"), ask("unpair"))
    assert said == [actions.RememberActions(("unpair",))]
    state, _ = run(state, actions.Reported(("unpair",)))
    assert actions.named(state) == ()
    state, said = run(state, ask("unpair"))
    assert said == []
    assert actions.named(state) == ("unpair",), "the PCE did not hear it: say it again"


def test_restart_is_remembered_before_it_is_done() -> None:
    """Else the next process would restart again."""
    _, said = run(actions.start(), ask("restart"))
    assert [type(command) for command in said] == [actions.RememberActions, actions.Do]
    again = actions.start(done=("restart",))
    assert run(again, ask("restart"))[1] == []
    assert actions.named(again) == ("restart",)


def test_a_wish_for_flows_is_passed_on() -> None:
    """And is done with that; heard again it begins nothing anew."""
    state, said = run(actions.start(), ask("report_flows"), ask("report_flows"))
    assert said == [actions.FlowsAsked(), actions.RememberActions(("report_flows",))]
    assert actions.named(state) == ("report_flows",)


def test_refresh_policy_is_passed_on() -> None:
    """And is done with that."""
    state, said = run(actions.start(), ask("refresh_policy"))
    assert said[0] == actions.RefreshAsked()
    assert actions.named(state) == ("refresh_policy",)
