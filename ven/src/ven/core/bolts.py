"""The bolt channel: when to connect, how to stay connected, whom to listen to.

Theory: the channel only makes things faster. Whatever a bolt says comes again in the next
heartbeat's reply, so nothing here may ever matter for what is enforced::

    off       -- started, or minimal mode left --> waiting (0 s)
    waiting   -- due ---------------------------> connecting
    connecting-- failed ------------------------> waiting (full jitter, 1 s to 5 min)
    connecting-- failed, the PCE is busy -------> waiting (full jitter, 5 min)
    connecting-- open --------------------------> open
    open      -- lost --------------------------> waiting (full jitter)
    open      -- random age before 2 h, renew --> open, and connecting the replacement
    any       -- minimal mode entered ----------> off

A replacement is opened before the old connection is closed, so that no bolt falls between the two.
After a gap the VEN asks for a heartbeat, because what it missed is not known.

A fleet that lost its PCE comes back by its heartbeats, which are spread over their interval: while
the VEN is degraded, no connection is opened until a heartbeat was answered. Otherwise 100,000 VENs
that wait for up to 5 minutes each would begin with 667 connections a second, and the account takes
500 (API Gateway's quota). Who is refused for that reason waits as long as a heartbeat would.

The kernel follows connections from the first policy on. Of one that is older it cannot know who
opened it, and when the PCE speaks first (on this channel it does) takes it for one that the PCE
opened, which full enforcement refuses. So the connection is renewed when enforcement begins. What
the old one may have missed in that moment is asked for within a minute: a fleet that gets its first
policy at once must not ask at once, too, when the next change is about to come.

In degraded mode bolts are ignored, except those that announce an upgrade or a support report
("VEN-to-PCE Communication", degraded state).
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ven.core.timing import NEVER, Dice, Tick, backoff_s
from ven_protocol.bolts import Bolt
from ven_protocol.limits import BOLT_KEEPALIVE_S, BOLT_RECONNECT_AFTER_S
from ven_protocol.messages import AgentMode

BACKOFF_BASE_S = 1
BACKOFF_CAP_S = 300
"""One heartbeat interval: by then the heartbeat has brought what a bolt would have said."""

RENEWED_SPREAD_S = 60
"""The heartbeat after a renewal: the old connection was deaf for less than a second, and the report
of the policy that is enforced now is answered with the newest etag as well."""

HEARD_WHEN_DEGRADED = ("upgrade", "support_report")


class BoltState(Struct, frozen=True, kw_only=True):
    """Where the channel stands. Times are seconds on the clock of ``now``."""

    dice: Dice
    phase: Literal["off", "waiting", "connecting", "open"] = "off"
    keepalive_s: float = BOLT_KEEPALIVE_S
    connect_at: float = NEVER
    keepalive_at: float = NEVER
    replace_at: float = NEVER
    replacing: bool = False
    """The replacement of an open connection is being opened."""
    attempts: int = 0
    """Failures since the channel was last open."""
    had_gap: bool = False
    """Bolts may have been missed since the last one could arrive."""
    renewed: bool = False
    """That gap is the moment between the start of enforcement and the connection's renewal."""
    too_old: bool = False
    """The connection being opened must be renewed as soon as it is open."""
    held: bool = False
    """The VEN is degraded: no connection is opened before a heartbeat was answered."""


class Start(Struct, frozen=True):
    """Use the channel; ``had_gap`` when something may have happened before."""

    had_gap: bool = False


class Stop(Struct, frozen=True):
    """Use it no more."""


class Opened(Struct, frozen=True):
    """The connection asked for is open; an older one may be closed now."""


class Failed(Struct, frozen=True):
    """The connection asked for could not be opened."""

    busy: bool = False
    """The PCE said that it has too much to do."""


class Lost(Struct, frozen=True):
    """The open connection ended."""


class Received(Struct, frozen=True):
    """A bolt came."""

    bolt: Bolt
    mode: AgentMode


class SetKeepAlive(Struct, frozen=True):
    """The PCE's wish for the keep-alive interval, in seconds."""

    keepalive_s: float


class Renew(Struct, frozen=True):
    """Replace every connection that was begun before now."""


class Hold(Struct, frozen=True):
    """The VEN is degraded: open nothing new."""


class Release(Struct, frozen=True):
    """A heartbeat was answered: open what was held."""


BoltEvent = (
    Tick | Start | Stop | Opened | Failed | Lost | Received | SetKeepAlive | Renew | Hold | Release
)


class OpenBolts(Struct, frozen=True):
    """Connect; keep an open connection until this one is open. Ends in :class:`Opened` or
    :class:`Failed`."""


class CloseBolts(Struct, frozen=True):
    """Close whatever is open or opening; no event follows."""


class SendKeepAlive(Struct, frozen=True):
    """Send one keep-alive message."""


class PolicyHint(Struct, frozen=True):
    """The PCE holds a policy of this name for us."""

    etag: str
    spread_s: float
    base: str = ""
    reply: bytes = b""
    """What a fetch would answer to who holds ``base``; empty when only a fetch tells."""
    report_after_s: float = 0


class HeartbeatHint(Struct, frozen=True):
    """A heartbeat's reply would bring news."""

    spread_s: float


BoltCommand = OpenBolts | CloseBolts | SendKeepAlive | PolicyHint | HeartbeatHint

_Result = tuple[BoltState, tuple[BoltCommand, ...]]


def start(dice: Dice, keepalive_s: float) -> BoltState:
    """A channel that is off."""
    return BoltState(dice=dice, keepalive_s=keepalive_s)


