"""Actions that the PCE asks for in its replies: each is done once, and reported done until heard.

Theory: the PCE repeats an action until a heartbeat names it done, and that heartbeat may be lost,
so one id can come any number of times::

    unknown -- asked -------------------> running (or, for a type we do not know, done)
    running -- finished or given up ----> done: named in every heartbeat, with why it failed
    done    -- a heartbeat was answered -> remembered: not named, not done again
    remembered -- asked once more ------> done: named again

A new policy is no action: it travels as the reply's etag (``ven.core.policy_state``).

What is done is kept on disk before it takes effect, because ``restart`` ends this process. An
upgrade is done when the new release has proved itself, or the former one is back; meanwhile it is
kept in a file of its own (``ven.upgrade``), and running.
"""

from typing import Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from ven_protocol.messages import Action

KNOWN = ("maintenance_token", "support_report", "unpair", "restart", "upgrade", "reactivate")
"""Types that the agent carries out; ``refresh_policy`` and ``report_flows`` are passed on;
``settings`` come with the reply itself; all others are reported done and ignored."""

REMEMBERED = 64
"""Ids of actions that are kept after they were reported: the PCE sends a handful a day."""

NAMED_AT_ONCE = 16
"""Most ids in one heartbeat (``Heartbeat.done_actions``)."""


FirewallRestore = Literal["recommended", "saved", "open", "default", "disable"]
"""What an unpairing leaves of the firewall."""


class ActionState(Struct, frozen=True, kw_only=True):
    """Ids by where they stand, oldest first."""

    running: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    """Ids of those done or remembered that could not be carried out, and why."""


class Asked(Struct, frozen=True):
    """A reply carried these."""

    actions: tuple[Action, ...]


class Finished(Struct, frozen=True):
    """An action was carried out, or cannot be, because of ``failure``."""

    id: str
    failure: str = ""


class Reported(Struct, frozen=True):
    """A heartbeat that named these as done was answered."""

    ids: tuple[str, ...]


ActionEvent = Asked | Finished | Reported


class Do(Struct, frozen=True):
    """Carry it out; ends in :class:`Finished`, in this process or, for a restart, the next."""

    action: Action


class RefreshAsked(Struct, frozen=True):
    """The policy is to be fetched again whole."""


class FlowsAsked(Struct, frozen=True):
    """Flows are to be posted now, and often for a while."""


class RememberActions(Struct, frozen=True):
    """Keep these ids on disk: they need not be done again."""

    ids: tuple[str, ...]


ActionCommand = Do | RefreshAsked | FlowsAsked | RememberActions

_Result = tuple[ActionState, tuple[ActionCommand, ...]]


def start(done: tuple[str, ...] = (), running: tuple[str, ...] = ()) -> ActionState:
    """A VEN that has just started; ``done`` was kept on disk and is named once more, ``running``
    was begun by the process before."""
    return ActionState(
        running=running, done=done[-NAMED_AT_ONCE:], remembered=done[:-NAMED_AT_ONCE]
    )


def named(state: ActionState) -> tuple[str, ...]:
    """The ids that the next heartbeat names as done."""
    return state.done[:NAMED_AT_ONCE]


def failures(state: ActionState, ids: tuple[str, ...]) -> dict[str, str]:
    """Why those of ``ids`` that could not be carried out could not."""
    return {id: why for id, why in state.failures if id in ids}


def step(state: ActionState, event: ActionEvent) -> _Result:
    """The next state and what to do."""
    match event:
        case Asked(actions):
            commands: tuple[ActionCommand, ...] = ()
            for action in actions:
                state, more = _asked(state, action)
                commands += more
            return state, commands
        case Finished(id, failure):
            return _finished(state, id, failure)
        case Reported(ids):
            heard = tuple(id for id in state.done if id in ids)
            return replace(
                state,
                done=tuple(id for id in state.done if id not in ids),
                remembered=(state.remembered + heard)[-REMEMBERED:],
            ), ()


def firewall_restore(action: Action) -> FirewallRestore:
    """What the PCE wants left of the firewall; ``saved`` when it says nothing that we know."""
    wanted = action.params.get("firewall_restore", "saved")
    return next((known for known in get_args(FirewallRestore) if known == wanted), "saved")


def _asked(state: ActionState, action: Action) -> _Result:
    if action.id in state.running or action.id in state.done:
        return state, ()
    if action.id in state.remembered:
        rest = tuple(id for id in state.remembered if id != action.id)
        return replace(state, remembered=rest, done=(*state.done, action.id)), ()
    if action.type == "restart":
        # Remembered before it is done: the process that would say "finished" is gone by then.
        state, remember = _finished(state, action.id)
        return state, (*remember, Do(action))
    if action.type in KNOWN:
        return replace(state, running=(*state.running, action.id)), (Do(action),)
    state, remember = _finished(state, action.id)
    if action.type == "refresh_policy":
        return state, (RefreshAsked(), *remember)
    if action.type == "report_flows":
        return state, (FlowsAsked(), *remember)
    return state, remember


def _finished(state: ActionState, id: str, failure: str = "") -> _Result:
    running = tuple(other for other in state.running if other != id)
    done = (*(other for other in state.done if other != id), id)
    if failure:
        failed = (*state.failures, (id, failure))[-REMEMBERED:]
        state = replace(state, failures=failed)
    state = replace(state, running=running, done=done)
    return state, (RememberActions((state.remembered + state.done)[-REMEMBERED:]),)
