"""Flow batches that wait for the PCE: order, and the cap on disk."""

from ven.core import outbox


def run(state: outbox.OutboxState, *events: object) -> tuple[outbox.OutboxState, list[object]]:
    said: list[object] = []
    for event in events:
        state, commands = outbox.step(state, event)
        said += commands
    return state, said


def batch(seq: int, size: int = 10) -> outbox.Stored:
    return outbox.Stored(outbox.Batch(seq, size))


def test_batches_are_posted_oldest_first_one_at_a_time() -> None:
    """A batch that did not get there stays first."""
    state, said = run(outbox.OutboxState(), batch(1), batch(2), outbox.PostNext())
    assert said == [outbox.PostBatch(1)]
    assert run(state, outbox.PostNext())[1] == []
    state, said = run(state, outbox.NotAccepted(1), outbox.PostNext())
    assert said == [outbox.PostBatch(1)]
    state, said = run(state, outbox.Accepted(1), outbox.PostNext())
    assert said == [outbox.ForgetBatch(1, lost=False), outbox.PostBatch(2)]


def test_disk_cap_drops_the_oldest_but_not_the_one_on_its_way() -> None:
    """The cap holds, and every loss is said."""
    third = outbox.CAP_BYTES // 3
    state, _ = run(outbox.OutboxState(), batch(1, third), outbox.PostNext())
    state, said = run(state, *(batch(seq, third) for seq in (2, 3, 4, 5)))
    assert said == [outbox.ForgetBatch(2, lost=True), outbox.ForgetBatch(3, lost=True)]
    assert [kept.seq for kept in state.waiting] == [1, 4, 5]
    assert sum(kept.size_bytes for kept in state.waiting) <= outbox.CAP_BYTES
