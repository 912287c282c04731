"""Read a large partition in slices of its sort keys, so that no request grows with the partition.

DynamoDB pages by itself, a MB at a time. The store of the local host answers a query whole, and for
each page would read all that the condition on the sort key lets through
(``docs/decisions/0002-local-store.md``): 100,000 objects took it 10 s. So the condition lets little
through; on DynamoDB a slice is about a page of workloads.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

SLICE = 2_000
"""Items of a slice: 0.2 s of the local store on a busy machine, 1 MB of workloads."""
FIRST_SHARE = 256
"""Where nobody knows how many there are, the first slice is this small a part of all keys."""
UUIDS = 1 << 16
"""Positions of UUIDs: their first four hex digits."""

_Item = TypeVar("_Item")


def read_in_slices(
    positions: int, expected: int | None, read: Callable[[int, int], Iterable[_Item]]
) -> Iterator[_Item]:
    """All that ``read(first, end)`` gives of the positions from 0 to ``positions``, in order.

    The slices follow one another without gaps; each is as wide as ``SLICE`` items are expected to
    be. ``expected``: how many items there may be in all, None when that is not known; a wrong guess
    makes slices larger or smaller, and loses nothing. Positions of which the items are spread
    evenly: ``1 + items / SLICE`` calls of ``read``, one more when nothing was known.
    """
    at = found = 0
    width = positions // FIRST_SHARE if expected is None else _width(positions, expected)
    while at < positions:
        end = min(positions, at + max(1, width))
        for item in read(at, end):
            found += 1
            yield item
        at, width = end, _width(end, found)


def _width(positions: int, items: int) -> int:
    """Positions that hold ``SLICE`` items where ``positions`` hold ``items``."""
    return positions * SLICE // items if items else positions * FIRST_SHARE


def condition_on_uuids(first: int, end: int) -> tuple[str, dict[str, Any]]:
    """The condition on ``sk`` that lets through the keys of a slice of ``UUIDS``, with its values;
    of all positions, every key."""
    return _condition(f"{first:04x}" if first else "", f"{end - 1:04x}~" if end < UUIDS else "")


def condition_on_numbers(first: int, end: int, numbers: int) -> tuple[str, dict[str, Any]]:
    """As :func:`condition_on_uuids`, of ids that are ``numbers`` numbers from 0 on. Whatever lies
    behind the last one is in the last slice."""
    return _condition(f"{first:012d}" if first else "", f"{end - 1:012d}" if end < numbers else "")


def _condition(first: str, last: str) -> tuple[str, dict[str, Any]]:
    """Both inclusive; an empty one is no bound."""
    values = {name: {"S": bound} for name, bound in ((":first", first), (":last", last)) if bound}
    if first and last:
        return " AND sk BETWEEN :first AND :last", values
    return (" AND sk >= :first" if first else " AND sk <= :last" if last else ""), values
