"""The whole VEN as one state machine: what the answer to one question means for all the others.

Each concern has its own machine beside this file; this one owns only what runs between them. It
takes what the edges report (an :data:`Event`), hands it to the machines that it concerns, carries
what one machine says to the next, and returns what is left for the edges to do
(:data:`Command`). The agent runs it on the host's clock, the fleet simulator on a fake one.

The one thing decided here is how a sign of life is given. A flow post carries a heartbeat and is
answered like one, so whenever a flow window is (nearly) over or a batch waits, it is posted in the
heartbeat's place, and every second interval costs one request instead of two.

In minimal mode nothing but the heartbeat is sent ("VEN-to-PCE Communication", minimal state), and
once the lost-agent message. What happens on the host meanwhile is told after the first answer.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from ven.core import actions, bolts, heartbeat, outbox, policy_state, reports, tampering
from ven.core.timing import NEVER, Dice, Tick
from ven_protocol.bolts import Bolt
from ven_protocol.limits import FREQUENT_FLOWS_FOR_S, FREQUENT_FLOWS_INTERVAL_S
from ven_protocol.messages import HeartbeatReply, Settings

NEARLY_OVER = 0.2
"""A flow window whose end is closer than this share of a heartbeat interval ends early with the
heartbeat: with the heartbeat's own jitter of 5 %, two intervals differ from a window by 10 %."""

TOLD_WITHIN_S = 1.0
"""A finished action is told with a heartbeat of its own, not five minutes later; a fleet that
finished together is spread by what it did."""

OBSERVE_SERVICES_S = 300
"""Seconds between looks at open ports and processes, and at what may get in the way of policy on an
idle host; a look takes about 50 ms of CPU."""


class VenState(Struct, frozen=True, kw_only=True):
    """All that the VEN knows of its own doings. Times are seconds on the clock of ``now``."""

    settings: Settings
    heartbeat: heartbeat.HeartbeatState
    policy: policy_state.PolicyState
    bolts: bolts.BoltState
    untold: tampering.ReportTampering | None = None
    """Tampering in minimal mode, told when it is left."""
    tampering: tampering.TamperState
    reports: reports.ReportState
    actions: actions.ActionState
    outbox: outbox.OutboxState
    collecting: bool = True
    """Flows are collected: always, except in minimal mode."""
    flows_due_at: float = NEVER
    flows_often_until: float = 0.0
    """Until then flow windows are short, because the PCE asked for it."""
    closing: bool = False
    """A flow window is being closed and its batch written."""
    sign_owed: bool = False
    """A heartbeat is due and waits for the window that is being closed."""
    observe_at: float = NEVER


class Started(Struct, frozen=True):
    """The edges are ready."""


class HeartbeatAnswered(Struct, frozen=True):
    """200 to a heartbeat that named ``done`` as done."""

    reply: HeartbeatReply
    done: tuple[str, ...] = ()


class HeartbeatMissed(Struct, frozen=True):
    """No good answer to a heartbeat."""

    authentication: bool = False


class WindowClosed(Struct, frozen=True):
    """A flow window ended; its batches are on disk: one, more of a very busy window, or none of
    one in which nothing was seen."""

    batches: tuple[outbox.Batch, ...]


class BatchStored(Struct, frozen=True):
    """A part of the window is on disk already, because memory for it was used up."""

    batch: outbox.Batch


class FlowsTaken(Struct, frozen=True):
    """200 to a flow post, which was a heartbeat too."""

    seq: int
    reply: HeartbeatReply
    done: tuple[str, ...] = ()


class FlowsUnreadable(Struct, frozen=True):
    """The PCE will never take this batch: repeating it cannot help."""

    seq: int


class FlowsMissed(Struct, frozen=True):
    """No good answer to a flow post; the batch stays for later."""

    seq: int


class BoltArrived(Struct, frozen=True):
    """A message on the bolt channel."""

    bolt: Bolt


