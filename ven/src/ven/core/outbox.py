"""Flow batches between the disk and the PCE: each is posted until it is taken, oldest first.

Theory: a batch is on disk under its own sequence number before it is posted for the first time, and
leaves the disk when the PCE has taken it (or has called it unreadable, which repeating cannot
mend). A batch that is posted again is the same batch under the same number, so the PCE can tell.
One batch is on its way at a time. When the PCE is away for long, the oldest batches go first: the
newest hours are the ones that somebody will ask about.
"""

from msgspec import Struct
from msgspec.structs import replace

CAP_BYTES = 32_000_000
"""Disk for batches that wait: at the sizing rule of 300 summaries in ten minutes (about 15 kB not
compressed) two weeks, and half a day on a host a hundred times as busy."""


class Batch(Struct, frozen=True):
    """A batch on disk."""

    seq: int
    size_bytes: int


class OutboxState(Struct, frozen=True, kw_only=True):
    """What waits, oldest first, and which of them is on its way."""

    waiting: tuple[Batch, ...] = ()
    posting: int | None = None


class Stored(Struct, frozen=True):
    """A new batch is on disk."""

    batch: Batch


class Accepted(Struct, frozen=True):
    """The PCE has it, or will never take it: ``seq`` may be forgotten."""

    seq: int


class NotAccepted(Struct, frozen=True):
    """It did not get there; it stays."""

    seq: int


class PostNext(Struct, frozen=True):
    """The PCE can be reached: post the oldest, unless one is on its way."""


OutboxEvent = Stored | Accepted | NotAccepted | PostNext


class PostBatch(Struct, frozen=True):
    """Post this batch. Ends in :class:`Accepted` or :class:`NotAccepted`."""

    seq: int


class ForgetBatch(Struct, frozen=True):
    """Take it off the disk."""

    seq: int
    lost: bool
    """True when it was never taken: the cap was reached."""


OutboxCommand = PostBatch | ForgetBatch

_Result = tuple[OutboxState, tuple[OutboxCommand, ...]]


def step(state: OutboxState, event: OutboxEvent) -> _Result:
    """The next state and what to do."""
    match event:
        case Stored(batch):
            return _shed(replace(state, waiting=(*state.waiting, batch)))
        case Accepted(seq):
            waiting = tuple(batch for batch in state.waiting if batch.seq != seq)
            return replace(state, waiting=waiting, posting=None), (ForgetBatch(seq, lost=False),)
        case NotAccepted():
            return replace(state, posting=None), ()
        case PostNext():
            if state.posting is not None or not state.waiting:
                return state, ()
            seq = state.waiting[0].seq
            return replace(state, posting=seq), (PostBatch(seq),)


def _shed(state: OutboxState) -> _Result:
    """Drop the oldest, except the one on its way and the newest, until the rest fits."""
    total = sum(batch.size_bytes for batch in state.waiting)
    kept: list[Batch] = []
    commands: list[OutboxCommand] = []
    for batch in state.waiting[:-1]:
        if total > CAP_BYTES and batch.seq != state.posting:
            total -= batch.size_bytes
            commands.append(ForgetBatch(batch.seq, lost=True))
        else:
            kept.append(batch)
    return replace(state, waiting=(*kept, *state.waiting[-1:])), tuple(commands)
