"""The connection table grows before it is full."""

from pathlib import Path

import pytest

from ven.core.conntrack_room import BASELINE, wanted_room
from ven.edge.conntrack_room import make_conntrack_room


@pytest.mark.parametrize(
    ("entries", "room", "wanted"),
    [
        (0, 65_536, BASELINE),
        (60_000, 65_536, BASELINE),
        (799_999, BASELINE, BASELINE),
        (800_000, BASELINE, 2 * BASELINE),
        (1_600_000, 2 * BASELINE, 4 * BASELINE),
        (3_200_000, 4 * BASELINE, 8 * BASELINE),
        (8_000_000, 8 * BASELINE, 8 * BASELINE),
        (0, 2 * BASELINE, 2 * BASELINE),
        (50 * BASELINE, 50 * BASELINE, 50 * BASELINE),
        (5_000_000, 6_000_000, 8 * BASELINE),
    ],
)
def test_it_doubles_at_80_percent_three_times(entries: int, room: int, wanted: int) -> None:
    """From the baseline on; what an administrator made larger stays."""
    assert wanted_room(entries, room) == wanted


def files(root: Path, entries: int, room: int, buckets: int) -> tuple[Path, Path]:
    netfilter, parameters = root / "proc/sys/net/netfilter", root / "sys/module/nf_conntrack"
    (parameters / "parameters").mkdir(parents=True)
    netfilter.mkdir(parents=True)
    (netfilter / "nf_conntrack_count").write_text(f"{entries}\n")
    (netfilter / "nf_conntrack_max").write_text(f"{room}\n")
    (parameters / "parameters/hashsize").write_text(f"{buckets}\n")
    return netfilter / "nf_conntrack_max", parameters / "parameters/hashsize"


def test_table_and_hash_grow_together(tmp_path: Path) -> None:
    """Else every packet would search long chains."""
    room, buckets = files(tmp_path, 900_000, BASELINE, 65_536)
    assert "2000000 connections instead of 1000000" in make_conntrack_room(tmp_path)
    assert (int(room.read_text()), int(buckets.read_text())) == (2_000_000, 500_000)
    assert make_conntrack_room(tmp_path) == ""


def test_where_it_may_not_be_set_nothing_happens(tmp_path: Path) -> None:
    """In a namespace, or before conntrack is loaded."""
    assert make_conntrack_room(tmp_path) == ""
