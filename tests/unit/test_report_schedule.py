"""When scheduled reports are due."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pce.objects.report_schedule import FREQUENCIES, due_after, first_due


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("start", "frequency", "now", "due"),
    [
        ("2027-01-04T06:00", "daily", "2027-01-04T06:00", "2027-01-05T06:00"),
        ("2027-01-04T06:00", "daily", "2027-01-07T06:01", "2027-01-08T06:00"),
        ("2027-01-04T06:00", "weekly", "2027-01-04T07:00", "2027-01-11T06:00"),
        ("2027-01-31T06:00", "monthly", "2027-01-31T06:00", "2027-02-28T06:00"),
        ("2027-01-31T06:00", "monthly", "2027-02-28T06:00", "2027-03-31T06:00"),
        ("2027-11-30T06:00", "quarterly", "2027-11-30T06:00", "2028-02-29T06:00"),
        ("2027-01-31T06:00", "monthly", "2028-05-30T06:00", "2028-05-31T06:00"),
    ],
)
def test_the_next_report(start: str, frequency: str, now: str, due: str) -> None:
    """In the rhythm of the first; a month that is too short has its last day."""
    assert due_after(_at(start), frequency, _at(now)) == _at(due)


@given(
    st.integers(1_700_000_000, 1_900_000_000),
    st.sampled_from(FREQUENCIES),
    st.integers(-50_000_000, 50_000_000),
)
def test_it_is_the_first_after_now(start: int, frequency: str, later: int) -> None:
    """Never now or before, and none is left out: counting on from the start gives the same."""
    now = start + later
    due = due_after(start, frequency, now)
    if frequency == "once":
        assert due is None
        return
    assert due is not None and due > now
    one_by_one = start
    while one_by_one <= max(now, start):
        following = due_after(start, frequency, one_by_one)
        assert following is not None and following > one_by_one
        one_by_one = following
    assert due == one_by_one


def test_a_schedule_begins_when_it_says_or_now() -> None:
    """A beginning that has passed is the beginning of a rhythm; without one it is now."""
    said = {"scheduled_at": "2027-01-04T06:00:00Z", "report_generation_frequency": "daily"}
    start = _at("2027-01-04T06:00")
    assert first_due(said, start - 60) == start
    assert first_due(said, start) == start
    assert first_due(said, start + 60) == start + 86_400
    assert first_due({**said, "report_generation_frequency": "once"}, start + 60) == start + 60
    assert first_due({**said, "scheduled_at": None}, start) == start
