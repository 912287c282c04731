"""Somebody else changed our firewall table: look, put it back, say so, and do not fight.

Theory: a notification is only a suspicion (the change may already be undone, or be outside what we
wrote), so the table is compared first. It is put back from the policy in force. Two programs that
revert each other would burn the host, so the wait before the next look doubles with each revert
and falls back to the first after three quiet minutes::

    quiet    -- foreign change or routine look --> suspicious (0.2 s, then 1, 2, 4 ... 60 s)
    suspicious -- due --------------------------> looking
    looking  -- intact -------------------------> quiet
    looking  -- changed ------------------------> reverting
    reverting -- done or refused ---------------> report; quiet
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ven.core.timing import NEVER, Tick

DEBOUNCE_S = 0.2
"""A foreign transaction arrives as several notifications."""
FIRST_PACE_S = 1.0
SLOWEST_PACE_S = 60.0
CALM_AFTER_S = 180.0
"""Seconds without a revert after which the pace is the first again; longer than the slowest."""


class TamperState(Struct, frozen=True, kw_only=True):
    """Where the watch over the table stands. Times are seconds on the clock of ``now``."""

    phase: Literal["quiet", "suspicious", "looking", "reverting"] = "quiet"
    look_at: float = NEVER
    again: bool = False
    """A foreign change came while looking or reverting."""
    pace_s: float = DEBOUNCE_S
    last_revert: float = -NEVER
    process_name: str = ""
    detail: str = ""


class Suspected(Struct, frozen=True):
    """A foreign change was noticed, or it is time for a routine look."""

    process_name: str = ""
    detail: str = ""


class Looked(Struct, frozen=True):
    """The kernel's table was compared with what we wrote."""

    intact: bool


class Reverted(Struct, frozen=True):
    """The policy in force was applied again, or the kernel refused it."""

    succeeded: bool


TamperEvent = Tick | Suspected | Looked | Reverted


class CheckKernel(Struct, frozen=True):
    """Compare; ends in :class:`Looked`."""


class RevertKernel(Struct, frozen=True):
    """Apply the policy in force again; ends in :class:`Reverted`."""


class ReportTampering(Struct, frozen=True):
    """POST tampering, best effort."""

    succeeded: bool
    process_name: str
    detail: str
    reverts: int = 1


TamperCommand = CheckKernel | RevertKernel | ReportTampering

_Result = tuple[TamperState, tuple[TamperCommand, ...]]


def wake_at(state: TamperState) -> float:
    """When the next :class:`Tick` is wanted."""
    return state.look_at


def step(state: TamperState, event: TamperEvent, now: float) -> _Result:
    """The next state and what to do."""
    match event:
        case Tick() if state.phase == "suspicious" and now >= state.look_at:
            return replace(state, phase="looking", look_at=NEVER), (CheckKernel(),)
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
        case Looked(intact) if state.phase == "looking":
            if not intact:
                return replace(state, phase="reverting"), (RevertKernel(),)
            return _calm(replace(state, process_name="", detail=""), now), ()
        case Reverted(succeeded) if state.phase == "reverting":
            report = ReportTampering(succeeded, state.process_name, state.detail)
            calm = now - state.last_revert > CALM_AFTER_S
            pace_s = FIRST_PACE_S if calm else min(SLOWEST_PACE_S, 2 * state.pace_s)
            state = replace(state, last_revert=now, pace_s=pace_s, process_name="", detail="")
            # A refused revert leaves the table wrong: look again at the slower pace.
            return _calm(replace(state, again=state.again or not succeeded), now), (report,)
        case _:
            return state, ()


def together(earlier: ReportTampering | None, latest: ReportTampering) -> ReportTampering:
    """One report for both; of what differs, the latest."""
    if earlier is None:
        return latest
    return replace(latest, reverts=earlier.reverts + latest.reverts)


def _calm(state: TamperState, now: float) -> TamperState:
    quiet = replace(state, phase="quiet", again=False)
    return _suspect(quiet, now) if state.again else quiet


def _suspect(state: TamperState, now: float) -> TamperState:
    calm = now - state.last_revert > CALM_AFTER_S
    wait_s = DEBOUNCE_S if calm else state.pace_s
    return replace(state, phase="suspicious", look_at=now + wait_s)