Event = (
    Tick
    | Started
    | HeartbeatAnswered
    | HeartbeatMissed
    | WindowClosed
    | BatchStored
    | FlowsTaken
    | FlowsUnreadable
    | FlowsMissed
    | BoltArrived
    | policy_state.Wanted
    | policy_state.Fetched
    | policy_state.Unchanged
    | policy_state.FetchFailed
    | policy_state.Damaged
    | policy_state.Applied
    | policy_state.Refused
    | bolts.Opened
    | bolts.Failed
    | bolts.Lost
    | tampering.Suspected
    | tampering.Looked
    | tampering.Reverted
    | reports.Observed
    | reports.ReportAccepted
    | reports.ReportFailed
    | actions.Finished
)


class SendHeartbeat(Struct, frozen=True):
    """POST heartbeat naming ``done``; ends in :class:`HeartbeatAnswered` or ``HeartbeatMissed``."""

    done: tuple[str, ...]


class PostFlows(Struct, frozen=True):
    """POST this batch with a heartbeat naming ``done``; ends in :class:`FlowsTaken`,
    :class:`FlowsUnreadable` or :class:`FlowsMissed`."""

    seq: int
    done: tuple[str, ...]


class CloseWindow(Struct, frozen=True):
    """End the flow window, write its batches; ends in :class:`WindowClosed`."""


class ObserveServices(Struct, frozen=True):
    """Look at open ports, processes and users; ends in ``reports.Observed``."""


class ObserveCompatibility(Struct, frozen=True):
    """Look at what may get in the way of policy; ends in ``reports.Observed``. Only of an idle
    host: what enforcement needs is what it is asked for before."""


class StartCollecting(Struct, frozen=True):
    """Collect flows (again)."""


class StopCollecting(Struct, frozen=True):
    """Collect no flows."""


class SaveSettings(Struct, frozen=True):
    """Keep these on disk; a changed bolt address counts from the next connection."""

    settings: Settings


Command = (
    SendHeartbeat
    | PostFlows
    | CloseWindow
    | ObserveServices
    | ObserveCompatibility
    | StartCollecting
    | StopCollecting
    | SaveSettings
    | heartbeat.TellLost
    | heartbeat.ModeChanged
    | policy_state.FetchPolicy
    | policy_state.ApplyPolicy
    | policy_state.SavePolicy
    | policy_state.ReportPolicy
    | bolts.OpenBolts
    | bolts.CloseBolts
    | bolts.SendKeepAlive
    | tampering.CheckKernel
    | tampering.RevertKernel
    | tampering.ReportTampering
    | reports.SendReport
    | actions.Do
    | actions.RememberActions
    | outbox.ForgetBatch
)

_Result = tuple[VenState, tuple[Command, ...]]


def start(
    now: float,
    seed: int,
    settings: Settings,
    policy: policy_state.PolicyState,
    waiting: tuple[outbox.Batch, ...] = (),
    done_actions: tuple[str, ...] = (),
    running_actions: tuple[str, ...] = (),
) -> VenState:
    """A VEN that has just started; feed it :class:`Started` next.

    ``policy`` says what the kernel holds, ``waiting`` which batches are on disk, and
    ``done_actions`` which actions an earlier process carried out, ``running_actions`` which it
    left to this one.
    """
    return VenState(
        settings=settings,
        heartbeat=heartbeat.start(now, Dice(seed), settings.intervals.heartbeat_s),
        policy=policy,
        bolts=bolts.start(Dice(seed + 1), settings.intervals.bolt_keepalive_s),
        tampering=tampering.TamperState(),
        reports=reports.ReportState(),
        actions=actions.start(done_actions, running_actions),
        outbox=outbox.OutboxState(waiting=waiting),
    )


def wake_at(state: VenState) -> float:
    """When the next :class:`Tick` is wanted."""
    minimal = state.heartbeat.mode == "minimal"
    return min(
        heartbeat.wake_at(state.heartbeat),
        NEVER if minimal else policy_state.wake_at(state.policy),
        bolts.wake_at(state.bolts),
        tampering.wake_at(state.tampering),
        NEVER if state.closing or not state.collecting else state.flows_due_at,
        state.observe_at,
    )


