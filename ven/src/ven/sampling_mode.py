"""Sampling mode on this host: looks at what connections cost, switches the kernel, reads counts.

When it begins and ends is decided in ``ven.core.sampling``; what the counts become in
``ven.core.untold``. Its log is ``vtap.log``.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ven.core import sampling
from ven.core.counting import TELL_ONE_IN
from ven.core.flows import FlowLedger
from ven.core.kernel import Connection, Drained, Traffic
from ven.edge.clock import Clock
from ven.edge.readers import GATHER_S, StreamReader

READ_COUNTS_S = 60.0
"""Seconds between readings while sampling, so that a set of 65,536 keys is rarely full: then
connections are told again. Reading a thousand takes 10 ms, and a full one half a second."""

SAMPLED_GATHER_S = 0.25
"""Seconds that events are gathered while sampling: to wake up is most of what 440 events a second
cost, and nobody waits for them."""

_log = logging.getLogger("ven.vtap")


class SamplingMode:
    """Of one flow collection; used in its event loop."""

    def __init__(
        self,
        kernel: Traffic,
        ledger: FlowLedger,
        clock: Clock,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._kernel = kernel
        self._ledger = ledger
        self._clock = clock
        self._on_error = on_error
        self._reader: StreamReader[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._state = sampling.SamplingState()
        self._counted = False
        """The kernel may have counts that were not read."""
        self._read_at = self._looked_at = self._cpu_s = 0.0
        self._began, self._lost = 0, False

    def start(self, reader: StreamReader[Any]) -> None:
        """Watch what ``reader`` reads of connections."""
        self._reader = reader
        self._next_period()

    def stop(self) -> None:
        """All connections are told from now on."""
        if self._timer is not None:
            self._timer.cancel()
        self._reader = self._timer = None
        if self._state.on:
            self._switch(sampling.Sample(on=False, rate=0, share=0))
        self._state = sampling.SamplingState()

    def saw(self, drained: Drained[Connection]) -> None:
        """What was read just now."""
        self._began += sum(connection.phase == "new" for connection in drained.items)
        if drained.lost and not self._lost:
            self._lost = True
            self._look_in(0)  # not in here, where the rest of what was read is still to be handled

    def read_counts(self) -> float:
        """Put what the kernel counted into the ledger. Unix time up to which it is complete."""
        now = self._read_at = self._clock.wall()
        if self._counted:
            self._counted = self._state.on
            for untold in self._kernel.untold():
                self._ledger.begun_untold(untold, now)
        return now

    def _next_period(self) -> None:
        if self._reader is None:
            return
        self._looked_at, self._cpu_s = self._clock.monotonic(), self._reader.cpu_s
        self._began, self._lost = 0, False
        self._look_in(sampling.PERIOD_S)

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        if self._reader is None:
            return
        try:
            seen = sampling.Observed(
                seconds=max(self._clock.monotonic() - self._looked_at, 0.001),
                began=self._began,
                cpu_s=self._reader.cpu_s - self._cpu_s,
                lost=self._lost,
            )
            self._state, change = sampling.step(self._state, seen)
            if change:
                self._switch(change)
            elif self._state.on and self._clock.wall() - self._read_at >= READ_COUNTS_S:
                self.read_counts()
        except Exception as error:  # the end of the process, as for whatever else it does
            self._on_error(error)
        self._next_period()

    def _switch(self, change: sampling.Sample) -> None:
        now = self._clock.wall()
        self._kernel.sample(change.on)
        self._ledger.sampling(change.on, now)
        self._counted = True
        if self._reader is not None:
            self._reader.gather_s = SAMPLED_GATHER_S if change.on else GATHER_S
        _log.warning(
            "%s throttle state: %.0f new connections a second, to tell all of them takes %.1f %% of"
            " a core; all are counted, one in %d is told",
            *("Entering" if change.on else "Exiting", change.rate, change.share * 100),
            TELL_ONE_IN if change.on else 1,
        )
