"""Somebody else changed our firewall table: look, put it back, say so, and do not fight.

Theory: a notification is only a suspicion (the change may already be undone, or be outside what we
wrote), so the table is compared first. It names the program: when a routine look finds a change
whose notification was not read yet, that is read before the revert. The table is put back from the
policy in force. Two programs that revert each other would burn the host, so looking and reverting
get a tenth of a core: the next look waits ten times as long as the last one, with its revert, took
of the CPU. For a table of ordinary size that is half a second, for one of 100,000 addresses half a
minute::

    quiet    -- foreign change or routine look --> suspicious (0.2 s, or the tenth's wait)
    suspicious -- due --------------------------> looking
    looking  -- intact -------------------------> quiet
    looking  -- changed ------------------------> reverting
    reverting -- done or refused ---------------> report; quiet

Each report is an audit event, so they are counted out too: ten at once, then one a minute, which
tells of all reverts since the one before.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ven.core.timing import NEVER, Tick

DEBOUNCE_S = 0.2
"""A foreign transaction arrives as several notifications."""
SHARE = 10
"""A look and its revert may take a tenth of a core."""
SLOWEST_PACE_S = 60.0
REFUSED_PACE_S = 1.0
"""A refused revert leaves the table wrong: look again by itself, at first so soon, each time after
twice as long."""
HEALED = "the table is again what it should be"
"""Said after a revert that was refused, or of which nobody could tell what became."""
REPORTS_AT_ONCE = 10
REPORT_EVERY_S = 60.0


class ReportTampering(Struct, frozen=True):
    """POST tampering, best effort."""

    succeeded: bool
    process_name: str
    detail: str
    reverts: int = 1


class TamperState(Struct, frozen=True, kw_only=True):
    """Where the watch over the table stands. Times are seconds on the clock of ``now``."""

    phase: Literal["quiet", "suspicious", "looking", "reverting"] = "quiet"
    look_at: float = NEVER
    again: bool = False
    """A foreign change came while looking or reverting."""
    spent_s: float = 0.0
    """CPU of the last look."""
    rest_until: float = -NEVER
    """The next look is not before."""
    refused: int = 0
    """Reverts in a row that the kernel refused."""
    process_name: str = ""
    """Who is under suspicion: named by the latest notification, until a look has cleared him."""
    detail: str = ""
    untold: ReportTampering | None = None
    """What the next report says."""
    report_at: float = NEVER
    reports_left: float = REPORTS_AT_ONCE
    """How many may be sent at once, at ``counted_at``."""
    counted_at: float = 0.0


class Suspected(Struct, frozen=True):
    """A foreign change was noticed, or it is time for a routine look."""

    process_name: str = ""
    detail: str = ""


class Looked(Struct, frozen=True):
    """The kernel's table was compared with what we wrote, at the cost of ``cpu_s``."""

    intact: bool
    cpu_s: float = 0.0


class Reverted(Struct, frozen=True):
    """The policy in force was applied again, or the kernel refused it, at the cost of ``cpu_s``."""

    succeeded: bool
    cpu_s: float = 0.0


TamperEvent = Tick | Suspected | Looked | Reverted


class CheckKernel(Struct, frozen=True):
    """Compare; ends in :class:`Looked`."""


class RevertKernel(Struct, frozen=True):
    """Apply the policy in force again; ends in :class:`Reverted`."""


TamperCommand = CheckKernel | RevertKernel | ReportTampering

_Result = tuple[TamperState, tuple[TamperCommand, ...]]


def wake_at(state: TamperState) -> float:
    """When the next :class:`Tick` is wanted."""
    return min(state.look_at, state.report_at)


def step(state: TamperState, event: TamperEvent, now: float) -> _Result:
    """The next state and what to do."""
    match event:
        case Tick():
            return _due(state, now)
        case Suspected(process_name, detail):
            state = replace(
                state,
                process_name=process_name or state.process_name,
                detail=detail or state.detail,
            )
            if state.phase == "suspicious":
                return state, ()
            if state.phase != "quiet":
                return replace(state, again=bool(process_name or detail) or state.again), ()
            return _suspect(state, now), ()
        case Looked(intact, cpu_s) if state.phase == "looking":
            state = replace(state, spent_s=cpu_s)
            if not intact:
                return replace(state, phase="reverting"), (RevertKernel(),)
            if state.refused:
                healed = ReportTampering(True, state.process_name, HEALED, reverts=0)
                state = replace(state, untold=together(state.untold, healed))
            return _tell(_calm(replace(_cleared(state), refused=0), now), now)
        case Reverted(succeeded, cpu_s) if state.phase == "reverting":
            report = ReportTampering(succeeded, state.process_name, state.detail)
            state = replace(
                _cleared(state),
                spent_s=state.spent_s + cpu_s,
                untold=together(state.untold, report),
                refused=0 if succeeded else state.refused + 1,
                again=state.again or not succeeded,
            )
            return _tell(_calm(state, now), now)
        case _:
            return state, ()


def _cleared(state: TamperState) -> TamperState:
    """Nobody is under suspicion, but for who changed something during the look."""
    return state if state.again else replace(state, process_name="", detail="")


def together(earlier: ReportTampering | None, latest: ReportTampering) -> ReportTampering:
    """One report for both; of what differs, the latest."""
    if earlier is None:
        return latest
    return replace(latest, reverts=earlier.reverts + latest.reverts)


def _due(state: TamperState, now: float) -> _Result:
    commands: tuple[TamperCommand, ...] = ()
    if state.phase == "suspicious" and now >= state.look_at:
        state = replace(state, phase="looking", look_at=NEVER)
        commands = (CheckKernel(),)
    if now >= state.report_at:
        state, more = _tell(state, now)
        commands += more
    return state, commands


def _tell(state: TamperState, now: float) -> _Result:
    """Report what is untold, now or as soon as a report is left for it."""
    left = state.reports_left + (now - state.counted_at) / REPORT_EVERY_S
    left = min(left, REPORTS_AT_ONCE)
    state = replace(state, reports_left=left, counted_at=now, report_at=NEVER)
    if state.untold is None:
        return state, ()
    if left < 1:
        return replace(state, report_at=now + (1 - left) * REPORT_EVERY_S), ()
    return replace(state, untold=None, reports_left=left - 1), (state.untold,)


def _calm(state: TamperState, now: float) -> TamperState:
    rest_s = min(SLOWEST_PACE_S, SHARE * state.spent_s)
    if state.refused:
        rest_s = max(rest_s, min(SLOWEST_PACE_S, REFUSED_PACE_S * 2.0 ** (state.refused - 1)))
    quiet = replace(state, phase="quiet", again=False, rest_until=now + rest_s)
    return _suspect(quiet, now) if state.again else quiet


def _suspect(state: TamperState, now: float) -> TamperState:
    return replace(state, phase="suspicious", look_at=max(now + DEBOUNCE_S, state.rest_until))
