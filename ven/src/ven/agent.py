"""The running agent: one event loop that does what the state machines decide.

It owns no decisions. Events from the edges go to ``ven.core.coordination``; each command that comes
back is carried out by the part whose concern it is, and its outcome goes in as the next event:

- ``signs_of_life``: heartbeats, flow posts, goodbye;
- ``policy_updates``: fetching, applying and reporting policies, with ``name_resolution``;
- ``firewall_watch``: others' changes to the firewall;
- ``host_reports``: interfaces and services;
- ``container_workloads``: the pods of a container host;
- ``collection``: flows; ``ven.edge.bolts``: the bolt channel;
- here: what the PCE asks for (``upgrade``, ``support_report``), and what is kept on disk.

Whatever may block (requests to the PCE, the kernel's bulk work, process listings) runs in worker
threads, one request and one kernel change at a time (``work``, ``enforcement``).

It may be killed at any instruction: the policy stays in the kernel, what must survive is on disk
before it is acted upon, and a restart goes on from there. An error that nobody foresaw ends the
process for the same reason; the service manager starts it again.
"""

import asyncio
import logging
import os
import secrets
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from ven import support_report
from ven.collection import FlowCollection
from ven.configuration import Identity, Server, reactivated
from ven.core import (
    actions,
    bolts,
    coordination,
    health,
    heartbeat,
    outbox,
    policy_state,
    reports,
    tampering,
)
from ven.core.kernel import Kernel
from ven.core.outbox import Batch
from ven.core.timing import NEVER, Dice, Tick
from ven.edge.bolts import BoltConnection, Busy
from ven.edge.clock import Clock
from ven.edge.files import DataDirectory, KeptPolicy, Status
from ven.edge.http import PceConnection, RequestFailed, Unreachable, trust, upload
from ven.edge.pce import Pce
from ven.enforcement import Enforcement
from ven.firewall_watch import FirewallWatch
from ven.host_reports import HostReports
from ven.installation import CannotInstall
from ven.name_resolution import NameResolution
from ven.policy_updates import PolicyUpdates
from ven.signs_of_life import SignsOfLife
from ven.upgrade import Upgrades
from ven.work import Work
from ven_protocol.maintenance import Accepted
from ven_protocol.messages import Action, Deactivate, HostFacts, Reactivate

if TYPE_CHECKING:
    # Loaded on container hosts alone: it brings the real kernel.
    from ven.container_workloads import ContainerWorkloads

_log = logging.getLogger("ven.agent")

Outcome = Literal["stopped", "restart", "unpaired", "upgrade", "give_up_release"]
"""How a VEN ends. The last two: as the new release; as the one before, because nobody answers."""


LOOK_AT_HOST_S = 10
"""Between two looks at what no event tells of: how full the connection table is, and which name
servers the host has; a look is some small reads."""

