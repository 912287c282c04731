"""A partition read in slices is read whole, and no slice is much larger than it should be."""

import random
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pce.store.slices import (
    SLICE,
    UUIDS,
    condition_on_numbers,
    condition_on_uuids,
    read_in_slices,
)

Condition = Callable[[int, int], tuple[str, dict[str, Any]]]


def _slices(keys: list[str], positions: int, condition: Condition, expected: int | None):
    """What each request of a store that holds ``keys`` returned."""
    slices: list[list[str]] = []

    def read(first: int, end: int) -> list[str]:
        _, values = condition(first, end)
        low = values.get(":first", {"S": ""})["S"]
        high = values.get(":last", {"S": "\uffff"})["S"]
        slices.append(keys[bisect_left(keys, low) : bisect_right(keys, high)])
        return slices[-1]

    assert list(read_in_slices(positions, expected, read)) == keys
    return slices


expectations = st.none() | st.integers(0, 200_000)


@given(st.lists(st.uuids(), max_size=50), expectations)
def test_every_uuid_is_read_once_and_in_order(ids: list[uuid.UUID], expected: int | None) -> None:
    """However the ids lie, and whatever was expected of them."""
    _slices(sorted({str(id) for id in ids}), UUIDS, condition_on_uuids, expected)


@given(st.sets(st.integers(1, 30_000), max_size=50), expectations, st.integers(0, 500))
def test_every_number_is_read_once_and_in_order(
    numbers: set[int], expected: int | None, more: int
) -> None:
    """Those too that were given out while it was read, and names that are no numbers."""
    keys = sorted([f"{number:012d}" for number in numbers] + ["#007", "head"])
    positions = max(1, max(numbers, default=0) - more)
    condition = partial(condition_on_numbers, numbers=positions)
    _slices(keys, positions, condition, expected)


def test_slices_are_few_and_small() -> None:
    """100,000 ids that are spread evenly: some 2,000 a request, known or not; few ids: two requests
    the first time, and then one."""
    rnd = random.Random(7)
    many = sorted(str(uuid.UUID(int=rnd.getrandbits(128), version=4)) for _ in range(100_000))
    for expected, most in ((None, 55), (100_000, 51)):
        slices = _slices(many, UUIDS, condition_on_uuids, expected)
        assert len(slices) <= most
        assert max(map(len, slices)) < 1.3 * SLICE
    few = many[::500]
    assert len(_slices(few, UUIDS, condition_on_uuids, None)) == 2
    assert len(_slices(few, UUIDS, condition_on_uuids, len(few))) == 1
    assert len(_slices([], UUIDS, condition_on_uuids, None)) == 2
