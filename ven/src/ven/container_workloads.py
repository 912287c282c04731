"""Pods and containers of this host: reported, and each enforced and observed in its own network.

Nobody tells of a container that starts, so the runtimes' state is looked at every ``LOOK_S``; what
the pods are is decided in ``ven.core.containers``. The PCE is told when there is news and asked
what each should hold: then, with every heartbeat that it answers, and with every bolt. A container
that is not (or no longer) managed keeps no rule of ours.

A pod's policy is kept by its kernel alone: it outlives a VEN that restarts, and ends with the pod.
While the host enforces, a pod is closed from its first instant until it has a policy
(``ven.pod_links``).
"""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator

from ven.collection import FlowCollection
from ven.configuration import Identity
from ven.core import reports
from ven.core.containers import Pod, pods, told
from ven.core.kernel import KernelRefused
from ven.core.outbox import Batch
from ven.edge.clock import Clock, rfc3339
from ven.edge.contained import ContainedKernel
from ven.edge.files import DataDirectory
from ven.edge.http import AuthenticationRefused, RequestFailed
from ven.edge.interfaces import InterfaceEvents
from ven.edge.pce import Pce
from ven.edge.runtimes import ContainerReader, network_of
from ven.guarded_pod import GuardedPod, folder_of, kernel_of
from ven.pod_links import PodLinks, open_again
from ven.work import Work
from ven_protocol.messages import ContainerWorkloadsReport, PolicyApplied, Tampering
from ven_protocol.policy import policy_digest

LOOK_S = 1.0
"""Between looks at the runtimes' state: 22 microseconds a pod (measured)."""
LOOK_SOON_S = 0.1
"""The same while a link is closed, behind which there may be a pod that nobody knows yet."""
CHECK_S = 2.0
"""Each pod's firewall and interfaces are looked at so often: 35 microseconds."""

MOST_UNTOLD = 32
"""Reports of tampering that wait while the PCE is away; the oldest go."""
AGAIN_S = (1.0, 60.0)
"""While a pod waits for its first policy the PCE is asked again after so long, and then after twice
as long each time, up to the second: a bolt mostly comes before."""

_log = logging.getLogger("ven.containers")


