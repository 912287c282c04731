"""Report schedules: reports that are made again and again. When, is decided here; the sweep looks
whether one is due (``usecases/make_due_reports.py``)."""

import calendar
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import (
    INVALID,
    MAX_TEXT,
    Choice,
    Flag,
    Never,
    Record,
    Reference,
    Shape,
    Text,
    Time,
)
from pce.objects.report import PARAMETERS, RULE_HIT_COUNT
from pce.timestamps import rfc3339

ONCE = "once"
_DAYS = {"daily": 1, "weekly": 7}
_MONTHS = {"monthly": 1, "quarterly": 3}
FREQUENCIES = (ONCE, *_DAYS, *_MONTHS)


def _whole_problems(schedule: Mapping[str, Any]) -> Iterable[Problem]:
    asked = schedule["report_parameters"]["report_time_range"]
    if "last_num_days" not in asked and schedule["report_generation_frequency"] != ONCE:
        at = "report_parameters.report_time_range"
        message = f"{at}: a repeated report needs last_num_days; fixed dates would repeat the same"
        yield Problem(INVALID, message, at)


def _displayed(schedule: Mapping[str, Any]) -> dict[str, Any]:
    due_at = schedule.get("due_at") if schedule["enabled"] else None
    return {
        "report_type": RULE_HIT_COUNT,
        "report_format": "csv",
        "send_by_email": False,
        "send_to": [],
        **{name: value for name, value in schedule.items() if name not in _OWN},
        "next_report_at": None if due_at is None else rfc3339(due_at),
        "last_report": schedule.get("last_report"),
    }


_OWN = ("due_at", "unfinished")
"""Epoch second of the next report, and the id of the last one until it is done."""

REPORT_SCHEDULES = Collection(
    name="report_schedules",
    kind="report_schedule",
    shape=Shape(
        {
            "report_template": Reference("report_templates"),
            "description": Text(MAX_TEXT),
            "report_parameters": Record(PARAMETERS),
            "report_generation_frequency": Choice(FREQUENCIES),
            "scheduled_at": Time(),
            "enabled": Flag(),
            "send_by_email": Never("this PCE sends no mail; fetch the report"),
        },
        required=("report_template", "report_parameters", "report_generation_frequency"),
    ),
    defaults={"enabled": True, "send_by_email": False},
    unique=(),
    whole_check=_whole_problems,
    searched=(),
    numbered=False,
    display=_displayed,
    shown_in_events=("href", "report_generation_frequency"),
)


def first_due(schedule: Mapping[str, Any], now: int) -> int:
    """When a new or changed schedule is due: at ``scheduled_at``, or from then on in its rhythm;
    without it, now."""
    said = schedule.get("scheduled_at")
    start = int(datetime.fromisoformat(said).timestamp()) if said else now
    if start >= now:
        return start
    following = due_after(start, schedule["report_generation_frequency"], now - 1)
    return now if following is None else following


def due_after(start: int, frequency: str, now: int) -> int | None:
    """The next time after ``now`` in the rhythm that begins at ``start`` (epoch seconds); None: it
    was the only one. Times that passed meanwhile are not made up for.

    A month later is the same day of the month, or its last one.
    """
    if frequency == ONCE:
        return None
    if days := _DAYS.get(frequency):
        step = int(timedelta(days=days).total_seconds())
        return start + max(1, (now - start) // step + 1) * step
    first = datetime.fromtimestamp(start, UTC)
    months = _MONTHS[frequency]
    passed = datetime.fromtimestamp(max(now, start), UTC)
    steps = ((passed.year - first.year) * 12 + passed.month - first.month) // months
    while (due := _months_later(first, steps * months)) <= max(now, start):
        steps += 1
    return due


def _months_later(first: datetime, months: int) -> int:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    day = min(first.day, calendar.monthrange(year, month + 1)[1])
    return int(first.replace(year=year, month=month + 1, day=day).timestamp())
