"""When to send a heartbeat, and what the answers say of the connection to the PCE.

Theory ("VEN-to-PCE Communication", heartbeats, degraded and minimal state)::

    normal   -- 3 misses in a row, the last by authentication --> minimal
    normal   -- 3 misses in a row otherwise ------------------> degraded
    degraded -- 3 answers in a row ---------------------------> normal
    degraded -- 3 misses by authentication in a row ----------> minimal
    minimal  -- first answer ---------------------------------> normal

In every mode the last-known-good policy stays in force. Degraded changes only whom the VEN listens
to (see ``bolts``). In minimal flow collection stops and the pace falls to one attempt in four
hours; when that has not helped for four hours, the VEN says once that it is lost.

The PCE sets the pace with each reply. Each wait is drawn from 95 to 105 % of it, so that a fleet
that was started together drifts apart and its mean rate stays what the PCE asked for.
"""

from msgspec import Struct
from msgspec.structs import replace

from ven.core.timing import NEVER, Dice, Tick
from ven_protocol.limits import MINIMAL_INTERVAL_S, MISSED_HEARTBEATS_TO_DEGRADED
from ven_protocol.messages import AgentMode

JITTER = 0.05
"""Share of the interval by which a heartbeat may be early or late: 15 s of five minutes, far
below the ten minutes between a late heartbeat and the PCE's first warning."""


MODE_MEANS: dict[AgentMode, str] = {
    "normal": "the PCE is reached as usual",
    "degraded": "three heartbeats in a row were missed. The last policy that was received stays in"
    " force; what the PCE sends as bolts is ignored, except for upgrades and support reports, until"
    " three heartbeats in a row were answered",
    "minimal": "the PCE refuses this VEN's token. The last policy that was received stays in force;"
    " flows are not collected, and the PCE is tried once in four hours. Was the workload removed"
    " from the PCE? Then uninstall this VEN, or pair it again",
}
"""For the log."""


class HeartbeatState(Struct, frozen=True, kw_only=True):
    """Where the heartbeat stands. Times are seconds on the clock of ``now``."""

    dice: Dice
    interval_s: float
    due_at: float
    """When the next one is due by the interval; NEVER while an answer is awaited."""
    asked_at: float = NEVER
    """When one is due because somebody asked for it."""
    mode: AgentMode = "normal"
    misses: int = 0
    """Failures in a row."""
    refusals: int = 0
    """Failed authentications in a row."""
    answers: int = 0
    """Successes in a row since degraded."""
    minimal_since: float | None = None
    told_lost: bool = False


class Soon(Struct, frozen=True):
    """Send one within ``spread_s`` seconds: a bolt asks, or the channel is back after a gap."""

    spread_s: float = 0


class Answered(Struct, frozen=True):
    """The PCE answered a heartbeat or a flow post."""

    next_s: float


class Missed(Struct, frozen=True):
    """A sign of life got no good answer."""

    authentication: bool = False


HeartbeatEvent = Tick | Soon | Answered | Missed


class GiveSign(Struct, frozen=True):
    """Give a sign of life now: a heartbeat, or a flow post in its place. Ends in
    exactly one :class:`Answered` or :class:`Missed`."""


class EnterMinimal(Struct, frozen=True):
    """Stop flow collection and the bolt channel."""


class LeaveMinimal(Struct, frozen=True):
    """Start both again."""


class TellLost(Struct, frozen=True):
    """Send the lost-agent message, best effort."""


class ModeChanged(Struct, frozen=True):
    """For the log and the status."""

    mode: AgentMode


HeartbeatCommand = GiveSign | EnterMinimal | LeaveMinimal | TellLost | ModeChanged


def start(now: float, dice: Dice, interval_s: float) -> HeartbeatState:
    """A VEN that has just started: the first heartbeat is due at once."""
    return HeartbeatState(dice=dice, interval_s=interval_s, due_at=now)


def wake_at(state: HeartbeatState) -> float:
    """When the next :class:`Tick` is wanted."""
    return min(state.due_at, state.asked_at)


def step(
    state: HeartbeatState, event: HeartbeatEvent, now: float
) -> tuple[HeartbeatState, tuple[HeartbeatCommand, ...]]:
    """The next state and what to do."""
    match event:
        case Tick():
            if now < wake_at(state):
                return state, ()
            return replace(state, due_at=NEVER, asked_at=NEVER), (GiveSign(),)
        case Soon(spread_s):
            roll, dice = state.dice.roll()
            at = min(state.asked_at, now + roll * spread_s)
            return replace(state, asked_at=at, dice=dice), ()
        case Answered(next_s):
            return _answered(state, next_s, now)
        case Missed(authentication):
            return _missed(state, authentication, now)


def _answered(
    state: HeartbeatState, next_s: float, now: float
) -> tuple[HeartbeatState, tuple[HeartbeatCommand, ...]]:
    answers = state.answers + 1
    commands: tuple[HeartbeatCommand, ...] = ()
    mode = state.mode
    if mode == "minimal":
        mode, commands = "normal", (ModeChanged("normal"), LeaveMinimal())
    elif mode == "degraded" and answers >= MISSED_HEARTBEATS_TO_DEGRADED:
        mode, commands = "normal", (ModeChanged("normal"),)
    state = replace(
        state,
        mode=mode,
        interval_s=max(1.0, next_s),
        misses=0,
        refusals=0,
        answers=0 if mode == "normal" else answers,
        minimal_since=None,
        told_lost=False,
    )
    return _schedule(state, state.interval_s, now), commands


def _missed(
    state: HeartbeatState, authentication: bool, now: float
) -> tuple[HeartbeatState, tuple[HeartbeatCommand, ...]]:
    misses = state.misses + 1
    refusals = state.refusals + 1 if authentication else 0
    mode = state.mode
    commands: tuple[HeartbeatCommand, ...] = ()
    if mode == "normal" and misses >= MISSED_HEARTBEATS_TO_DEGRADED:
        mode = "minimal" if authentication else "degraded"
    elif mode == "degraded" and refusals >= MISSED_HEARTBEATS_TO_DEGRADED:
        mode = "minimal"
    if mode != state.mode:
        commands = (ModeChanged(mode),)
        if mode == "minimal":
            commands += (EnterMinimal(),)
            state = replace(state, minimal_since=now, asked_at=NEVER)
    since = state.minimal_since
    if authentication and since is not None and not state.told_lost:
        # The first attempt after four hours comes up to JITTER early.
        told = now - since >= MINIMAL_INTERVAL_S * (1 - JITTER)
        state = replace(state, told_lost=told)
        commands += (TellLost(),) if told else ()
    state = replace(state, mode=mode, misses=misses, refusals=refusals, answers=0)
    wait_s = MINIMAL_INTERVAL_S if mode == "minimal" else state.interval_s
    return _schedule(state, wait_s, now), commands


def _schedule(state: HeartbeatState, wait_s: float, now: float) -> HeartbeatState:
    roll, dice = state.dice.roll()
    spread = 1 - JITTER + 2 * JITTER * roll
    return replace(state, due_at=now + wait_s * spread, dice=dice)
