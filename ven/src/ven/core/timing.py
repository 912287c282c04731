"""Time and chance as values, so that a run can be repeated exactly.

State machines never ask a clock and never draw from a shared generator: ``now`` comes with each
event (seconds on any clock that only goes forward) and random numbers come from the :class:`Dice`
in their state.
"""

import math

from msgspec import Struct

NEVER = math.inf
"""A time that is not reached: no wake-up wanted."""

_MASK = 2**64 - 1


class Tick(Struct, frozen=True):
    """Time has passed; whatever is due may be done."""


class Dice(Struct, frozen=True):
    """Repeatable random numbers (SplitMix64): a roll gives a number and the dice for the next."""

    seed: int

    def roll(self) -> "tuple[float, Dice]":
        """A number in ``[0, 1)``, and the next dice. Not for secrets."""
        state = (self.seed + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / 2**53, Dice(state)


def backoff_s(roll: float, attempt: int, base_s: float, cap_s: float) -> float:
    """Full jitter: anywhere between 0 and ``base_s * 2**attempt``, at most ``cap_s``.

    A fleet that lost its server together comes back spread over the whole span, whatever the
    spread of its failures was.
    """
    return roll * min(cap_s, base_s * 2.0 ** min(attempt, 32))
