"""Make the hourly rollups of those portions of the flows table in which batches have arrived.

Ten minutes past each hour the notes of arrivals since the last time say which portions those are:
mostly the hour that is over, the beginning of the next one, and hours of late batches. Each is
rolled up whole, from the stored batches, so that a batch that was posted, noted or rolled up twice
counts once.

What it costs, an hour: each batch is read once, and those of the first ten minutes once more; a
read of an item and one write (1 KB per 30 edges) for each of 32 portions and hour touched. A
run that ends in the middle goes on where it was: a rollup says what it covers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pce.flows.batch import StoredBatch, unpack
from pce.flows.rollup import pack_rollup, roll_up
from pce.identifiers import OrgId
from pce.store.arrivals import SETTLED_AFTER_S, Arrival, first_position
from pce.store.flows import Portion, portion_of
from pce.streaming.lanes import Lane, Progress
from pce.streaming.records import FLOWS
from pce.usecases.stores import Stores

ROLLUP = "rollup"
"""Stands for a destination in the name of a lane: each shard of the arrivals is rolled up by one
worker at a time."""

HOUR_S = 3_600
AFTER_THE_HOUR_S = 600
"""A VEN posts every ten minutes, so by then it has told of the hour."""
NOTES_AT_ONCE = 5_000
"""Half a megabyte, what one query returns."""


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What one run did."""

    portions: int = 0
    damaged: int = 0
    """Stored batches that could not be read, and were passed over."""
    failed: str = ""
    """Why it stopped; empty when nothing is left."""


def rollup_lanes(org_id: OrgId) -> Iterator[Lane]:
    """The lanes of an org's rollups."""
    return (Lane(org_id, ROLLUP, source) for source in FLOWS)


def due_until(now: int) -> str:
    """The arrival position up to which everything should be rolled up at ``now``."""
    passed = now - SETTLED_AFTER_S - AFTER_THE_HOUR_S
    return first_position(passed - passed % HOUR_S + AFTER_THE_HOUR_S)


def roll_up_flows(lane: Lane, stores: Stores, clock: Callable[[], float], until: float) -> RolledUp:
    """Roll up what is due of a lane; no portion is begun after ``until`` (epoch seconds).

    A portion of an hour of 25,000 VENs takes some 10 s of one core.
    """
    target = due_until(int(clock()))
    saved = stores.lanes.load(lane)
    if saved is not None and saved.position >= target:
        return RolledUp()
    progress = saved or Progress(first_position(0))
    newest: dict[Portion, str] = {}
    for note in _notes(lane, progress.position, target, stores):
        newest[portion_of(note.end, note.ven_id)] = note.position
    made = damaged = 0
    for portion, position in sorted(newest.items()):
        if stores.rollups.covers(lane.org_id, portion) >= position:
            continue
        if clock() >= until:
            return RolledUp(made, damaged, "the time is over; the next minute goes on")
        batches = _Batches(lane.org_id, portion, stores)
        parts = pack_rollup(roll_up(batches))
        stores.rollups.put(lane.org_id, portion, parts, target)
        made += 1
        damaged += batches.damaged
    stores.lanes.save(lane, saved, progress.past(target, made))
    return RolledUp(made, damaged)


def _notes(lane: Lane, position: str, target: str, stores: Stores) -> Iterator[Arrival]:
    """All notes between two positions, oldest first."""
    settled = int(target) + SETTLED_AFTER_S
    shard = FLOWS.index(lane.source)
    while True:
        notes = stores.arrivals.after(lane.org_id, shard, position, settled, NOTES_AT_ONCE)
        if not notes:
            return
        yield from notes
        position = notes[-1].position


class _Batches:
    """The stored batches of one portion, one after the other."""

    def __init__(self, org_id: OrgId, portion: Portion, stores: Stores) -> None:
        self._org_id = org_id
        self._portion = portion
        self._stores = stores
        self.damaged = 0

    def __iter__(self) -> Iterator[StoredBatch]:
        for body in self._stores.flows.of_portion(self._org_id, self._portion):
            try:
                yield unpack(body)
            except ValueError:
                self.damaged += 1
