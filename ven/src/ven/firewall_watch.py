"""Somebody else changed the firewall: seen, looked at, put back, reported.

When to look and when to put back is decided in ``ven.core.tampering``.
"""

import logging
import resource
import time
from collections.abc import Callable

from ven.core import coordination, tampering
from ven.core.kernel import Drained, ForeignChange, Kernel, KernelRefused
from ven.edge.pce import Pce
from ven.edge.readers import StreamReader
from ven.enforcement import Enforcement
from ven.work import Work
from ven_protocol.messages import Tampering

_log = logging.getLogger("ven.agent")


class FirewallWatch:
    """Watches, and feeds what it sees and did."""

    def __init__(
        self,
        kernel: Kernel,
        enforcement: Enforcement,
        pce: Pce,
        work: Work,
        feed: Callable[[coordination.Event], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._kernel = kernel
        self._enforcement = enforcement
        self._pce = pce
        self._work = work
        self._feed = feed
        self._on_error = on_error
        self._reader: StreamReader[ForeignChange] | None = None

    def start(self) -> None:
        """Watch from now on. Raises OSError when the kernel does not let us."""
        self._reader = StreamReader(self._kernel.foreign_changes(), self._changed, self._on_error)

    def close(self) -> None:
        """Watch no more."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def check(self) -> None:
        """Ends in ``Looked``."""
        intact, cpu_s = await self._work.in_thread(_measured, self._enforcement.intact)
        if not intact and self._reader is not None:
            # The kernel tells of a commit before anybody can see its effect: who it was is there.
            self._reader.read_now()
        self._feed(tampering.Looked(intact, cpu_s))

    async def revert(self, process_name: str, detail: str) -> None:
        """Put the policy in force back; ends in ``Reverted``."""
        _log.error("firewall changed by %r: %s", process_name or "?", detail)
        succeeded, cpu_s = await self._work.in_thread(_measured, self._restore)
        self._feed(tampering.Reverted(succeeded, cpu_s))

    def _restore(self) -> bool:
        try:
            self._enforcement.restore()
        except KernelRefused as error:
            _log.error(
                "the firewall was changed and the kernel refused to change it back: %s", error
            )
            return False
        return True

    async def report(self, said: tampering.ReportTampering) -> None:
        """Tell the PCE, best effort."""
        message = Tampering(
            num_reverts=said.reverts,
            revert_succeeded=said.succeeded,
            process_name=said.process_name[:255],
            detail=said.detail[:1024],
        )
        await self._work.best_effort("tampering report", self._pce.tampering, message)

    def _changed(self, drained: Drained[ForeignChange]) -> None:
        for change in drained.items:
            self._feed(tampering.Suspected(change.process_name, change.detail))
        if drained.lost:
            self._feed(tampering.Suspected(detail="notifications were lost"))


def _measured(call: Callable[[], bool]) -> tuple[bool, float]:
    """The result, and the seconds of CPU that it took, with the programs that it ran."""
    before_s = _cpu_s()
    result = call()
    return result, _cpu_s() - before_s


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime
