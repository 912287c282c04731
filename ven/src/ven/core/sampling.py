"""When to sample: every connection is told to the VEN until that costs the host too much.

"VEN-to-PCE Communication", Sampling Mode: entered by a sustained high rate of connections, left
when the CPU that they cost decreases, both by itself. Nothing is lost by it but detail: the kernel
counts what it does not tell (``ven.core.counting``, ``ven.core.untold``).

The measure is CPU, not connections, because a slow host has enough of them sooner. What telling
costs is seen while all are told. In sampling mode it is computed: connections that are told, times
those that each stands for, times what one cost before.
"""

from msgspec import Struct
from msgspec.structs import replace

from ven.core.counting import TELL_ONE_IN

PERIOD_S = 5.0
"""Seconds between looks at what connections cost."""
ENTER_SHARE = 0.02
"""Of a core, two thirds of what the VEN may use; some 1,000 to 2,000 new connections a second."""
ENTER_PERIODS = 2
"""A burst of ten seconds is told in full."""
LEAVE_SHARE = 0.01
"""Half of :data:`ENTER_SHARE`, so that a rate near the border does not switch to and fro."""
LEAVE_PERIODS = 6
LEAST_RATE = 100.0
"""New connections a second below which sampling would not help: then something else costs CPU."""


class SamplingState(Struct, frozen=True, kw_only=True):
    """Whether connections are sampled, and how long the host has been otherwise."""

    on: bool = False
    cost_s: float = 0.0
    """CPU seconds for a connection, its beginning and its end, when all were told last."""
    periods: int = 0
    """So many in a row speak for the other mode."""


class Observed(Struct, frozen=True, kw_only=True):
    """What one period was like."""

    seconds: float
    began: int
    """Connections that were told to have begun."""
    cpu_s: float
    """CPU that reading connections took."""
    lost: bool = False
    """The kernel had more events than its buffer holds."""

    def rate(self, each_stands_for: int) -> float:
        """New connections a second."""
        return self.began * each_stands_for / self.seconds


class Sample(Struct, frozen=True, kw_only=True):
    """Begin to sample, or end it."""

    on: bool
    rate: float
    """New connections a second; an estimate while sampled."""
    share: float
    """Of a core, that telling all of them costs."""


def step(state: SamplingState, seen: Observed) -> tuple[SamplingState, Sample | None]:
    """The next state, and the change of mode if there is one."""
    return _sampled(state, seen) if state.on else _all_told(state, seen)


def _all_told(state: SamplingState, seen: Observed) -> tuple[SamplingState, Sample | None]:
    rate, share = seen.rate(1), seen.cpu_s / seen.seconds
    busy = rate >= LEAST_RATE and (seen.lost or share >= ENTER_SHARE)
    if not busy:
        return replace(state, periods=0), None
    # When events are lost, counts are wrong until the kernel counts: no time to lose.
    if not seen.lost and state.periods + 1 < ENTER_PERIODS:
        return replace(state, periods=state.periods + 1), None
    entered = SamplingState(on=True, cost_s=seen.cpu_s / seen.began)
    return entered, Sample(on=True, rate=rate, share=share)


def _sampled(state: SamplingState, seen: Observed) -> tuple[SamplingState, Sample | None]:
    rate = seen.rate(TELL_ONE_IN)
    share = rate * state.cost_s
    if share >= LEAVE_SHARE or seen.lost:
        return replace(state, periods=0), None
    if state.periods + 1 < LEAVE_PERIODS:
        return replace(state, periods=state.periods + 1), None
    return SamplingState(), Sample(on=False, rate=rate, share=share)
