"""Which policy the kernel holds, which one it should hold, and how to get from one to the other.

Theory: a wanted etag is only a hint; what counts is what the PCE answers when asked. One policy at
a time is fetched and applied, and whatever is wanted meanwhile is looked at afterwards, so that a
storm of changes costs one round trip more, not one each. A bolt may bring the PCE's answer to who
holds a certain policy; it is taken when that is what is held and nothing is under way, and in all
else is as good as none::

    idle     -- wanted differs from held ------> waiting (0 to spread_s) -> fetching
    idle, waiting -- the answer came along ---> applying; if it does not fit, as without it
    fetching -- unchanged --------------------> idle; what is held is what is wanted
    fetching -- delta fits, or a document ----> applying
    fetching -- delta does not fit -----------> fetching the whole document
    fetching -- failed, or a damaged body ----> waiting (full jitter); after the third, idle
    applying -- the kernel has it ------------> save, then report; idle, or fetching again
    applying -- the kernel refused -----------> report; idle until wanted again

The policy in force is never given up for one that is not yet in the kernel, and nothing is
reported applied that is not in the kernel and on disk. What was wrong with a policy that did not
get there is told with every heartbeat until what is wanted is in force.
"""

from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ven.core.timing import NEVER, Dice, Tick, backoff_s
from ven_protocol.compression import Corrupt, TooLarge, inflate
from ven_protocol.messages import HealthCondition
from ven_protocol.policy import (
    POLICY_DOCUMENT_VERSION,
    DeltaMismatch,
    PolicyDocument,
    PolicyReply,
    apply_delta,
    policy_digest,
)

RETRY_BASE_S = 2
RETRY_CAP_S = 30
"""A failed fetch is tried again soon, because peers wait for the change; the next heartbeat's
reply asks anyway, so only a few times."""
QUICK_RETRIES = 3

MESSAGE_CHARACTERS = 1024
"""Of a health condition's message: the protocol's limit (``Text``)."""


class PolicyState(Struct, frozen=True, kw_only=True):
    """What is held, wanted and under way."""

    dice: Dice
    phase: Literal["idle", "waiting", "fetching", "applying"] = "idle"
    held: str = ""
    """Etag of what the kernel holds; empty before the first policy."""
    document: PolicyDocument | None = None
    """The document named ``held``."""
    wanted: str = ""
    asked_for: str = ""
    """What was wanted when the fetch under way began."""
    whole: bool = False
    """The next fetch asks for the whole document."""
    fetch_at: float = NEVER
    failures: int = 0
    applying: PolicyDocument | None = None
    applying_etag: str = ""
    received_at: float = 0
    """When the policy being applied arrived; same clock as ``now``."""
    report_after_s: float = 0
    """When to report what is applied next, as the last hint said it."""
    trouble: HealthCondition | None = None
    """Why what is wanted is not in force; None while nothing is known to be wrong."""


class Wanted(Struct, frozen=True):
    """A heartbeat's reply or a bolt names the policy that the VEN should hold."""

    etag: str
    spread_s: float = 0
    base: str = ""
    reply: bytes = b""
    """Compressed :class:`PolicyReply` for who holds ``base``; empty when none came along."""
    report_after_s: float = 0


class Refresh(Struct, frozen=True):
    """Fetch the whole policy and apply it again, whatever is held."""


class Fetched(Struct, frozen=True):
    """200 from the PCE."""

    reply: PolicyReply


class Unchanged(Struct, frozen=True):
    """304 from the PCE."""


class FetchFailed(Struct, frozen=True):
    """No answer."""


class Damaged(Struct, frozen=True):
    """200 from the PCE, or from something before it, with a body that is no policy."""

    error: str


class Applied(Struct, frozen=True):
    """The kernel holds the policy that it was given last."""

    rules: int


class Refused(Struct, frozen=True):
    """The kernel did not take it and holds what it held."""

    error: str


PolicyEvent = (
    Tick | Wanted | Refresh | Fetched | Unchanged | FetchFailed | Damaged | Applied | Refused
)