def step(state: VenState, event: Event, now: float) -> _Result:
    """The next state, and what the edges are to do, in this order."""
    match event:
        case Tick():
            return _tick(state, now)
        case Started():
            state = replace(state, flows_due_at=now + _window_s(state, now), observe_at=now)
            state, commands = _bolts(state, bolts.Start(), now)
            return state, (StartCollecting(), *commands)
        case HeartbeatAnswered(reply, done):
            return _answered(state, reply, done, now)
        case HeartbeatMissed(authentication):
            return _heartbeat(state, heartbeat.Missed(authentication), now)
        case BatchStored(batch):
            return _outbox(state, outbox.Stored(batch))
        case WindowClosed(batches):
            return _window_closed(state, batches, now)
        case FlowsTaken(seq, reply, done):
            state, commands = _outbox(state, outbox.Accepted(seq))
            state, more = _answered(state, reply, done, now)
            return state, commands + more
        case FlowsUnreadable(seq):
            state, commands = _outbox(state, outbox.Accepted(seq))
            return state, commands + _sign_still_owed(state)
        case FlowsMissed(seq):
            state, commands = _outbox(state, outbox.NotAccepted(seq))
            return state, commands + _sign_still_owed(state)
        case BoltArrived(bolt):
            return _bolts(state, bolts.Received(bolt, state.heartbeat.mode), now)
        case bolts.Opened() | bolts.Failed() | bolts.Lost():
            return _bolts(state, event, now)
        case reports.Observed() | reports.ReportAccepted() | reports.ReportFailed():
            return _reports(state, event)
        case actions.Finished():
            state, commands = _actions(state, event, now)
            # Somebody waits to hear of it.
            state, more = _heartbeat(state, heartbeat.Soon(TOLD_WITHIN_S), now)
            return state, commands + more
        case tampering.Suspected() | tampering.Looked() | tampering.Reverted():
            return _tampering(state, event, now)
        case _:
            return _policy(state, event, now)


def _tick(state: VenState, now: float) -> _Result:
    tick = Tick()
    state, commands = _heartbeat(state, tick, now)
    for machine in (_bolts, _tampering):
        state, more = machine(state, tick, now)
        commands += more
    if state.heartbeat.mode != "minimal":
        state, more = _policy(state, tick, now)
        commands += more
    if now >= state.flows_due_at and state.collecting:
        state, more = _close_window(state)
        commands += more
    if now >= state.observe_at:
        state = replace(state, observe_at=now + OBSERVE_SERVICES_S)
        commands += (ObserveServices(),)
        commands += (ObserveCompatibility(),) if _idle(state.policy) else ()
    return state, commands


def _answered(state: VenState, reply: HeartbeatReply, done: tuple[str, ...], now: float) -> _Result:
    state, commands = _heartbeat(state, heartbeat.Answered(reply.next_heartbeat_s), now)
    consequences: list[Callable[[VenState], _Result]] = [
        lambda s: _bolts(s, bolts.Release(), now),
        lambda s: _actions(s, actions.Reported(done), now),
        lambda s: _settings(s, reply.settings, now),
        lambda s: _actions(s, actions.Asked(tuple(reply.actions)), now),
        lambda s: _policy(s, policy_state.Wanted(reply.etag), now),
        lambda s: _reports(s, reports.Reachable()),
    ]
    if state.heartbeat.mode == "normal":
        consequences.append(lambda s: _outbox(s, outbox.PostNext()))
    for consequence in consequences:
        state, more = consequence(state)
        commands += more
    return state, commands


