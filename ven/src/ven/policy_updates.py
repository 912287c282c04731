"""From one policy to the next: fetched, put into the kernel, reported.

Which one is wanted, and what is done when something goes wrong, is decided in
``ven.core.policy_state``.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable

from ven.collection import FlowCollection
from ven.core import coordination, health, policy_state
from ven.core.kernel import KernelRefused
from ven.edge.clock import Clock, rfc3339
from ven.edge.http import Damaged, RequestFailed
from ven.edge.pce import Pce
from ven.enforcement import Enforcement
from ven.name_resolution import NameResolution
from ven.work import Work
from ven_protocol.limits import REPORT_WITHIN_S
from ven_protocol.messages import PolicyApplied
from ven_protocol.policy import PolicyDocument

_log = logging.getLogger("ven.agent")


class PolicyUpdates:
    """Brings policies into force and feeds what came of them."""

    def __init__(
        self,
        pce: Pce,
        enforcement: Enforcement,
        names: NameResolution,
        flows: FlowCollection,
        work: Work,
        clock: Clock,
        feed: Callable[[coordination.Event], None],
    ) -> None:
        """``names`` and ``flows`` go by the policy in force, and are told of each new one."""
        self._pce = pce
        self._enforcement = enforcement
        self._names = names
        self._flows = flows
        self._work = work
        self._clock = clock
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._waiting: policy_state.ReportPolicy | None = None
        self._timer: asyncio.TimerHandle | None = None

    def restore(self, document: PolicyDocument) -> None:
        """Go on with the policy that was put into the kernel at the start."""
        self._in_force(document)
        self._names.restore(document)

    async def fetch(self, etag: str) -> None:
        """Ends in ``Fetched``, ``Unchanged``, ``FetchFailed`` or ``Damaged``."""
        try:
            reply = await self._work.request(self._pce.policy, etag)
        except Damaged as error:
            _log.error("the policy is damaged, the old one stays in force: %s", error)
            self._feed(policy_state.Damaged(str(error)))
        except RequestFailed as error:
            _log.warning("policy not fetched: %s", error)
            self._feed(policy_state.FetchFailed())
        else:
            self._feed(policy_state.Fetched(reply) if reply else policy_state.Unchanged())

    async def apply(self, etag: str, document: PolicyDocument) -> None:
        """Ends in ``Applied`` or ``Refused``."""
        try:
            learned = self._names.wanted_by(document)
            rules = await self._work.in_thread(self._enforcement.apply, document, learned)
        except KernelRefused as error:
            _log.error("the kernel refused policy %s: %s", etag, error)
            self._names.refill()
            self._feed(policy_state.Refused(str(error)))
        else:
            _log.info("policy %s is in the kernel: %s, %d rules", etag, document.mode, rules)
            self._in_force(document)
            self._names.adopt(document)
            self._feed(policy_state.Applied(rules))

    def report_soon(self, said: policy_state.ReportPolicy) -> None:
        """Report in the order of what happened: a success later, in place of one that still waits;
        a failure now, after the success that waits."""
        if said.error:
            self._report_waiting()
            self._work.spawn(self._report(said))
            return
        self.close()
        self._waiting = said
        roll = secrets.randbelow(1000) / 1000
        wait_s = (1 + roll) * said.after_s if said.after_s else roll * REPORT_WITHIN_S
        self._timer = self._loop.call_later(wait_s, self._report_waiting)

    def close(self) -> None:
        """Forget the report that waits: the next heartbeat names the policy in force too."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._waiting = None

    def _report_waiting(self) -> None:
        said = self._waiting
        self.close()
        if said is not None:
            self._work.spawn(self._report(said))

    async def _report(self, said: policy_state.ReportPolicy) -> None:
        to_wall = self._clock.wall() - self._clock.monotonic()
        message = PolicyApplied(
            etag=said.etag,
            success=not said.error,
            received_at=rfc3339(said.received_at + to_wall),
            applied_at=rfc3339(said.applied_at + to_wall),
            rule_count=said.rules,
            error=said.error[:1024],
        )
        try:
            reply = await self._work.request(self._pce.policy_applied, message)
        except RequestFailed as error:
            _log.warning("policy report: %s", error)
        else:
            if message.success:  # one that was refused is tried again with the next heartbeat
                self._feed(policy_state.Wanted(reply.etag))

    def _in_force(self, document: PolicyDocument) -> None:
        self._flows.follow(document)
        self._flows.adapt()
        if document.not_enforced:
            _log.warning("%s", health.custom_rules(document.not_enforced))
