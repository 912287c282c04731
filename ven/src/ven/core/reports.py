"""What the host is, reported when it changed and not otherwise.

Theory: for each kind of report three digests are kept: of what was last seen, of what is on its
way, and of what the PCE accepted. A report is owed while seen and accepted differ; it is sent when
something new is seen and, if that failed, after the next sign that the PCE can be reached. No
timers, and at most one request a kind at a time.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

ReportKind = Literal["interfaces", "services"]
KINDS: tuple[ReportKind, ...] = ("interfaces", "services")


class Report(Struct, frozen=True, kw_only=True):
    """Digests of one kind; empty means none."""

    seen: str = ""
    sending: str = ""
    accepted: str = ""


class ReportState(Struct, frozen=True, kw_only=True):
    """All kinds."""

    interfaces: Report = Report()
    services: Report = Report()


class Observed(Struct, frozen=True):
    """The host was looked at; the content has this digest."""

    kind: ReportKind
    digest: str


class ReportAccepted(Struct, frozen=True):
    """The PCE has the report that was sent."""

    kind: ReportKind


class ReportFailed(Struct, frozen=True):
    """It did not get there."""

    kind: ReportKind


class Reachable(Struct, frozen=True):
    """The PCE answered something: what is owed may be sent."""


ReportEvent = Observed | ReportAccepted | ReportFailed | Reachable


class SendReport(Struct, frozen=True):
    """Send what was seen last. Ends in :class:`ReportAccepted` or :class:`ReportFailed`."""

    kind: ReportKind


_Result = tuple[ReportState, tuple[SendReport, ...]]


def step(state: ReportState, event: ReportEvent) -> _Result:
    """The next state and what to send."""
    match event:
        case Observed(kind, digest):
            return _owed(_with(state, kind, replace(_of(state, kind), seen=digest)), kind)
        case ReportAccepted(kind):
            report = _of(state, kind)
            report = replace(report, accepted=report.sending, sending="")
            return _owed(_with(state, kind, report), kind)
        case ReportFailed(kind):
            return _with(state, kind, replace(_of(state, kind), sending="")), ()
        case Reachable():
            commands: tuple[SendReport, ...] = ()
            for kind in KINDS:
                state, more = _owed(state, kind)
                commands += more
            return state, commands


def _owed(state: ReportState, kind: ReportKind) -> _Result:
    report = _of(state, kind)
    if report.sending or report.seen == report.accepted:
        return state, ()
    return _with(state, kind, replace(report, sending=report.seen)), (SendReport(kind),)


def _of(state: ReportState, kind: ReportKind) -> Report:
    return state.interfaces if kind == "interfaces" else state.services


def _with(state: ReportState, kind: ReportKind, report: Report) -> ReportState:
    if kind == "interfaces":
        return replace(state, interfaces=report)
    return replace(state, services=report)