def _settings(state: VenState, settings: Settings | None, now: float) -> _Result:
    if settings is None or settings == state.settings:
        return state, ()
    moved = settings.bolts_url != state.settings.bolts_url
    state = replace(state, settings=settings)
    state = replace(state, flows_due_at=min(state.flows_due_at, now + _window_s(state, now)))
    commands: tuple[Command, ...] = (SaveSettings(settings),)
    events: list[bolts.BoltEvent] = [bolts.SetKeepAlive(settings.intervals.bolt_keepalive_s)]
    if moved and state.bolts.phase != "off":
        events += [bolts.Stop(), bolts.Start(had_gap=True)]
    for event in events:
        state, more = _bolts(state, event, now)
        commands += more
    return state, commands


def _window_s(state: VenState, now: float) -> float:
    intervals = state.settings.intervals
    usual_s = intervals.snapshot_s if _idle(state.policy) else intervals.flows_s
    return min(usual_s, FREQUENT_FLOWS_INTERVAL_S) if now < state.flows_often_until else usual_s


def _close_window(state: VenState) -> _Result:
    if state.closing or not state.collecting:
        return state, ()
    return replace(state, closing=True), (CloseWindow(),)


def _window_closed(state: VenState, batches: tuple[outbox.Batch, ...], now: float) -> _Result:
    sign_owed = state.sign_owed
    state = replace(state, closing=False, sign_owed=False, flows_due_at=now + _window_s(state, now))
    commands: tuple[Command, ...] = ()
    for batch in batches:
        state, more = _outbox(state, outbox.Stored(batch))
        commands += more
    if sign_owed:
        state, more = _sign_of_life(state)
        return state, commands + more
    if state.heartbeat.mode == "normal":
        state, more = _outbox(state, outbox.PostNext())
        commands += more
    return state, commands


def _awaits_answer(state: VenState) -> bool:
    """A sign of life is due or on its way."""
    return state.heartbeat.due_at == NEVER


def _sign_still_owed(state: VenState) -> tuple[Command, ...]:
    """A batch that was to be a sign of life was none: trouble with flows alone must not look like
    a lost VEN, nor like a lost PCE."""
    return _plain_heartbeat(state) if _awaits_answer(state) else ()


def _plain_heartbeat(state: VenState) -> tuple[Command, ...]:
    return (SendHeartbeat(actions.named(state.actions)),)


def _sign_of_life(state: VenState) -> _Result:
    """A flow post when one waits or is on its way, else a heartbeat."""
    if state.heartbeat.mode == "normal" and state.collecting:
        state, commands = _outbox(state, outbox.PostNext())
        if state.outbox.posting is not None:
            return state, commands
    return state, _plain_heartbeat(state)


def _heartbeat(state: VenState, event: heartbeat.HeartbeatEvent, now: float) -> _Result:
    machine, said = heartbeat.step(state.heartbeat, event, now)
    state = replace(state, heartbeat=machine)
    commands: tuple[Command, ...] = ()
    for command in said:
        match command:
            case heartbeat.GiveSign():
                state, more = _heartbeat_due(state, now)
            case heartbeat.ModeChanged("degraded"):
                state, more = _bolts(state, bolts.Hold(), now)
                more = (command, *more)
            case heartbeat.EnterMinimal():
                state, more = _bolts(replace(state, collecting=False), bolts.Stop(), now)
                more = (StopCollecting(), *more)
            case heartbeat.LeaveMinimal():
                state = replace(state, collecting=True, flows_due_at=now + _window_s(state, now))
                told, state = state.untold, replace(state, untold=None)
                state, more = _bolts(state, bolts.Start(had_gap=True), now)
                more = (StartCollecting(), *more, *((told,) if told else ()))
            case _:
                more = (command,)
        commands += more
    return state, commands


def _heartbeat_due(state: VenState, now: float) -> _Result:
    state, commands = _tampering(state, tampering.Suspected(), now)
    left_s = state.flows_due_at - now
    nearly_over = left_s <= NEARLY_OVER * state.heartbeat.interval_s
    if state.heartbeat.mode == "normal" and state.collecting and (nearly_over or state.closing):
        state, more = _close_window(replace(state, sign_owed=True))
    else:
        state, more = _sign_of_life(state)
    return state, commands + more