class FetchPolicy(Struct, frozen=True):
    """GET policy with ``If-None-Match: etag``, or without when it is empty. Ends in one of
    :class:`Fetched`, :class:`Unchanged`, :class:`FetchFailed`, :class:`Damaged`."""

    etag: str


class ApplyPolicy(Struct, frozen=True):
    """Give it to the kernel. Ends in :class:`Applied` or :class:`Refused`."""

    etag: str
    document: PolicyDocument


class SavePolicy(Struct, frozen=True):
    """Keep it on disk as last-known-good; done before the report that follows."""

    etag: str
    document: PolicyDocument


class ReportPolicy(Struct, frozen=True):
    """POST policy/applied, best effort: the next heartbeat says it too."""

    etag: str
    received_at: float
    applied_at: float
    rules: int = 0
    error: str = ""
    after_s: float = 0
    """Between so many seconds later and twice as many; 0: soon."""


PolicyCommand = FetchPolicy | ApplyPolicy | SavePolicy | ReportPolicy

_Result = tuple[PolicyState, tuple[PolicyCommand, ...]]


def start(dice: Dice, etag: str = "", document: PolicyDocument | None = None) -> PolicyState:
    """A VEN whose kernel holds the last-known-good ``document``, if there is one."""
    return PolicyState(dice=dice, held=etag if document else "", document=document)


def wake_at(state: PolicyState) -> float:
    """When the next :class:`Tick` is wanted."""
    return state.fetch_at if state.phase == "waiting" else NEVER


def step(state: PolicyState, event: PolicyEvent, now: float) -> _Result:
    """The next state and what to do."""
    match event:
        case Tick():
            return _fetch(state) if now >= wake_at(state) else (state, ())
        case Wanted():
            return _wanted(state, event, now)
        case Refresh():
            whole = replace(state, whole=True)
            return _wanted(whole, Wanted(state.wanted or state.held), now)
        case Fetched(reply) if state.phase == "fetching":
            return _fetched(state, reply, now)
        case Unchanged() if state.phase == "fetching":
            return _settle(replace(state, wanted=state.held, failures=0, trouble=None))
        case FetchFailed() if state.phase == "fetching":
            return _failed(state, now)
        case Damaged(error) if state.phase == "fetching":
            return _damaged(state, error, now)
        case Applied(rules) if state.phase == "applying":
            return _applied(state, rules, now)
        case Refused(error) if state.phase == "applying":
            return _refused(state, error, now)
        case _:
            return state, ()  # an answer to a question that is no longer asked


def _wanted(state: PolicyState, hint: Wanted, now: float) -> _Result:
    if not hint.etag:
        return state, ()  # nothing was computed for this VEN yet
    state = replace(state, wanted=hint.etag, report_after_s=hint.report_after_s)
    if state.phase not in ("idle", "waiting"):
        return state, ()
    if hint.etag == state.held and not state.whole:
        return replace(state, trouble=None), ()
    if hint.reply and hint.base == state.held and not state.whole:
        state, commands = _came_along(state, hint.reply, now)
        if commands:
            return state, commands
    roll, dice = state.dice.roll()
    at = now + roll * hint.spread_s
    if state.phase == "waiting":
        at = min(at, state.fetch_at)
    state = replace(state, dice=dice, phase="waiting", fetch_at=at, failures=0)
    return _fetch(state) if at <= now else (state, ())


def _fetch(state: PolicyState) -> _Result:
    etag = "" if state.whole else state.held
    state = replace(state, phase="fetching", fetch_at=NEVER, asked_for=state.wanted)
    return state, (FetchPolicy(etag),)


