"""What the connection mark holds, and how epochs are chosen."""

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from ven.core.kernel import Decision
from ven.core.mark import (
    DENY_RULE,
    EPOCH_SHIFT,
    LAST_EPOCH,
    LAST_SLOT,
    NO_RULE,
    OURS,
    OUTBOUND,
    OVERRIDE_DENY,
    decision_of,
    epoch_of,
    free_epochs,
    slot_of,
    verdict_bits,
)

VERDICTS = [(Decision.ALLOWED, NO_RULE)] + [
    (decision, qualifier)
    for decision in (Decision.POTENTIALLY_BLOCKED, Decision.BLOCKED)
    for qualifier in (NO_RULE, DENY_RULE, OVERRIDE_DENY)
]


@given(
    st.sampled_from(VERDICTS),
    st.sampled_from(["in", "out"]),
    st.integers(0, LAST_SLOT),
    st.integers(1, LAST_EPOCH),
    st.integers(0, 15),
)
def test_what_a_rule_writes_is_read_back(
    verdict: tuple[Decision, int],
    direction: Literal["in", "out"],
    slot: int,
    epoch: int,
    others: int,
) -> None:
    """Epoch, decision, qualifier, direction and slot survive, and others' bits are not ours."""
    bits = verdict_bits(*verdict, direction, slot)
    assert bits & ~OURS == 0
    mark = bits | epoch << EPOCH_SHIFT | others
    assert decision_of(mark) == verdict
    assert epoch_of(mark) == epoch
    assert slot_of(mark) == slot
    assert bool(mark & OUTBOUND) == (direction == "out")


def test_a_mark_without_an_epoch_is_not_ours() -> None:
    """Bits that other software left say nothing of our policy."""
    assert decision_of(0x000F_FFFF) == (Decision.UNKNOWN, 0)


def test_rules_beyond_the_last_slot_share_it() -> None:
    """Too many rules cost the rule's number, never the verdict."""
    mark = verdict_bits(Decision.BLOCKED, DENY_RULE, "in", LAST_SLOT + 1000) | 1 << EPOCH_SHIFT
    assert (decision_of(mark), slot_of(mark)) == ((Decision.BLOCKED, DENY_RULE), LAST_SLOT)


@given(st.sets(st.integers(0, LAST_EPOCH), max_size=60))
def test_a_new_epoch_is_on_no_live_connection(live: set[int]) -> None:
    """Never 0, never one that is in use, none twice."""
    chosen = list(free_epochs(live))
    assert not live & set(chosen)
    assert len(set(chosen)) == len(chosen)
    assert all(1 <= epoch <= LAST_EPOCH for epoch in chosen)
    # The longest of n gaps has at least its share.
    assert len(chosen) >= (LAST_EPOCH - len(live)) // max(1, len(live))


def test_no_epoch_is_left_when_all_are_alive() -> None:
    """Nothing is offered rather than something wrong."""
    assert list(free_epochs(range(LAST_EPOCH + 1))) == []