def wake_at(state: BoltState) -> float:
    """When the next :class:`Tick` is wanted."""
    return min(state.connect_at, state.keepalive_at, state.replace_at)


def step(state: BoltState, event: BoltEvent, now: float) -> _Result:
    """The next state and what to do."""
    match event:
        case Tick():
            return _due(state, now)
        case Start(had_gap) if state.phase == "off":
            return replace(state, phase="waiting", connect_at=now, had_gap=had_gap), ()
        case Stop() if state.phase != "off":
            off = BoltState(dice=state.dice, keepalive_s=state.keepalive_s)
            return off, (CloseBolts(),)
        case Opened() if state.phase == "connecting" or state.replacing:
            return _opened(state, now)
        case Failed() if state.replacing:
            # The old connection still works: try again while it has time left.
            roll, dice = state.dice.roll()
            at = now + backoff_s(roll, state.attempts + 1, BACKOFF_BASE_S, BACKOFF_CAP_S)
            attempts = state.attempts + 1
            return replace(state, replacing=False, replace_at=at, dice=dice, attempts=attempts,
                           too_old=False), ()  # fmt: skip
        case Failed(busy) if state.phase == "connecting":
            return _wait(state, now, busy=busy)
        case Lost() if state.phase == "open" and state.replacing:
            # Its replacement is on the way, but a bolt may have fallen between the two.
            return replace(state, phase="connecting", replacing=False, had_gap=True, renewed=False,
                           keepalive_at=NEVER), ()  # fmt: skip
        case Lost() if state.phase == "open":
            return _wait(replace(state, keepalive_at=NEVER, replace_at=NEVER, attempts=0), now)
        case Received(bolt, mode) if state.phase != "off":
            return _received(state, bolt, mode, now)
        case SetKeepAlive(keepalive_s):
            at = min(state.keepalive_at, now + keepalive_s) if state.phase == "open" else NEVER
            return replace(state, keepalive_s=keepalive_s, keepalive_at=at), ()
        case Renew() if state.phase == "connecting" or state.replacing:
            return replace(state, too_old=True), ()
        case Hold():
            waiting = state.phase == "waiting"
            return replace(state, held=True, connect_at=NEVER if waiting else state.connect_at), ()
        case Release() if state.held:
            waiting = state.phase == "waiting"
            return replace(state, held=False, connect_at=now if waiting else state.connect_at), ()
        case Renew() if state.phase == "open":
            return replace(_renewed(state), replacing=True, replace_at=NEVER), (OpenBolts(),)
        case _:
            return state, ()


def _due(state: BoltState, now: float) -> _Result:
    commands: tuple[BoltCommand, ...] = ()
    if now >= state.connect_at:
        state = replace(state, phase="connecting", connect_at=NEVER)
        commands += (OpenBolts(),)
    if now >= state.replace_at:
        state = replace(state, replacing=True, replace_at=NEVER)
        commands += (OpenBolts(),)
    if now >= state.keepalive_at:
        state = replace(state, keepalive_at=now + state.keepalive_s)
        commands += (SendKeepAlive(),)
    return state, commands


def _opened(state: BoltState, now: float) -> _Result:
    roll, dice = state.dice.roll()
    if state.too_old:
        state = replace(_renewed(state), phase="open", replacing=True, too_old=False, attempts=0,
                        keepalive_at=now + state.keepalive_s)  # fmt: skip
        return state, (OpenBolts(),)
    youngest, oldest = BOLT_RECONNECT_AFTER_S
    hint = HeartbeatHint(RENEWED_SPREAD_S if state.renewed else 0)
    commands: tuple[BoltCommand, ...] = (hint,) if state.had_gap else ()
    state = replace(
        state,
        dice=dice,
        phase="open",
        replacing=False,
        attempts=0,
        had_gap=False,
        renewed=False,
        too_old=False,
        keepalive_at=now + state.keepalive_s,
        replace_at=now + youngest + roll * (oldest - youngest),
    )
    return state, commands


def _renewed(state: BoltState) -> BoltState:
    """A gap that is there already stays the one that it is."""
    return replace(state, had_gap=True, renewed=state.renewed or not state.had_gap)


def _wait(state: BoltState, now: float, *, busy: bool = False) -> _Result:
    roll, dice = state.dice.roll()
    wait_s = backoff_s(roll, state.attempts, BACKOFF_BASE_S, BACKOFF_CAP_S)
    if busy:
        wait_s = roll * BACKOFF_CAP_S
    at = NEVER if state.held else now + wait_s
    attempts = state.attempts + 1
    return replace(
        state, dice=dice, phase="waiting", connect_at=at, attempts=attempts, had_gap=True,
        renewed=False, too_old=False,
    ), ()  # fmt: skip


def _received(state: BoltState, bolt: Bolt, mode: AgentMode, now: float) -> _Result:
    if state.phase == "open":
        state = replace(state, keepalive_at=now + state.keepalive_s)
    if bolt.type == "closing" and state.phase == "open" and not state.replacing:
        roll, dice = state.dice.roll()
        return replace(state, dice=dice, replace_at=now + roll * bolt.spread_s), ()
    if mode != "normal" and bolt.reason not in HEARD_WHEN_DEGRADED:
        return state, ()
    if bolt.type == "policy":
        hint = PolicyHint(bolt.etag, bolt.spread_s, bolt.base, bolt.reply, bolt.report_after_s)
        return state, (hint,)
    if bolt.type == "heartbeat":
        return state, (HeartbeatHint(bolt.spread_s),)
    return state, ()