FAILURE_CHARACTERS = 1024
"""Most that a heartbeat says of why an action failed."""


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
        upgrades: Upgrades | None = None,
    ) -> None:
        """``held`` is what was loaded into the kernel before the network was trusted; ``facts``
        tells of the host, given its address towards the PCE; ``workers`` runs what may block (three
        threads are enough for one agent). Raises ``Unreachable`` when the CA file cannot be read.
        """
        self._data = data
        self._identity = identity
        self._kernel = kernel
        self._facts = facts
        self._clock = clock = clock or Clock()
        self._upgrades = upgrades or Upgrades(data, None)
        self._loop = asyncio.get_running_loop()
        self._work = work = Work(workers, self._fail)
        self._enforcement = enforcement = Enforcement(data, kernel, held.document if held else None)
        context = trust(identity.ca_file)
        server = Server.parse(identity.server)
        self._connection = PceConnection(
            server, context, identity.agent_token, enforcement.let_through
        )
        self._pce = pce = Pce(identity, self._connection)
        self._bolts = BoltConnection(
            context,
            identity.agent_token,
            on_bolt=lambda bolt: self._feed(coordination.BoltArrived(bolt)),
            on_lost=lambda: self._feed(bolts.Lost()),
            before_connect=enforcement.let_through,
        )
        self._names = NameResolution(data, kernel, enforcement, workers, clock, self._fail)
        self._flows = FlowCollection(
            data,
            kernel,
            clock,
            on_batch=lambda batch: self._feed(coordination.BatchStored(batch)),
            on_error=self._fail,
            names=self._names.names,
        )
        self._policy = PolicyUpdates(
            pce, enforcement, self._names, self._flows, work, clock, self._feed
        )
        self._signs = SignsOfLife(
            identity,
            data,
            pce,
            lambda: facts(self._connection.local_address),
            work,
            clock,
            self._feed,
            self._use_token,
        )
        self._watch = FirewallWatch(kernel, enforcement, pce, work, self._feed, self._fail)
        self._host = HostReports(
            kernel, pce, self._flows, enforcement, work, self._feed, self._fail
        )
        self._containers: ContainerWorkloads | None = None
        if identity.containers:
            from ven import container_workloads

            self._containers = container_workloads.ContainerWorkloads(
                data,
                identity,
                pce,
                work,
                clock,
                on_batch=lambda batch: self._feed(coordination.BatchStored(batch)),
                on_error=self._fail,
                host_mode=lambda: document.mode if (document := self.state.policy.document) else "",
            )
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[Outcome] = self._loop.create_future()
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
            self._host.start()
            self._watch.start()
            self._work.spawn(self._keep_up_with_host())
            if self.state.policy.document is not None:
                self._policy.restore(self.state.policy.document)
            self._feed(coordination.Started())
            if self._containers is not None:
                self._containers.start()
            self._tell_of_upgrade()
            return await self._ended
        finally:
            await self._shut_down()

    # Events in, commands out

    def _first_state(self, held: KeptPolicy | None) -> coordination.VenState:
        seed, upgrades = secrets.randbits(63), self._upgrades
        policy = policy_state.start(Dice(seed + 2))
        if held is not None:
            policy = policy_state.start(Dice(seed + 2), held.etag, held.document)
        return coordination.start(
            now=self._clock.monotonic(),
            seed=seed,
            settings=self._identity.settings,
            policy=policy,
            waiting=self._data.batches(),
            done_actions=self._data.done_actions(),
            running_actions=(upgrades.action_id,) if upgrades.standing == "on_trial" else (),
        )

    def _feed(self, event: coordination.Event) -> None:
        if self._ended.done():
            return
        try:
            self.state, commands = coordination.step(self.state, event, self._clock.monotonic())
            self._tell_containers(event)
            for command in commands:
                self._perform(command)
            self._arm()
            self._write_status()
            self._judge_release()
        except Exception as error:  # the end of the process, wherever this was called from
            self._fail(error)

    def _tell_containers(self, event: coordination.Event) -> None:
        """After a sign of life that was answered, and after a bolt that may be listened to, a
        container host asks what its containers should hold."""
        if self._containers is None:
            return
        match event:
            case coordination.HeartbeatAnswered() | coordination.FlowsTaken():
                self._containers.ask()
            case coordination.BoltArrived() if self.state.heartbeat.mode == "normal":
                self._containers.ask()
            case coordination.HeartbeatMissed():
                self._containers.wait()

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
        spawn = self._work.spawn
        match command:
            case coordination.SendHeartbeat(done):
                spawn(self._signs.send_heartbeat(self.state, done))
            case coordination.PostFlows(seq, done):
                spawn(self._signs.post_flows(self.state, seq, done))
            case heartbeat.TellLost():
                spawn(self._signs.tell_lost(self._facts("").hostname))
            case heartbeat.ModeChanged(mode):
                _log.warning("mode is now %s: %s", mode, heartbeat.MODE_MEANS[mode])
            case coordination.CloseWindow():
                spawn(self._close_window())
            case coordination.StartCollecting():
                self._collect(True)
            case coordination.StopCollecting():
                self._collect(False)
            case outbox.ForgetBatch(seq, lost):
                self._data.forget_batch(seq)
                if lost:
                    _log.error("flow batch %d dropped: no room for it any more", seq)
            case policy_state.FetchPolicy(etag):
                spawn(self._policy.fetch(etag))
            case policy_state.ApplyPolicy(etag, document):
                spawn(self._policy.apply(etag, document))
            case policy_state.SavePolicy(etag, document):
                self._keep(self._data.save_policy, etag, document)
            case policy_state.ReportPolicy():
                self._policy.report_soon(command)
            case bolts.OpenBolts():
                spawn(self._open_bolts())
            case bolts.CloseBolts():
                spawn(self._bolts.close())
            case bolts.SendKeepAlive():
                spawn(self._bolts.keep_alive())
            case tampering.CheckKernel():
                spawn(self._watch.check())
            case tampering.RevertKernel():
                seen = self.state.tampering
                spawn(self._watch.revert(seen.process_name, seen.detail))
            case tampering.ReportTampering():
                spawn(self._watch.report(command))
            case coordination.ObserveServices():
                spawn(self._host.observe_services())
            case coordination.ObserveCompatibility():
                spawn(self._host.observe_compatibility())
            case reports.SendReport(kind):
                spawn(self._host.send(kind))
            case actions.Do(action):
                spawn(self._do(action))
            case actions.RememberActions(ids):
                self._keep(self._data.save_done_actions, ids)
            case coordination.SaveSettings(settings):
                self._identity = replace(self._identity, settings=settings)
                self._keep(self._data.save_identity, self._identity)

    def _collect(self, wanted: bool) -> None:
        if wanted:
            self._flows.start()
        else:
            self._flows.stop()
        if self._containers is not None:
            self._containers.collect(wanted)

    async def _close_window(self) -> None:
        self._feed(coordination.WindowClosed(await self._close_windows()))

    async def _close_windows(self) -> tuple[Batch, ...]:
        batches = await self._flows.close_window()
        if self._containers is not None:
            batches += await self._containers.close_windows()
        return batches

    async def _open_bolts(self) -> None:
        try:
            await self._bolts.open(self._identity.settings.bolts_url)
        except Unreachable as error:
            _log.info("bolt channel: %s", error)
            self._feed(bolts.Failed(isinstance(error, Busy)))
            return
        self._feed(bolts.Opened())
        if self.state.bolts.phase == "off":
            await self._bolts.close()

    async def _do(self, action: Action) -> None:
        """What the PCE asks for."""
        _log.warning("the PCE asks for %s", action.type)
        match action.type:
            case "support_report":
                await self._send_report(action)
            case "unpair":
                self.firewall_restore = actions.firewall_restore(action)
                message = Deactivate(firewall_restore=self.firewall_restore)
                await self._work.best_effort("deactivation", self._pce.deactivate, message)
                self._end("unpaired")
            case "reactivate":
                await self._reactivate(action)
            case "restart":
                self._end("restart")
            case "upgrade":
                await self._upgrade(action)
            case "maintenance_token":
                accepted = Accepted.parse(action.params.get("accept", ""))
                if accepted is not None:
                    self._keep(self._data.accept_token, accepted, self._clock.wall())
                self._feed(actions.Finished(action.id))

    async def _send_report(self, action: Action) -> None:
        """Only the question where to is asked on the connection for heartbeats: the upload may take
        an hour."""
        in_thread, failure = self._work.in_thread, ""
        try:
            with tempfile.TemporaryDirectory(prefix="report-", dir=self._data.path) as folder:
                target = Path(folder) / "support_report.tar.gz"
                report = await in_thread(
                    support_report.write, target, self._data, self._kernel, self._identity
                )
                request = report.request(action.id)
                where = await self._work.request(self._pce.support_report, request)
                await in_thread(upload, where, report.path, self._identity.ca_file)
        except (RequestFailed, support_report.ReportTooLarge, OSError) as error:
            _log.error("no support report: %s", error)
            failure = str(error)[:FAILURE_CHARACTERS]
        self._feed(actions.Finished(action.id, failure))

    async def _keep_up_with_host(self) -> None:
        """Look at what no event tells of."""
        while True:
            if done := self._kernel.make_room():
                _log.warning("connection table: %s", done)
            await asyncio.sleep(LOOK_AT_HOST_S)
            await self._work.in_thread(self._enforcement.adapt)

    # Upgrading

    async def _upgrade(self, action: Action) -> None:
        """Ends in ``Finished``, or in the end of this process: the next one goes on."""
        upgrades = self._upgrades
        try:
            release = upgrades.begin(action)
            if release:
                described, package = await self._work.request(upgrades.download, release, self._pce)
                await self._work.in_thread(upgrades.install, described, package)
        except (RequestFailed, CannotInstall, OSError) as error:
            _log.error("no upgrade: %s", error)
            self._feed(actions.Finished(action.id, str(error)[:FAILURE_CHARACTERS]))
            upgrades.end()
            return
        if release:
            self._end("upgrade")
        else:
            self._feed(actions.Finished(action.id))

    def _tell_of_upgrade(self) -> None:
        """What the process before began."""
        upgrades = self._upgrades
        failure = upgrades.failure()
        if failure or upgrades.standing == "done":
            self._feed(actions.Finished(upgrades.action_id, failure))
            upgrades.end()

    def _judge_release(self) -> None:
        """A release on trial stays when the PCE has answered, and goes when nobody does."""
        if self._upgrades.standing != "on_trial" or self._ended.done():
            return
        if self._signs.answered_at:
            self._upgrades.standing = "done"
            self._work.spawn(self._stay())
        elif self.state.heartbeat.mode != "normal":
            self._end("give_up_release")

    async def _stay(self) -> None:
        try:
            await self._work.in_thread(self._upgrades.stay)
        except OSError as error:
            _log.error("what the former release needed is not removed: %s", error)
        self._feed(actions.Finished(self._upgrades.action_id))
        self._upgrades.end()

    async def _reactivate(self, action: Action) -> None:
        """This machine is a copy of the one that paired: become a VEN of its own, and start anew as
        that. Until then nothing changes; the PCE asks again."""
        facts = self._facts(self._connection.local_address)
        message = Reactivate(host=facts, interfaces=self._kernel.interfaces())
        try:
            activated = await self._work.request(self._pce.reactivate, message)
        except RequestFailed as error:
            _log.warning("this machine is a clone and could not be paired anew: %s", error)
            self._feed(actions.Finished(action.id, str(error)[:FAILURE_CHARACTERS]))
            return
        self._data.save_identity(reactivated(self._identity, activated))
        _log.warning("this machine was a clone; it is %s now", activated.ven_href)
        self._end("restart")

    def _use_token(self, token: str) -> None:
        self._identity = replace(self._identity, agent_token=token)
        self._keep(self._data.save_identity, self._identity)
        self._connection.use_token(token)
        self._bolts.use_token(token)

    # What is kept on disk

    def _write_status(self) -> None:
        state = self.state
        status = Status(
            pid=os.getpid(),
            mode=state.heartbeat.mode,
            enforcement_mode=state.policy.document.mode if state.policy.document else "",
            applied_etag=state.policy.held,
            bolts=state.bolts.phase,
            last_heartbeat=self._signs.answered_at,
            batches_waiting=len(state.outbox.waiting),
            health=tuple(
                f"{c.code}: {c.message}"
                for c in health.conditions(state.policy, state.reports, self._signs.clock_off_s)
            ),
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

    # The end

    async def _shut_down(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._policy.close()
        self._work.cancel()
        self._connection.abort()
        ended = self._ended.done() and not self._ended.cancelled()
        orderly = ended and self._ended.exception() is None
        if orderly:
            # Onto the disk; the next process posts it.
            await self._close_windows()
        self._flows.stop()
        if self._containers is not None:
            self._containers.close()
        self._names.close()
        self._watch.close()
        self._host.close()
        await self._bolts.close()
        if orderly and self._ended.result() == "stopped" and not self._data.suspended:
            await self._signs.say_goodbye()
        self._connection.close()
        _log.info("VEN stopped")

    def _fail(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    def _end(self, outcome: Outcome) -> None:
        if not self._ended.done():
            self._ended.set_result(outcome)
