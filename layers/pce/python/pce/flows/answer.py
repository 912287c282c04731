"""The answer to a query: flows of many batches, merged.

Summaries are merged when both ends (with the identities that they had), service, process, user,
name, decision and reporting side are the same. What the two hosts of a connection report is *not*
merged: it differs in ``flow_direction``, as with the vendor, since each says what its own firewall
did; a client that counts connections takes one direction. The answer does not depend on the order
in which batches come.

Counts and bytes are those of whole summaries: a summary is not cut where the query's time ends.
"""

import heapq
import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from pce.flows.batch import StoredBatch, unpack
from pce.flows.directory import Workload
from pce.flows.profiles import Profile
from pce.flows.query import Query
from pce.flows.selection import Resolver, Selection
from ven_protocol.flows import ABSENT, State

MAX_FLOWS = 500_000
"""Merged flows that are held at once: about 400 bytes each, 200 MB of a function's memory."""


class End(Struct, frozen=True):
    """One end of a merged flow."""

    address: bytes
    workload: Workload | None


class Measures(NamedTuple):
    """Bytes into and out of the destination, and milliseconds; None where nobody counted them."""

    bytes_in: int | None
    bytes_out: int | None
    milliseconds: int | None


class Flow(Struct, frozen=True):
    """A merged flow."""

    src: End
    dst: End
    profile: Profile
    """What its summaries share; ``own`` is 0 and ``state`` empty."""
    fqdn: str | None
    count: int
    state: State
    """Of the summary that was seen last."""
    first: int
    """Epoch seconds; so is ``last``."""
    last: int
    deltas: Measures
    """Within the windows that were read."""
    totals: Measures
    """Over the connections' whole life until then."""


class Answer(Struct, frozen=True):
    """What a query found."""

    flows: list[Flow]
    """Those seen last come first; at most ``max_results``."""
    matches: int
    """Merged flows that matched, whether or not they are among ``flows``."""
    complete: bool
    """False when reading stopped at ``MAX_FLOWS``: narrow the query."""


def run_query(query: Query, batches: Iterable[bytes], resolver: Resolver) -> Answer:
    """What the stored batches say to the query; their order does not matter.

    Raises :class:`Invalid` for an href that means nothing, and ValueError for bytes that are no
    batch. Cost: about half a millisecond for a batch of 300 summaries that are all selected, a
    third of that when none is; memory for the merged flows alone.
    """
    selection = Selection(query, resolver)
    merge = _Merge()
    complete = True
    for stored in batches:
        batch = unpack(stored)
        rows = selection.rows(batch)
        if rows:
            merge.add(batch, rows)
        if len(merge.sums) >= MAX_FLOWS:
            complete = False
            break
    found = heapq.nsmallest(query.max_results, merge.sums.values(), key=_Sum.rank)
    return Answer([found_sum.flow() for found_sum in found], len(merge.sums), complete)


class _Merge:
    """Sums by what makes a flow the same. Ends and profiles are numbered as they come, so that
    rows are keyed by small integers."""

    def __init__(self) -> None:
        self.sums: dict[tuple[int, int, int, str | None], _Sum] = {}
        self._ends: dict[End, int] = {}
        self._profiles: dict[Profile, int] = {}

    def add(self, batch: StoredBatch, rows: list[int]) -> None:
        ends = [
            End(address, workload)
            for address, workload in zip(batch.addresses, batch.workloads, strict=True)
        ]
        end_ids = [self._ends.setdefault(end, len(self._ends)) for end in ends]
        # The index of its own address, which the ends say, and the state are not what is shared.
        profiles = [profile._replace(own=0, state="") for profile in batch.profiles]
        profile_ids = [
            self._profiles.setdefault(profile, len(self._profiles)) for profile in profiles
        ]
        for row in rows:
            index, peer = batch.profile[row], batch.peer[row]
            profile = batch.profiles[index]
            src, dst = (peer, profile.own) if profile.dir == "I" else (profile.own, peer)
            fqdn = batch.strings[batch.fqdn[row]]
            key = (end_ids[src], end_ids[dst], profile_ids[index], fqdn)
            found = self.sums.get(key)
            if found is None:
                found = self.sums[key] = _Sum(ends[src], ends[dst], profiles[index], fqdn)
            found.add(batch, row, profile.state)


class _Sum:
    """Summaries of one flow, added up.

    A total counts from the beginning of the connections, so totals of two windows overlap and
    cannot be added. But what a flow had moved before the first window that we read, and what it
    moved in each, can: total = before the earliest window of each reporter + all deltas.
    """

    __slots__ = ("before", "count", "deltas", "dst", "first", "fqdn", "latest", "profile", "src")

    def __init__(self, src: End, dst: End, profile: Profile, fqdn: str | None) -> None:
        self.src = src
        self.dst = dst
        self.profile = profile
        self.fqdn = fqdn
        self.count = 0
        self.first: int | None = None
        self.latest: tuple[int, State] = (-1, "")
        self.deltas: list[int | None] = [None, None, None]
        self.before: dict[uuid.UUID, tuple[int, list[int]]] = {}

    def add(self, batch: StoredBatch, row: int, state: State) -> None:
        self.count += batch.count[row]
        first = batch.first[row]
        if self.first is None or first < self.first:
            self.first = first
        self.latest = max(self.latest, (batch.last[row], state))
        if batch.has_measures:
            self._add_measures(batch, row)

    def _add_measures(self, batch: StoredBatch, row: int) -> None:
        for at, column in enumerate(batch.deltas):
            if column[row] != ABSENT:
                self.deltas[at] = (self.deltas[at] or 0) + column[row]
        if all(column[row] == ABSENT for column in batch.deltas):
            return
        before = [column[row] for column in batch.before]
        start, earliest = self.before.get(batch.reporter, (batch.start, [0, 0, 0]))
        if batch.start == start:
            # The same window in another state: these are other connections.
            before = [here + there for here, there in zip(before, earliest, strict=True)]
        if batch.start <= start:
            self.before[batch.reporter] = (batch.start, before)

    def rank(self) -> tuple[Any, ...]:
        """The latest first; then by all that makes flows different, so that none tie."""
        texts = (*map(str, self.profile), str(self.fqdn))
        return -self.latest[0], _rank(self.src), _rank(self.dst), texts

    def flow(self) -> Flow:
        before = [sum(parts) for parts in zip(*(b for _, b in self.before.values()), strict=True)]
        totals = [
            None if delta is None else delta + earlier
            for delta, earlier in zip(self.deltas, before or [0, 0, 0], strict=True)
        ]
        return Flow(
            src=self.src,
            dst=self.dst,
            profile=self.profile,
            fqdn=self.fqdn,
            count=self.count,
            state=self.latest[1],
            first=self.first or 0,
            last=self.latest[0],
            deltas=Measures(*self.deltas),
            totals=Measures(*totals),
        )


def _rank(end: End) -> tuple[Any, ...]:
    if end.workload is None:
        return (end.address,)
    labels = [(label.id, label.key, label.value) for label in end.workload.labels]
    return end.address, end.workload.id.int, end.workload.hostname, end.workload.managed, labels
