"""Hourly rollups against a plain loop over summaries."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pce.flows import rollup
from pce.flows.batch import StoredBatch, pack, to_summaries, unpack
from pce.flows.rollup import REST, Rollup, pack_rollup, roll_up, together, unpack_rollup
from tests.property.flow_batches import HEARTBEAT, random_windows
from ven_protocol.flows import decode_batch, encode_batch


def stored(random: Random) -> list[StoredBatch]:
    """Batches as ingestion stores them."""
    return [
        unpack(
            pack(
                decode_batch(encode_batch(n, w.start, w.start + 600, HEARTBEAT, w.flows)),
                w.reporter,
                w.directory,
            )
        )
        for n, w in enumerate(random_windows(random))
    ]


def plainly(batches: list[StoredBatch]) -> dict[tuple, list[int]]:
    """What a rollup means, one summary after the other."""
    found: dict[tuple, list[int]] = {}
    for batch in batches:
        who = dict(zip(batch.addresses, batch.workloads, strict=True))
        for flow in to_summaries(batch):
            ends = tuple(
                None if who[at] is None else tuple(sorted(who[at].labels, key=lambda x: x.key))
                for at in (flow.src_ip, flow.dst_ip)
            )
            row = found.setdefault((*ends, flow.proto, flow.dst_port, flow.pd, flow.dir), [0, 0, 0])
            for at, value in enumerate((flow.count, flow.dbi or 0, flow.dbo or 0)):
                row[at] += value
    return found


def as_plain(rolled: Rollup) -> dict[tuple, list[int]]:
    return {tuple(edge): list(sums) for edge, sums in rolled.items()}


@given(st.integers(0, 2**32))
def test_a_rollup_is_the_sums_of_its_summaries(seed: int) -> None:
    """In whatever order and portions batches come, and whether it was stored in between."""
    batches = stored(Random(seed))
    wanted = plainly(batches)
    assert as_plain(roll_up(batches)) == wanted
    assert roll_up(reversed(batches)) == roll_up(batches)
    assert as_plain(together(roll_up([one]) for one in batches)) == wanted
    parts = pack_rollup(roll_up(batches))
    assert as_plain(together(map(unpack_rollup, parts))) == wanted
    assert pack_rollup(roll_up(reversed(batches))) == parts


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_edges_beyond_the_cap_are_summed_up(seed: int, most: int) -> None:
    """No connection and no byte is lost, and what is stored stays small."""
    batches = stored(Random(seed))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rollup, "MAX_EDGES", most)
        patched.setattr(rollup, "EDGES_IN_PART", 2)
        capped = roll_up(batches)
        parts = pack_rollup(capped)
    assert len(capped) <= most + 1
    assert (REST in capped) == (len(plainly(batches)) > most)
    assert together(map(unpack_rollup, parts)) == capped
    totals: Counter[int] = Counter()
    for sums in capped.values():
        totals.update(dict(enumerate(sums)))
    expected: Counter[int] = Counter()
    for row in plainly(batches).values():
        expected.update(dict(enumerate(row)))
    assert totals == expected


@given(st.binary(max_size=60))
def test_damaged_bytes_are_refused(body: bytes) -> None:
    """By name, whatever they are."""
    with pytest.raises(ValueError, match="damaged rollup"):
        unpack_rollup(body)
