"""What is wrong with a VEN, in the words of its heartbeats."""

import pytest

from ven.core import health, policy_state, reports
from ven.core.timing import Dice

HOUR_S = 3600


@pytest.mark.parametrize(
    ("known_s", "seen_s", "said_s"),
    [
        (0, 0, 0),
        (0, 300, 0),
        (0, -300, 0),
        (0, 301, 300),
        (0, -301, -300),
        (0, HOUR_S + 29, HOUR_S),
        (HOUR_S, HOUR_S + 59, HOUR_S),
        (HOUR_S, HOUR_S - 59, HOUR_S),
        (HOUR_S, HOUR_S + 61, HOUR_S + 60),
        (HOUR_S, -HOUR_S, -HOUR_S),
        (300, 299, 300),
        (300, 241, 300),
        (300, 240, 0),
        (HOUR_S, 2, 0),
    ],
)
def test_a_clock_is_off_from_five_minutes_on(known_s: int, seen_s: float, said_s: int) -> None:
    """In whole minutes; seconds of the network or of a slow drift change nothing that was said."""
    assert health.clock_off(known_s, seen_s) == said_s


def test_a_wrong_clock_is_a_condition() -> None:
    """It says which way, and what comes of it; a clock that is right is none."""
    policy = policy_state.start(Dice(1))
    none = reports.ReportState()
    assert health.conditions(policy, none, 0) == []
    [ahead] = health.conditions(policy, none, HOUR_S)
    [behind] = health.conditions(policy, none, -2 * HOUR_S)
    assert (ahead.code, ahead.severity) == ("host_clock_off", "warning")
    assert "60 minutes ahead" in ahead.message and "flows wait" in ahead.message
    assert "120 minutes behind" in behind.message and "refused" in behind.message


def test_a_report_that_the_pce_will_not_take_is_a_condition() -> None:
    """Until one is taken; the network's troubles are none. Peers need addresses most."""
    state = reports.ReportState()
    for event in (
        reports.Observed("interfaces", "too many"),
        reports.ReportFailed("interfaces", "406 invalid_field: at most 4096"),
        reports.Reachable(),
        reports.ReportFailed("interfaces"),
        reports.Observed("services", "ports"),
        reports.ReportFailed("services"),
    ):
        state, _ = reports.step(state, event)
    [wrong] = health.conditions(policy_state.start(Dice(1)), state, 0)
    assert (wrong.code, wrong.severity) == ("interfaces_report_refused", "error")
    assert wrong.message == "406 invalid_field: at most 4096"
    was_so, _ = reports.step(state, reports.Observed("interfaces", ""))
    assert not reports.refusals(was_so), "the PCE has what is the case"
    state, _ = reports.step(state, reports.Reachable())
    state, _ = reports.step(state, reports.ReportAccepted("interfaces"))
    assert health.conditions(policy_state.start(Dice(1)), state, 0) == []