class ContainerWorkloads:
    """All pods of a container host."""

    def __init__(
        self,
        data: DataDirectory,
        identity: Identity,
        pce: Pce,
        work: Work,
        clock: Clock,
        on_batch: Callable[[Batch], None],
        on_error: Callable[[BaseException], None],
        host_mode: Callable[[], str],
    ) -> None:
        """``host_mode``: of the policy that the host holds now; "" without one."""
        self._data = data
        self._identity = identity
        self._pce = pce
        self._work = work
        self._clock = clock
        self._on_batch = on_batch
        self._on_error = on_error
        self._reader = ContainerReader(identity.runtime_roots)
        self._guards: dict[str, GuardedPod] = {}
        self._told = ""
        self._tampering: list[Tampering] = []
        """What the PCE was not told yet."""
        self._links = PodLinks(data, clock, host_mode)
        self._link_changes = InterfaceEvents()
        self._wake = asyncio.Event()
        self._asked = True
        self._collecting = True
        self._reachable = True
        self._again_s = AGAIN_S[0]
        self._check_at = 0.0
        self._closed = False  # whether a link is closed
        self._gate_error = ""

    def start(self) -> None:
        """Look from now on, until the agent's work is cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._link_changes.fileno(), self._links_changed)
        self._work.spawn(self._watch())

    def ask(self) -> None:
        """The PCE can be reached, and may have something new: soon ask what pods should hold."""
        self._reachable = self._asked = True
        self._wake.set()

    def wait(self) -> None:
        """The PCE cannot be reached: ask nothing until :meth:`ask`."""
        self._reachable = False

    def collect(self, wanted: bool) -> None:
        """Collect flows, or no more."""
        self._collecting = wanted
        for guard in self._guards.values():
            guard.collect(wanted)

    async def close_windows(self) -> tuple[Batch, ...]:
        """End the flow window of each pod."""
        batches: list[Batch] = []
        for guard in list(self._guards.values()):
            batches += await guard.close_window()
        return tuple(batches)

    def close(self) -> None:
        """Give descriptors back; what is enforced stays enforced."""
        while self._guards:
            self._guards.popitem()[1].close()
        asyncio.get_running_loop().remove_reader(self._link_changes.fileno())
        self._link_changes.close()
        self._links.close()

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            news = await self._look()
            if self._reachable and (news or self._asked):
                self._asked = False
                await self._exchange()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_SOON_S if self._closed else LOOK_S)

    def _links_changed(self) -> None:
        self._link_changes.drain()
        if self._links.enforced:
            self._wake.set()

    async def _look(self) -> bool:
        """See which pods there are and whether their firewalls are as they should be; whether the
        PCE knows something else."""
        found = await self._work.in_thread(self._read_pods)
        # One that was started again under its id has another network.
        for id in [id for id, guard in self._guards.items() if found.get(id) != guard.pod]:
            await self._end(id)
        for id in found.keys() - self._guards.keys():
            await self._begin(found[id])
        await self._admit()
        now = self._clock.monotonic()
        if now >= self._check_at:
            self._check_at = now + CHECK_S
            guards = list(self._guards.values())
            for guard in await self._work.in_thread(_check, guards):
                await self._revert(guard)
            if not await self._work.in_thread(self._links.intact):
                _log.error("the gate in front of containers was changed, and is put back")
                self._note_tampering("the gate in front of containers", await self._admit())
        return bool(self._tampering) or reports.digest(self._report()) != self._told

    def _read_pods(self) -> dict[str, Pod]:
        return pods(self._reader.read(), network_of())

    async def _begin(self, pod: Pod) -> None:
        try:
            kernel = await self._work.in_thread(kernel_of, self._data, self._identity, pod)
            flows = FlowCollection(
                self._data, kernel, self._clock, self._on_batch, self._on_error, container=pod.id
            )
            guard = GuardedPod(pod, kernel, flows)
            await self._work.in_thread(guard.look)
            self._guards[pod.id] = guard
        except OSError as error:
            _log.info("container %s ended: %s", pod.name, error)
            return
        _log.info("container %s of namespace %s", pod.name, pod.namespace or "default")

    async def _admit(self) -> bool:
        """Close pods that have no policy yet, where that is wanted, and open links for the others;
        whether that worked."""
        guards = list(self._guards.values())
        if self._links.enforced:
            for guard in guards:
                if not guard.looked_after:
                    await self._close_up(guard)
        try:
            self._closed = await self._work.in_thread(self._links.admit, guards)
        except (KernelRefused, OSError) as error:
            if str(error) != self._gate_error:  # it is tried again with every look
                _log.error("links of containers: %s", error)
            self._gate_error = str(error)
            return False
        self._gate_error = ""
        return True

    async def _close_up(self, guard: GuardedPod) -> None:
        if self._links.is_open(guard.pod.namespace):
            guard.looked_after = True
            return
        try:
            await self._work.in_thread(guard.close_up)
        except (KernelRefused, OSError) as error:
            # Its links stay closed; it is tried again with the next look.
            _log.info("container %s: %s", guard.pod.name, error)

    async def _end(self, id: str) -> None:
        guard = self._guards.pop(id)
        for batch in await guard.close_window():
            self._on_batch(batch)
        guard.close()
        shutil.rmtree(folder_of(self._data, self._identity, id), ignore_errors=True)
        _log.info("container %s is gone", guard.pod.name)

    def _report(self) -> ContainerWorkloadsReport:
        guards = sorted(self._guards.values(), key=lambda guard: guard.pod.id)
        return ContainerWorkloadsReport(
            container_workloads=[told(guard.pod, guard.interfaces) for guard in guards]
        )

    async def _exchange(self) -> None:
        """Tell what there is, ask what it should hold, and bring that about."""
        report = self._report()
        try:
            if reports.digest(report) != self._told:
                await self._work.request(self._pce.container_workloads, report)
                self._told = reports.digest(report)
            while self._tampering:
                await self._work.request(self._pce.tampering, self._tampering[0])
                self._tampering = self._tampering[1:]
            reply = await self._work.request(self._pce.container_policies)
        except RequestFailed as error:
            # The next heartbeat that is answered leads back here.
            self._reachable = False
            _log.warning("containers: %s", error)
            return
        wanted = {policy.id: policy.etag for policy in reply.container_workloads}
        for id, guard in list(self._guards.items()):
            try:
                if id not in wanted:
                    guard.collect(False)
                    await self._work.in_thread(guard.release)
                elif wanted[id] and wanted[id] != guard.etag:
                    await self._update(guard)
            except OSError as error:
                _log.info("container %s: %s", guard.pod.name, error)
        try:
            self._links.learn(self._guards.values())
        except OSError as error:
            _log.error("not kept on disk: %s", error)
        await self._admit()
        self._ask_again(any(not self._guards[id].etag for id in wanted if id in self._guards))

    def _ask_again(self, pending: bool) -> None:
        if not pending:
            self._again_s = AGAIN_S[0]
            return
        asyncio.get_running_loop().call_later(self._again_s, self._ask_now)
        self._again_s = min(2 * self._again_s, AGAIN_S[1])

    def _ask_now(self) -> None:
        self._asked = True
        self._wake.set()

    async def _update(self, guard: GuardedPod) -> None:
        """Fetch, apply and report one pod's policy."""
        received = self._clock.wall()
        try:
            reply = await self._work.request(self._pce.container_policy, guard.pod.id)
        except RequestFailed as error:
            _log.warning("policy of container %s: %s", guard.pod.name, error)
            if isinstance(error, AuthenticationRefused):
                self._told = ""  # the token was renewed: with the next report containers have it
            return
        if reply.document is None or policy_digest(reply.document) != reply.digest:
            _log.error("policy %s of container %s is damaged", reply.etag, guard.pod.name)
            return
        try:
            rules = await self._work.in_thread(guard.apply, reply.etag, reply.document)
        except KernelRefused as error:
            _log.error("container %s: the kernel refused policy: %s", guard.pod.name, error)
            message = PolicyApplied(etag=reply.etag, success=False, error=str(error)[:1024])
        else:
            _log.info("policy %s is in the kernel of %s", reply.etag, guard.pod.name)
            guard.collect(self._collecting)
            message = PolicyApplied(
                etag=reply.etag,
                received_at=rfc3339(received),
                applied_at=rfc3339(self._clock.wall()),
                rule_count=rules,
            )
        await self._work.best_effort(
            "policy report", self._pce.container_policy_applied, guard.pod.id, message
        )

    async def _revert(self, guard: GuardedPod) -> None:
        """Somebody changed the firewall of a pod: put it back and tell."""
        try:
            await self._work.in_thread(guard.restore)
        except (KernelRefused, OSError) as error:
            _log.error("container %s: its firewall cannot be put back: %s", guard.pod.name, error)
            succeeded = False
        else:
            _log.error("the firewall of container %s was changed, and put back", guard.pod.name)
            succeeded = True
        pod = guard.pod
        self._note_tampering(
            f"container {pod.name} of namespace {pod.namespace or 'default'}", succeeded
        )

    def _note_tampering(self, detail: str, succeeded: bool) -> None:
        message = Tampering(num_reverts=1, revert_succeeded=succeeded, detail=detail)
        self._tampering = [*self._tampering, message][-MOST_UNTOLD:]


def _check(guards: list[GuardedPod]) -> list[GuardedPod]:
    """See what became of the interfaces of pods; those whose firewall somebody changed."""
    changed = []
    for guard in guards:
        try:
            guard.look()
            if not guard.intact():
                changed.append(guard)
        except OSError as error:
            _log.info("container %s: %s", guard.pod.name, error)
    return changed


def release_all(data: DataDirectory, identity: Identity) -> None:
    """Take the rules out of every pod, when the VEN is suspended or leaves; the agent must not be
    running."""
    open_again()
    for pod, kernel in _kernels(data, identity):
        try:
            kernel.remove()
        except (OSError, KernelRefused) as error:
            _log.error("container %s: its rules stay: %s", pod.name, error)
        kernel.close()
    shutil.rmtree(data.path / "containers", ignore_errors=True)


def _kernels(data: DataDirectory, identity: Identity) -> Iterator[tuple[Pod, ContainedKernel]]:
    found = pods(ContainerReader(identity.runtime_roots).read(), network_of())
    for pod in found.values():
        try:
            kernel = kernel_of(data, identity, pod)
        except OSError:
            continue  # it ended
        yield pod, kernel
