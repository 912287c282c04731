"""The running agent: one event loop that does what the state machines decide.

It owns no decisions. Events from the edges go to ``ven.core.coordination``; each command that comes
back is carried out by one method here, and its outcome goes in as the next event. Whatever may
block (requests to the PCE, the kernel's bulk work, process listings) runs in worker threads, one
request and one kernel change at a time.

It may be killed at any instruction: the policy stays in the kernel, what must survive is on disk
before it is acted upon, and a restart goes on from there. An error that nobody foresaw ends the
process for the same reason; the service manager starts it again.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from ven import support_report
from ven.activation import connected
from ven.collection import FlowCollection
from ven.configuration import Identity, Server
from ven.core import (
    actions,
    bolts,
    coordination,
    health,
    heartbeat,
    outbox,
    policy_state,
    reports,
)
from ven.core import tampering as tamper
from ven.core.flows import neighbourhood, port_owners
from ven.core.kernel import Drained, ForeignChange, Kernel, KernelRefused
from ven.core.timing import NEVER, Dice, Tick
from ven.edge.bolts import BoltConnection
from ven.edge.clock import Clock, rfc3339
from ven.edge.files import DataDirectory, KeptPolicy, Status
from ven.edge.host import uptime_s
from ven.edge.http import (
    AuthenticationRefused,
    Damaged,
    Pce,
    PceConnection,
    Refused,
    RequestFailed,
    Unreachable,
    trust,
)
from ven.edge.readers import StreamReader
from ven.enforcement import Enforcement
from ven.name_resolution import NameResolution
from ven_protocol.flows import FlowBatch
from ven_protocol.messages import (
    Action,
    Deactivate,
    Goodbye,
    Heartbeat,
    HostFacts,
    Interface,
    InterfacesReport,
    LostAgent,
    OpenPort,
    PolicyApplied,
    Process,
    ServicesReport,
    SupportReportRequest,
    Tampering,
    settings_digest,
)
from ven_protocol.policy import PolicyDocument

_log = logging.getLogger("ven.agent")

GOODBYE_TIMEOUT_S = 4
"""A stopping host does not wait for a PCE that does not answer; goodbye is best effort."""

REPORT_WITHIN_S = 2.0
"""A policy that was applied is reported at a random moment within so many seconds. When a change
concerns a whole fleet, the fetches of some come before the reports of others."""

INTERFACE_SETTLE_S = 0.3
"""Links, addresses and routes change in bursts; what came of them is read this much later."""

UNREADABLE = (400, 406, 413, 422)
"""Answers to a flow post that repeating cannot mend. Others (a proxy's 403, say) may pass."""

Outcome = Literal["stopped", "restart", "unpaired"]

_Result = TypeVar("_Result")

_BATCH = msgspec.msgpack.Decoder(FlowBatch)


class Agent:
    """One VEN. Build it in a running event loop, then await :meth:`run`."""

    def __init__(
        self,
        data: DataDirectory,
        identity: Identity,
        kernel: Kernel,
        held: KeptPolicy | None,
        facts: Callable[[str], HostFacts],
        workers: Executor,
        clock: Clock | None = None,
    ) -> None:
        """``held`` is what was loaded into the kernel before the network was trusted; ``facts``
        tells of the host, given its address towards the PCE; ``workers`` runs what may block (three
        threads are enough for one agent). Raises ``Unreachable`` when the CA file cannot be read.
        """
        self._data = data
        self._identity = identity
        self._kernel = kernel
        self._facts = facts
        self._workers = workers
        self._clock = clock or Clock()
        self._loop = asyncio.get_running_loop()
        self._enforcement = Enforcement(data, kernel)
        context = trust(identity.ca_file)
        server = Server.parse(identity.server)
        self._connection = PceConnection(
            server, context, identity.agent_token, self._enforcement.let_through
        )
        self._pce = Pce(identity, self._connection)
        self._bolts = BoltConnection(
            context,
            identity.agent_token,
            on_bolt=lambda bolt: self._feed(coordination.BoltArrived(bolt)),
            on_lost=lambda: self._feed(bolts.Lost()),
            before_connect=self._enforcement.let_through,
        )
        self._flows = FlowCollection(
            data,
            kernel,
            self._clock,
            on_batch=lambda batch: self._feed(coordination.BatchStored(batch)),
            on_error=self._fail,
        )
        self._names = NameResolution(
            data, kernel, self._enforcement, workers, self._clock, self._fail
        )
        self._interfaces: list[Interface] = []
        self._services: tuple[list[OpenPort], list[Process]] = ([], [])
        self._readers: list[StreamReader[Any]] = []
        self._request_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._reporting: policy_state.ReportPolicy
        self._report_timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[Outcome] = self._loop.create_future()
        self._last_heartbeat = ""
        self._status: Status | None = None
        self.firewall_restore: actions.FirewallRestore = "saved"
        """What an unpairing leaves of the firewall; set before :meth:`run` returns ``unpaired``."""
        self.state = self._first_state(held)

    def stop(self) -> None:
        """End :meth:`run` in an orderly way."""
        self._end("stopped")

    async def run(self) -> Outcome:
        """Enforce and report until :meth:`stop`, a restart or an unpairing by the PCE."""
        _log.info("VEN %s starts, PCE %s", self._identity.ven_href, self._identity.server)
        try:
            self._readers += [
                StreamReader(
                    self._kernel.interface_changes(),
                    self._interfaces_changed,
                    self._fail,
                    gather_s=INTERFACE_SETTLE_S,
                ),
                StreamReader(self._kernel.foreign_changes(), self._foreign_change, self._fail),
            ]
            if self.state.policy.document is not None:
                self._names.restore(self.state.policy.document)
            self._spawn(self._observe_interfaces())
            self._feed(coordination.Started())
            return await self._ended
        finally:
            await self._shut_down()

    # Events in, commands out

    def _first_state(self, held: KeptPolicy | None) -> coordination.VenState:
        seed = secrets.randbits(63)
        policy = policy_state.start(Dice(seed + 2))
        if held is not None:
            policy = policy_state.start(Dice(seed + 2), held.etag, held.document)
            self._take_policy(held.document)
        return coordination.start(
            now=self._clock.monotonic(),
            seed=seed,
            settings=self._identity.settings,
            policy=policy,
            waiting=self._data.batches(),
            done_actions=self._data.done_actions(),
        )

    def _feed(self, event: coordination.Event) -> None:
        if self._ended.done():
            return
        try:
            self.state, commands = coordination.step(self.state, event, self._clock.monotonic())
            for command in commands:
                self._perform(command)
            self._arm()
            self._write_status()
        except Exception as error:  # the end of the process, wherever this was called from
            self._fail(error)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = coordination.wake_at(self.state)
        if at != NEVER:
            wait_s = max(0.0, at - self._clock.monotonic())
            self._timer = self._loop.call_later(wait_s, self._feed, Tick())

    def _perform(self, command: coordination.Command) -> None:
        """Carry out one command; what takes time goes on in a task that feeds its outcome."""
        match command:
            case coordination.SendHeartbeat(done):
                self._spawn(self._send_heartbeat(done))
            case coordination.PostFlows(seq, done):
                self._spawn(self._post_flows(seq, done))
            case coordination.CloseWindow():
                self._spawn(self._close_window())
            case coordination.ObserveServices():
                self._spawn(self._observe_services())
            case coordination.StartCollecting():
                self._flows.start()
            case coordination.StopCollecting():
                self._flows.stop()
            case coordination.SaveSettings(settings):
                self._identity = replace(self._identity, settings=settings)
                self._keep(self._data.save_identity, self._identity)
            case heartbeat.TellLost():
                self._spawn(self._tell_lost())
            case heartbeat.ModeChanged(mode):
                _log.warning("mode is now %s", mode)
            case policy_state.FetchPolicy(etag):
                self._spawn(self._fetch_policy(etag))
            case policy_state.ApplyPolicy(etag, document):
                self._spawn(self._apply_policy(etag, document))
            case policy_state.SavePolicy(etag, document):
                self._keep(self._data.save_policy, etag, document)
            case policy_state.ReportPolicy():
                self._report_soon(command)
            case bolts.OpenBolts():
                self._spawn(self._open_bolts())
            case bolts.CloseBolts():
                self._spawn(self._bolts.close())
            case bolts.SendKeepAlive():
                self._spawn(self._bolts.keep_alive())
            case tamper.CheckKernel():
                self._spawn(self._check_kernel())
            case tamper.RevertKernel():
                self._spawn(self._revert_kernel())
            case tamper.ReportTampering():
                self._spawn(self._report_tampering(command))
            case reports.SendReport(kind):
                self._spawn(self._send_report(kind))
            case actions.Do(action):
                self._spawn(self._do(action))
            case actions.RememberActions(ids):
                self._keep(self._data.save_done_actions, ids)
            case outbox.ForgetBatch(seq, lost):
                self._data.forget_batch(seq)
                if lost:
                    _log.error("flow batch %d dropped: no room for it any more", seq)

    # Signs of life

    async def _send_heartbeat(self, done: tuple[str, ...]) -> None:
        try:
            reply = await self._request(self._pce.heartbeat, self._heartbeat(done))
        except RequestFailed as error:
            _log.warning("heartbeat missed: %s", error)
            refused = isinstance(error, AuthenticationRefused)
            self._feed(coordination.HeartbeatMissed(refused))
        else:
            self._heard()
            self._feed(coordination.HeartbeatAnswered(reply, done))

    def _heartbeat(self, done: tuple[str, ...]) -> Heartbeat:
        document = self.state.policy.document
        return Heartbeat(
            host=self._facts(self._connection.local_address),
            uptime_seconds=uptime_s(),
            agent_mode=self.state.heartbeat.mode,
            applied_etag=self.state.policy.held,
            health=health.conditions(self.state.policy),
            enforcement_mode=document.mode if document else None,
            done_actions=list(done),
            settings_digest=settings_digest(self.state.settings),
        )

    def _heard(self) -> None:
        self._last_heartbeat = rfc3339(self._clock.wall())

    async def _tell_lost(self) -> None:
        host = self._facts("")
        message = LostAgent(hostname=host.hostname, reason="the PCE refuses the agent token")
        await self._best_effort("lost agent", self._pce.lost, message)

    # Flows

    async def _close_window(self) -> None:
        self._feed(coordination.WindowClosed(await self._flows.close_window()))

    async def _post_flows(self, seq: int, done: tuple[str, ...]) -> None:
        content = self._data.batch(seq)
        if content is None:
            self._feed(coordination.FlowsUnreadable(seq))
            return
        body = msgspec.msgpack.encode(
            replace(_BATCH.decode(content), heartbeat=self._heartbeat(done))
        )
        try:
            reply = await self._request(self._pce.flows, body)
        except RequestFailed as error:
            _log.warning("flow batch %d not taken: %s", seq, error)
            if isinstance(error, Refused) and error.status in UNREADABLE:
                self._feed(coordination.FlowsUnreadable(seq))
            else:
                self._feed(coordination.FlowsMissed(seq))
        else:
            self._heard()
            self._feed(coordination.FlowsTaken(seq, reply.heartbeat, done))

    # Policy

    async def _fetch_policy(self, etag: str) -> None:
        try:
            reply = await self._request(self._pce.policy, etag)
        except Damaged as error:
            _log.error("the policy is damaged, the old one stays in force: %s", error)
            self._feed(policy_state.Damaged(str(error)))
        except RequestFailed as error:
            _log.warning("policy not fetched: %s", error)
            self._feed(policy_state.FetchFailed())
        else:
            self._feed(policy_state.Fetched(reply) if reply else policy_state.Unchanged())

    async def _apply_policy(self, etag: str, document: PolicyDocument) -> None:
        try:
            learned = self._names.wanted_by(document)
            rules = await self._work(self._enforcement.apply, document, learned)
        except KernelRefused as error:
            _log.error("the kernel refused policy %s: %s", etag, error)
            self._names.refill()
            self._feed(policy_state.Refused(str(error)))
        else:
            _log.info("policy %s is in the kernel: %s, %d rules", etag, document.mode, rules)
            self._take_policy(document)
            self._names.adopt(document)
            self._feed(policy_state.Applied(rules))

    def _take_policy(self, document: PolicyDocument) -> None:
        self._flows.ledger.mode = document.mode
        self._flows.ledger.visibility = document.visibility
        if document.not_enforced:
            _log.warning("%s", health.custom_rules(document.not_enforced))

    def _report_soon(self, said: policy_state.ReportPolicy) -> None:
        """Report in the order of what happened: a success later, in place of one that still waits;
        a failure now, after the success that waits."""
        if self._report_timer is not None:
            self._report_timer.cancel()
            self._report_timer = None
            if said.error:
                self._spawn(self._report_policy(self._reporting))
        self._reporting = said
        if said.error:
            self._spawn(self._report_policy(said))
        else:
            wait_s = secrets.randbelow(1000) / 1000 * REPORT_WITHIN_S
            self._report_timer = self._loop.call_later(wait_s, self._report_now)

    def _report_now(self) -> None:
        self._report_timer = None
        self._spawn(self._report_policy(self._reporting))

    async def _report_policy(self, said: policy_state.ReportPolicy) -> None:
        to_wall = self._clock.wall() - self._clock.monotonic()
        message = PolicyApplied(
            etag=said.etag,
            success=not said.error,
            received_at=rfc3339(said.received_at + to_wall),
            applied_at=rfc3339(said.applied_at + to_wall),
            rule_count=said.rules,
            error=said.error[:1024],
        )
        await self._best_effort("policy report", self._pce.policy_applied, message)

    # Tampering

    def _foreign_change(self, drained: Drained[ForeignChange]) -> None:
        for change in drained.items:
            self._feed(tamper.Suspected(change.process_name, change.detail))
        if drained.lost:
            self._feed(tamper.Suspected(detail="notifications were lost"))

    async def _check_kernel(self) -> None:
        self._feed(tamper.Looked(await self._work(self._enforcement.intact)))

    async def _revert_kernel(self) -> None:
        seen = self.state.tampering
        _log.error("firewall changed by %r: %s", seen.process_name or "?", seen.detail)
        document = self.state.policy.document
        try:
            if document is not None:
                await self._work(self._enforcement.apply, document)
        except KernelRefused as error:
            _log.error(
                "the firewall was changed and the kernel refused to change it back: %s", error
            )
            self._feed(tamper.Reverted(succeeded=False))
        else:
            self._feed(tamper.Reverted(succeeded=True))

    async def _report_tampering(self, said: tamper.ReportTampering) -> None:
        message = Tampering(
            num_reverts=said.reverts,
            revert_succeeded=said.succeeded,
            process_name=said.process_name[:255],
            detail=said.detail[:1024],
        )
        await self._best_effort("tampering report", self._pce.tampering, message)

    # Bolts

    async def _open_bolts(self) -> None:
        try:
            await self._bolts.open(self._identity.settings.bolts_url)
        except Unreachable as error:
            _log.info("bolt channel: %s", error)
            self._feed(bolts.Failed())
            return
        self._feed(bolts.Opened())
        if self.state.bolts.phase == "off":
            await self._bolts.close()

    # Reports

    def _interfaces_changed(self, drained: Drained[None]) -> None:
        self._spawn(self._observe_interfaces())

    async def _observe_interfaces(self) -> None:
        self._interfaces = await self._work(self._kernel.interfaces)
        self._flows.ledger.neighbourhood = neighbourhood(self._interfaces)
        self._feed(reports.Observed("interfaces", reports.digest(self._interfaces)))

    async def _observe_services(self) -> None:
        self._services = await self._work(self._kernel.open_ports)
        self._flows.ledger.owners = port_owners(self._services[0])
        self._feed(reports.Observed("services", reports.digest(self._services)))

    async def _send_report(self, kind: reports.ReportKind) -> None:
        try:
            if kind == "interfaces":
                await self._request(
                    self._pce.interfaces, InterfacesReport(interfaces=self._interfaces)
                )
            else:
                ports, processes = self._services
                report = ServicesReport(
                    uptime_seconds=uptime_s(), open_ports=ports, processes=processes
                )
                await self._request(self._pce.services, report)
        except RequestFailed as error:
            _log.warning("%s report: %s", kind, error)
            self._feed(reports.ReportFailed(kind))
        else:
            self._feed(reports.ReportAccepted(kind))

    # Actions of the PCE

    async def _do(self, action: Action) -> None:
        _log.warning("the PCE asks for %s", action.type)
        match action.type:
            case "support_report":
                await self._best_effort("support report", self.send_support_report, action.id)
                self._feed(actions.Finished(action.id))
            case "unpair":
                self.firewall_restore = actions.firewall_restore(action)
                message = Deactivate(firewall_restore=self.firewall_restore)
                await self._best_effort("deactivation", self._pce.deactivate, message)
                self._end("unpaired")
            case "restart":
                self._end("restart")

    def send_support_report(self, action_id: str = "") -> None:
        """Build and upload a support report. Blocking. Raises as a request does."""
        with support_report.build(self._data, self._kernel, self._identity) as report:
            where = self._pce.support_report(
                SupportReportRequest(
                    size_bytes=report.size_bytes, sha256=report.sha256, action_id=action_id
                )
            )
            report.upload(where, self._identity.ca_file)

    # Plumbing

    async def _shut_down(self) -> None:
        for timer in (self._timer, self._report_timer):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._connection.abort()
        if not self._ended.cancelled() and self._ended.exception() is None:
            # Onto the disk; the next process posts it.
            await self._flows.close_window()
        self._flows.stop()
        self._names.close()
        while self._readers:
            self._readers.pop().close()
        await self._bolts.close()
        stopped = not self._ended.cancelled() and self._ended.exception() is None
        if stopped and self._ended.result() == "stopped" and not self._data.suspended:
            await self._say_goodbye()
        self._connection.close()
        _log.info("VEN stopped")

    async def _say_goodbye(self) -> None:
        try:
            await asyncio.wait_for(self._work(self._goodbye), GOODBYE_TIMEOUT_S)
        except (RequestFailed, TimeoutError) as error:
            _log.warning("goodbye not heard: %r", error)

    def _goodbye(self) -> None:
        # A connection of its own: the other may be in the middle of a request.
        with connected(self._identity) as pce:
            pce.goodbye(Goodbye())

    def _write_status(self) -> None:
        state = self.state
        status = Status(
            pid=os.getpid(),
            mode=state.heartbeat.mode,
            enforcement_mode=state.policy.document.mode if state.policy.document else "",
            applied_etag=state.policy.held,
            bolts=state.bolts.phase,
            last_heartbeat=self._last_heartbeat,
            batches_waiting=len(state.outbox.waiting),
            health=tuple(f"{c.code}: {c.message}" for c in health.conditions(state.policy)),
        )
        if status != self._status:
            self._status = status
            self._keep(self._data.save_status, status)

    def _keep(self, save: Callable[..., None], *arguments: object) -> None:
        """Write to the data directory; a full disk must not stop enforcement."""
        try:
            save(*arguments)
        except OSError as error:
            _log.error("not kept on disk: %s", error)

    async def _request(self, call: Callable[..., _Result], *arguments: object) -> _Result:
        """One request in a worker thread; the connection takes one at a time."""
        async with self._request_lock:
            return await self._work(call, *arguments)

    async def _best_effort(self, what: str, call: Callable[..., None], *arguments: object) -> None:
        """A request whose failure is only logged."""
        try:
            await self._request(call, *arguments)
        except RequestFailed as error:
            _log.warning("%s: %s", what, error)

    async def _work(self, call: Callable[..., _Result], *arguments: object) -> _Result:
        return await self._loop.run_in_executor(self._workers, call, *arguments)

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    def _end(self, outcome: Outcome) -> None:
        if not self._ended.done():
            self._ended.set_result(outcome)
