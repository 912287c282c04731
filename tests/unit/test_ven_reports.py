"""Reports of interfaces and services: when they changed, and when the PCE can be reached."""

from ven.core import reports


def run(state: reports.ReportState, *events: object) -> tuple[reports.ReportState, list[object]]:
    said: list[object] = []
    for event in events:
        state, commands = reports.step(state, event)
        said += commands
    return state, said


def test_report_is_sent_when_changed_and_not_otherwise() -> None:
    """Same content, no request; new content while one is on its way goes after it."""
    state, said = run(reports.ReportState(), reports.Observed("services", "a"))
    assert said == [reports.SendReport("services")]
    state, said = run(
        state,
        reports.Observed("services", "b"),
        reports.ReportAccepted("services"),
    )
    assert said == [reports.SendReport("services")]
    state, said = run(
        state,
        reports.ReportAccepted("services"),
        reports.Observed("services", "b"),
        reports.Reachable(),
    )
    assert said == []


def test_failed_report_is_sent_again_when_the_pce_answers() -> None:
    """No timer of its own: the next answered heartbeat brings it."""
    state, said = run(
        reports.ReportState(),
        reports.Observed("interfaces", "a"),
        reports.ReportFailed("interfaces"),
    )
    assert len(said) == 1
    assert run(state, reports.Reachable())[1] == [reports.SendReport("interfaces")]


def test_without_a_connection_reports_wait_for_an_answer() -> None:
    """Degraded and minimal: nothing is sent when something is seen, all of it after an answer."""
    state, said = reports.ReportState(), []
    for digest in ("a", "b"):
        for kind in reports.KINDS:
            state, commands = reports.step(state, reports.Observed(kind, digest), connected=False)
            said += commands
    assert said == []
    _, said = run(state, reports.Reachable())
    assert said == [reports.SendReport(kind) for kind in reports.KINDS]


def test_owed_report_is_not_repeated_by_looking_again() -> None:
    """Only news or an answer send it."""
    state, _ = run(
        reports.ReportState(),
        reports.Observed("services", "a"),
        reports.ReportFailed("services"),
    )
    assert run(state, reports.Observed("services", "a"))[1] == []
    assert run(state, reports.Observed("services", "b"))[1] == [reports.SendReport("services")]
