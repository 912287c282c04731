"""Hourly sums of flows between groups of workloads: what a map of an org shows.

A *rollup* is made of all stored batches of one portion of the flows table: those whose windows end
in one hour, of a 32nd of the VENs. It knows no addresses and no hosts: an end is the labels
of its workload. The same batches give the same rollup, so making it again repairs whatever went
wrong the first time.
"""

from collections.abc import Iterable, Iterator
from operator import add
from typing import NamedTuple

import msgspec
import zstandard
from msgspec import Struct

from pce.flows.batch import StoredBatch
from pce.flows.directory import Label, Workload
from ven_protocol.flow_columns import ABSENT
from ven_protocol.flows import Direction

ROLLUP_VERSION = 1
"""First number of every stored rollup."""

MAX_EDGES = 20_000
"""Edges of one rollup; what is beyond is summed up as :data:`REST`. An item holds about half of
them."""
EDGES_IN_PART = 10_000
"""Of 35 bytes at most, so that a part fits into a DynamoDB item (400 KB) even uncompressed."""

MAX_INFLATED_BYTES = 8_000_000
"""A part that claims to be larger is damaged."""

End = tuple[Label, ...] | None
"""Labels of a workload, by key; None when the address was nobody's."""


class Edge(NamedTuple):
    """What is told apart."""

    src: End
    dst: End
    proto: int
    port: int
    """0 for protocols without ports."""
    pd: int
    dir: Direction
    """Who reported: I, the destination; O, the source. Both report a connection between them."""


class Sums(NamedTuple):
    """Of the summaries of one edge."""

    connections: int
    """One that was open in several windows is counted in each, as in a traffic query."""
    dbi: int
    """Bytes into the destination within the hour, where bytes are counted."""
    dbo: int
    """Bytes out of the destination."""


REST = Edge(None, None, -1, -1, 3, "I")
"""Stands for edges that there was no room for."""

_NOTHING = Sums(0, 0, 0)

Rollup = dict[Edge, Sums]


def roll_up(batches: Iterable[StoredBatch]) -> Rollup:
    """The sums of some batches. About a microsecond a summary."""
    sums: dict[Edge, list[int]] = {}
    for batch in batches:
        for edge, found in _edges(batch):
            row = sums.get(edge)
            if row is None:
                row = sums.setdefault(edge if len(sums) < MAX_EDGES else REST, [0, 0, 0])
            for at, value in enumerate(found):
                row[at] += value
    return {edge: Sums(*row) for edge, row in sums.items()}


def _edges(batch: StoredBatch) -> Iterator[tuple[Edge, list[int]]]:
    """Each edge of a batch once. Rows are summed by numbers first: there are few edges, and to
    make one costs more than the rest."""
    ends = list(map(_end, batch.workloads))
    numbers: dict[End, int] = {}
    number_of = [numbers.setdefault(end, len(numbers)) for end in ends]
    sums: dict[tuple[int, int], list[int]] = {}
    dbi, dbo, _ = batch.deltas if batch.has_measures else ([ABSENT] * len(batch),) * 3
    rows = zip(batch.peer, batch.profile, batch.count, dbi, dbo, strict=True)
    for peer, profile, count, bytes_in, bytes_out in rows:
        row = sums.setdefault((number_of[peer], profile), [0, 0, 0])
        row[0] += count
        row[1] += max(0, bytes_in)
        row[2] += max(0, bytes_out)
    known = list(numbers)
    for (peer, number), found in sums.items():
        shared = batch.profiles[number]
        own = ends[shared.own]
        inbound = shared.dir == "I"
        yield (
            Edge(
                src=known[peer] if inbound else own,
                dst=own if inbound else known[peer],
                proto=shared.proto,
                port=shared.port,
                pd=shared.pd,
                dir=shared.dir,
            ),
            found,
        )


def _end(workload: Workload | None) -> End:
    if workload is None:
        return None
    return tuple(sorted(workload.labels, key=lambda label: label.key))


def together(rollups: Iterable[Rollup]) -> Rollup:
    """The sums of several rollups."""
    found: Rollup = {}
    for rollup in rollups:
        for edge, sums in rollup.items():
            before = found.get(edge, _NOTHING)
            found[edge] = Sums(*map(add, before, sums))
    return found


class _Part(Struct, frozen=True, array_like=True):
    version: int
    labels: list[Label]
    ends: list[list[int] | None]
    """Indexes of labels; so ``src`` and ``dst`` are indexes of ends."""
    edges: list[tuple[int, int, int, int, int, Direction, int, int, int]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Part)


def pack_rollup(rollup: Rollup) -> list[bytes]:
    """The bodies to store, at least one; the same rollup gives the same bytes."""
    rows = sorted(rollup.items(), key=_order)
    starts = range(0, max(len(rows), 1), EDGES_IN_PART)
    return [_pack(rows[start : start + EDGES_IN_PART]) for start in starts]


def unpack_rollup(body: bytes) -> Rollup:
    """What a body holds. Raises ValueError when it is damaged."""
    try:
        inflated = zstandard.ZstdDecompressor().decompress(body, MAX_INFLATED_BYTES)
        part = _decoder.decode(inflated)
        ends: list[End] = [
            None if end is None else tuple(part.labels[at] for at in end) for end in part.ends
        ]
        return {
            Edge(ends[src], ends[dst], proto, port, pd, dir): Sums(count, dbi, dbo)
            for src, dst, proto, port, pd, dir, count, dbi, dbo in part.edges
        }
    except (zstandard.ZstdError, msgspec.MsgspecError, IndexError) as error:
        raise ValueError(f"damaged rollup: {error}") from None


def _pack(rows: list[tuple[Edge, Sums]]) -> bytes:
    labels: dict[Label, int] = {}
    ends: dict[End, int] = {}
    edges = [
        (
            ends.setdefault(edge.src, len(ends)),
            ends.setdefault(edge.dst, len(ends)),
            *edge[2:],
            *sums,
        )
        for edge, sums in rows
    ]
    part = _Part(
        version=ROLLUP_VERSION,
        ends=[
            None if end is None else [labels.setdefault(label, len(labels)) for label in end]
            for end in ends
        ],
        labels=list(labels),
        edges=edges,
    )
    return zstandard.ZstdCompressor(level=9).compress(_encoder.encode(part))


def _order(row: tuple[Edge, Sums]) -> tuple[object, ...]:
    edge, _ = row

    def names(end: End) -> tuple[str, ...]:
        return ("",) if end is None else ("known", *(label.id for label in end))

    return (names(edge.src), names(edge.dst), *edge[2:])
