"""What the policy decided of a connection, written into its 32-bit conntrack mark.

Theory: the mark is a cache. The first packet of a connection is judged by the rules, and the
verdict is kept in the mark together with the *epoch* in which it was reached. Every change of the
policy begins a new epoch, so the next packet of every connection, of either direction, misses the
cache and is judged again, once. That is how an established connection ends when its rule or its
peer goes, without a race and without touching the connection table.

::

    31          20 19  18      16  15    14        4 3     0
    |    epoch    |out| verdict  |untold|    slot   | others' |

``epoch`` 0: not judged. ``verdict``: 0 allowed, 1 to 3 potentially blocked, 4 to 6 blocked (no
rule, deny rule, override deny). ``untold``: the connection began in sampling mode, was counted by
the kernel, and sends no events; written once, whatever is judged later. ``slot``: number of the
rule in its ruleset, 0 for the mode's default. The lowest four bits are left to other software.

The mark is in conntrack's events and dumps, so a flow record carries its decision for free.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from ven.core.kernel import Decision

OURS = 0xFFFF_FFF0
"""The bits that the VEN writes; all rules leave the others as they are."""
UNTOLD = 0x0000_8000
"""Set when the connection was counted instead of told (``ven.core.sampling``)."""
JUDGED = OURS ^ UNTOLD
"""The bits that every judgement writes anew."""
EPOCH_MASK = 0xFFF0_0000
EPOCH_SHIFT = 20
LAST_EPOCH = 0xFFF
OUTBOUND = 0x0008_0000
"""The connection was judged as one that this host opened."""
BLOCKED = 0x0004_0000
"""Set in every verdict that does not let packets through."""
VERDICT_SHIFT = 16
VERDICT_MASK = 0x0007_0000
SLOT_SHIFT = 4
LAST_SLOT = 0x7FF
"""Rules beyond it share it: their verdicts are exact, only their number is not told."""

NO_RULE, DENY_RULE, OVERRIDE_DENY = 0, 1, 2
"""Why something is (potentially) blocked: the flow summary's ``pd_qualifier``."""

_DECISIONS = (
    (Decision.ALLOWED, 0),
    (Decision.POTENTIALLY_BLOCKED, NO_RULE),
    (Decision.POTENTIALLY_BLOCKED, DENY_RULE),
    (Decision.POTENTIALLY_BLOCKED, OVERRIDE_DENY),
    (Decision.BLOCKED, NO_RULE),
    (Decision.BLOCKED, DENY_RULE),
    (Decision.BLOCKED, OVERRIDE_DENY),
    (Decision.UNKNOWN, 0),
)
_UNJUDGED = (Decision.UNKNOWN, 0)


def verdict_bits(
    decision: Decision, qualifier: int, direction: Literal["in", "out"], slot: int
) -> int:
    """The mark without its epoch, as a rule writes it."""
    return (
        _DECISIONS.index((decision, qualifier)) << VERDICT_SHIFT
        | (OUTBOUND if direction == "out" else 0)
        | min(slot, LAST_SLOT) << SLOT_SHIFT
    )


def epoch_of(mark: int) -> int:
    """The epoch in which the connection was judged last; 0 when it was not."""
    return (mark & EPOCH_MASK) >> EPOCH_SHIFT


def decision_of(mark: int) -> tuple[Decision, int]:
    """Decision and qualifier; unknown when no epoch says that the mark is ours."""
    return _DECISIONS[(mark >> VERDICT_SHIFT) & 7] if mark & EPOCH_MASK else _UNJUDGED


def slot_of(mark: int) -> int:
    """Number of the deciding rule, counted from 1; 0 is the mode's default."""
    return (mark >> SLOT_SHIFT) & LAST_SLOT


def free_epochs(live: Iterable[int]) -> Iterator[int]:
    """Epochs that no live connection carries: the longest free run, in order.

    A connection whose mark names a reused epoch would keep its old verdict, so an epoch is used
    again only when a dump of the connection table shows nobody with it. Empty when all 4,095 are
    taken.
    """
    taken = sorted({epoch for epoch in live if epoch})
    if not taken:
        return iter(range(1, LAST_EPOCH + 1))
    # Seen as a ring: the run after the last one goes on at 1.
    following = [*taken[1:], taken[0] + LAST_EPOCH]
    length, start = max(
        (after - epoch - 1, -epoch) for epoch, after in zip(taken, following, strict=True)
    )
    return ((-start + step) % LAST_EPOCH + 1 for step in range(length))