def _came_along(state: PolicyState, body: bytes, now: float) -> _Result:
    """Apply the answer that a bolt brought; nothing to do when it cannot be, for then a fetch tells
    whether the bolt is at fault or what is held."""
    try:
        reply = msgspec.json.decode(inflate(body), type=PolicyReply)
        fetching = replace(state, phase="fetching", fetch_at=NEVER, asked_for=state.wanted)
        after, commands = _fetched(fetching, reply, now)
    except (Corrupt, TooLarge, msgspec.MsgspecError, UnicodeDecodeError) as error:
        damaged = _condition("policy_damaged", f"the answer in a bolt is damaged: {error}")
        return replace(state, trouble=damaged), ()
    if after.phase == "applying":
        return after, commands
    return replace(state, trouble=after.trouble), ()


def _fetched(state: PolicyState, reply: PolicyReply, now: float) -> _Result:
    document = reply.document
    if document is None:
        if reply.delta is None or state.document is None:
            return _damaged(state, "the PCE sent neither a document nor a usable delta", now)
        try:
            document = apply_delta(state.document, reply.delta, reply.digest)
        except DeltaMismatch as error:
            if state.whole:  # a delta, although the whole document was asked for
                return _damaged(state, str(error), now)
            return _fetch(replace(state, whole=True))
    elif document.version != POLICY_DOCUMENT_VERSION:
        # Before the digest: fields that are not known here would be missing from it.
        return _unknown_version(state, reply.etag, document.version, now)
    elif (found := policy_digest(document)) != reply.digest:
        return _damaged(state, f"its content has digest {found}, not {reply.digest}", now)
    # The PCE's answer overrules the hint that led to it, but not one that came since.
    wanted = reply.etag if state.wanted == state.asked_for else state.wanted
    state = replace(
        state,
        phase="applying",
        wanted=wanted,
        applying=document,
        applying_etag=reply.etag,
        received_at=now,
        failures=0,
        whole=False,
    )
    return state, (ApplyPolicy(reply.etag, document),)


def _unknown_version(state: PolicyState, etag: str, version: int, now: float) -> _Result:
    error = f"policy document version {version} is newer than this VEN understands"
    state = replace(state, phase="idle", wanted=etag, whole=False)
    return _not_applied(state, error), (ReportPolicy(etag, now, now, error=error),)


def _not_applied(state: PolicyState, error: str) -> PolicyState:
    return replace(state, trouble=_condition("policy_not_applied", error))


def _damaged(state: PolicyState, error: str, now: float) -> _Result:
    # Perhaps on the way: ask for it again.
    return _failed(replace(state, trouble=_condition("policy_damaged", error)), now)


def _condition(code: str, error: str) -> HealthCondition:
    return HealthCondition(code=code, severity="error", message=error[:MESSAGE_CHARACTERS])


def _failed(state: PolicyState, now: float) -> _Result:
    failures = state.failures + 1
    if failures > QUICK_RETRIES:
        return replace(state, phase="idle", failures=0), ()
    roll, dice = state.dice.roll()
    at = now + backoff_s(roll, failures, RETRY_BASE_S, RETRY_CAP_S)
    return replace(state, phase="waiting", fetch_at=at, failures=failures, dice=dice), ()


def _applied(state: PolicyState, rules: int, now: float) -> _Result:
    document, etag = state.applying, state.applying_etag
    assert document is not None  # noqa: S101  the phase says so
    commands: tuple[PolicyCommand, ...] = (
        SavePolicy(etag, document),
        ReportPolicy(
            etag, state.received_at, applied_at=now, rules=rules, after_s=state.report_after_s
        ),
    )
    state = replace(
        state, held=etag, document=document, applying=None, applying_etag="", trouble=None
    )
    state, more = _settle(state)
    return state, commands + more


def _refused(state: PolicyState, error: str, now: float) -> _Result:
    etag = state.applying_etag
    report = ReportPolicy(etag, state.received_at, applied_at=now, error=error)
    state = _not_applied(replace(state, applying=None, applying_etag=""), error)
    if state.wanted == etag:
        return replace(state, phase="idle"), (report,)
    state, more = _settle(state)
    return state, (report, *more)


def _settle(state: PolicyState) -> _Result:
    """Nothing is under way any more; go on when something else is wanted."""
    if state.whole or state.wanted not in ("", state.held):
        return _fetch(state)
    return replace(state, phase="idle"), ()