def _policy(state: VenState, event: policy_state.PolicyEvent, now: float) -> _Result:
    machine, said = policy_state.step(state.policy, event, now)
    commands: tuple[Command, ...] = ()
    for command in said:
        match command:
            case policy_state.FetchPolicy() if state.heartbeat.mode == "minimal":
                # Under way when the mode was entered; ticks, so retries, wait for its end.
                machine, _ = policy_state.step(machine, policy_state.FetchFailed(), now)
            case policy_state.ReportPolicy() if state.heartbeat.mode == "minimal":
                pass  # the heartbeat names the policy in force
            case _:
                commands += (command,)
    begins = _enforces(machine) and not _enforces(state.policy)
    if _idle(machine) and not _idle(state.policy):
        state = replace(state, observe_at=now)
    other_window = _idle(machine) != _idle(state.policy)
    state = replace(state, policy=machine)
    if other_window:
        state = replace(state, flows_due_at=min(state.flows_due_at, now + _window_s(state, now)))
    if begins:
        state, more = _bolts(state, bolts.Renew(), now)
        commands += more
    return state, commands


def _enforces(policy: policy_state.PolicyState) -> bool:
    return policy.document is not None and policy.document.mode != "idle"


def _idle(policy: policy_state.PolicyState) -> bool:
    return policy.document is not None and policy.document.mode == "idle"


def _bolts(state: VenState, event: bolts.BoltEvent, now: float) -> _Result:
    machine, said = bolts.step(state.bolts, event, now)
    state = replace(state, bolts=machine)
    commands: tuple[Command, ...] = ()
    for command in said:
        match command:
            case bolts.PolicyHint():
                state, more = _policy(state, _wanted(command), now)
            case bolts.HeartbeatHint(spread_s):
                state, more = _heartbeat(state, heartbeat.Soon(spread_s), now)
            case _:
                more = (command,)
        commands += more
    return state, commands


def _wanted(hint: bolts.PolicyHint) -> policy_state.Wanted:
    return policy_state.Wanted(hint.etag, hint.spread_s, hint.base, hint.reply, hint.report_after_s)


def _reports(state: VenState, event: reports.ReportEvent) -> _Result:
    connected = state.heartbeat.mode == "normal"
    machine, commands = reports.step(state.reports, event, connected)
    return replace(state, reports=machine), commands


def _actions(state: VenState, event: actions.ActionEvent, now: float) -> _Result:
    machine, said = actions.step(state.actions, event)
    state = replace(state, actions=machine)
    commands: tuple[Command, ...] = ()
    for command in said:
        match command:
            case actions.RefreshAsked():
                state, more = _policy(state, policy_state.Refresh(), now)
            case actions.FlowsAsked():
                until = now + FREQUENT_FLOWS_FOR_S
                state, more = _close_window(replace(state, flows_often_until=until))
            case _:
                more = (command,)
        commands += more
    return state, commands


def _tampering(state: VenState, event: tampering.TamperEvent, now: float) -> _Result:
    if state.policy.document is None and isinstance(event, tampering.Suspected):
        return state, ()  # nothing of ours is in the kernel
    machine, said = tampering.step(state.tampering, event, now)
    state = replace(state, tampering=machine)
    commands: tuple[Command, ...] = ()
    for command in said:
        match command:
            case tampering.ReportTampering() if state.heartbeat.mode == "minimal":
                state = replace(state, untold=tampering.together(state.untold, command))
            case _:
                commands += (command,)
    return state, commands


def _outbox(state: VenState, event: outbox.OutboxEvent) -> _Result:
    machine, said = outbox.step(state.outbox, event)
    state = replace(state, outbox=machine)
    commands: tuple[Command, ...] = ()
    for command in said:
        match command:
            case outbox.PostBatch(seq):
                commands += (PostFlows(seq, actions.named(state.actions)),)
            case _:
                commands += (command,)
    return state, commands
