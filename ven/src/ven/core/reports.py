"""What the host is, reported when it changed and not otherwise.

Theory: for each kind of report three digests are kept: of what was last seen, of what is on its
way, and of what the PCE accepted. A report is owed while seen and accepted differ; it is sent when
something new is seen and, if that failed, after the next sign that the PCE can be reached. While
the PCE cannot be talked to (degraded and minimal mode) everything waits for that sign, so reports
are never tried more often than heartbeats. No timers, and at most one request a kind at a time.
"""

import hashlib
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

ReportKind = Literal["interfaces", "services", "users", "compatibility"]
KINDS: tuple[ReportKind, ...] = ("interfaces", "services", "users", "compatibility")


def digest(content: object) -> str:
    """Tells the content of one report from another."""
    return hashlib.blake2b(msgspec.json.encode(content), digest_size=16).hexdigest()


class Report(Struct, frozen=True, kw_only=True):
    """Digests of one kind; empty means none."""

    seen: str = ""
    sending: str = ""
    accepted: str = ""
    refused: str = ""
    """Why the PCE would not take the last one, in its words: this host sends what it may not."""


class ReportState(Struct, frozen=True, kw_only=True):
    """All kinds."""

    interfaces: Report = Report()
    services: Report = Report()
    users: Report = Report()
    compatibility: Report = Report()


class Observed(Struct, frozen=True):
    """The host was looked at; the content has this digest."""

    kind: ReportKind
    digest: str


class ReportAccepted(Struct, frozen=True):
    """The PCE has the report that was sent."""

    kind: ReportKind


class ReportFailed(Struct, frozen=True):
    """It did not get there, or was ``refused``."""

    kind: ReportKind
    refused: str = ""


class Reachable(Struct, frozen=True):
    """The PCE answered a sign of life: what is owed may be sent."""


ReportEvent = Observed | ReportAccepted | ReportFailed | Reachable


class SendReport(Struct, frozen=True):
    """Send what was seen last. Ends in :class:`ReportAccepted` or :class:`ReportFailed`."""

    kind: ReportKind


_Result = tuple[ReportState, tuple[SendReport, ...]]


def step(state: ReportState, event: ReportEvent, connected: bool = True) -> _Result:
    """The next state and what to send; ``connected`` is whether the VEN is in normal mode."""
    match event:
        case Observed(kind, digest):
            report = _of(state, kind)
            news = digest != report.seen
            refused = "" if digest == report.accepted else report.refused
            state = _with(state, kind, replace(report, seen=digest, refused=refused))
            return _owed(state, kind) if news and connected else (state, ())
        case ReportAccepted(kind):
            report = _of(state, kind)
            state = _with(
                state, kind, replace(report, accepted=report.sending, sending="", refused="")
            )
            return _owed(state, kind) if connected else (state, ())
        case ReportFailed(kind, refused):
            report = _of(state, kind)
            report = replace(report, sending="", refused=refused or report.refused)
            return _with(state, kind, report), ()
        case Reachable():
            commands: tuple[SendReport, ...] = ()
            for kind in KINDS:
                state, more = _owed(state, kind)
                commands += more
            return state, commands


def refusals(state: ReportState) -> dict[ReportKind, str]:
    """Which kinds the PCE will not take, and why."""
    return {kind: why for kind in KINDS if (why := _of(state, kind).refused)}


def _owed(state: ReportState, kind: ReportKind) -> _Result:
    report = _of(state, kind)
    if report.sending or report.seen == report.accepted:
        return state, ()
    return _with(state, kind, replace(report, sending=report.seen)), (SendReport(kind),)


def _of(state: ReportState, kind: ReportKind) -> Report:
    match kind:
        case "interfaces":
            return state.interfaces
        case "services":
            return state.services
        case "users":
            return state.users
        case "compatibility":
            return state.compatibility


def _with(state: ReportState, kind: ReportKind, report: Report) -> ReportState:
    match kind:
        case "interfaces":
            return replace(state, interfaces=report)
        case "services":
            return replace(state, services=report)
        case "users":
            return replace(state, users=report)
        case "compatibility":
            return replace(state, compatibility=report)
