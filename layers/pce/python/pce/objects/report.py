"""Reports: made on demand, kept for some days, fetched as a file.

There is one template: how often each rule was hit. A hit is a recorded connection that the rule, as
it is active now, matches; VENs report connections, not rules.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pce.errors import Problem
from pce.flows.records import cell
from pce.objects.fields import (
    INVALID,
    MAX_TEXT,
    MISSING,
    Choice,
    Flag,
    Integer,
    ListOf,
    Record,
    Reference,
    Shape,
    Text,
    Time,
)
from pce.objects.label_group import members

RULE_HIT_COUNT = "rule_hit_count_report"
MAX_DAYS = 90
"""Flows are kept no longer."""


def _range_problems(said: Mapping[str, Any], at: str) -> Iterable[Problem]:
    days, start, end = said.get("last_num_days"), said.get("start_date"), said.get("end_date")
    if (days is None) == (start is None and end is None):
        message = f"{at} needs last_num_days, or start_date and end_date"
        yield Problem(INVALID, message, at)
    elif days is None and (start is None or end is None):
        missing = "start_date" if start is None else "end_date"
        yield Problem(MISSING, f"{at}.{missing} is required", f"{at}.{missing}")
    elif start and end and datetime.fromisoformat(start) > datetime.fromisoformat(end):
        yield Problem(INVALID, f"{at}.end_date {end} is before start_date", f"{at}.end_date")


_RANGE = Record(
    Shape(
        {
            "last_num_days": Integer(1, MAX_DAYS),
            "start_date": Time(),
            "end_date": Time(),
        }
    ),
    also=_range_problems,
)

PARAMETERS = Shape(
    {
        "report_time_range": _RANGE,
        "rule_sets": ListOf(Reference("rule_sets", version="active")),
    },
    required=("report_time_range",),
)

REPORT_SHAPE = Shape(
    {
        "report_template": Reference("report_templates"),
        "description": Text(MAX_TEXT),
        "report_parameters": Record(PARAMETERS),
        "report_format": Choice(("csv",)),
        "send_by_email": Flag(),
    },
    required=("report_template", "report_parameters"),
)


def template(org_href: str) -> dict[str, Any]:
    """The template of rule hit counts."""
    return {
        "href": f"{org_href}/report_templates/{RULE_HIT_COUNT}",
        "name": "Rule Hit Count Report",
        "description": "Recorded connections by the rules that match them now",
        "template_type": RULE_HIT_COUNT,
        "enabled": True,
        "show_in_ui": True,
        "report_format": ["csv"],
        "report_parameters": {"report_time_range": {"last_num_days": 30}, "rule_sets": []},
    }


def time_range(report: Mapping[str, Any], now: int) -> tuple[int, int]:
    """First and last epoch second of what a report looks at."""
    said = report["report_parameters"]["report_time_range"]
    if "last_num_days" in said:
        return now - int(timedelta(days=said["last_num_days"]).total_seconds()), now
    start, end = (datetime.fromisoformat(said[name]) for name in ("start_date", "end_date"))
    return int(start.timestamp()), int(end.timestamp())


def counted_by(
    scopes: Iterable[Iterable[Mapping[str, Any]]], groups: Mapping[str, Mapping[str, Any]]
) -> Callable[[Mapping[str, Any]], bool]:
    """Which flow records count, by ``rule_hit_count_enabled_scopes``: those with an end in one of
    the scopes, by the labels that it had then; all of them when there is no scope.

    ``groups``: label groups by href.
    """
    rows = [
        [(set(labels_of(entry, groups)), bool(entry.get("exclusion"))) for entry in row]
        for row in scopes
    ]

    def counts(record: Mapping[str, Any]) -> bool:
        ends = [record[side].get("workload") for side in ("src", "dst")]
        labels = [{label["href"] for label in end["labels"]} for end in ends if end]
        return not rows or any(
            all(bool(wanted & had) is not excluded for wanted, excluded in row)
            for row in rows
            for had in labels
        )

    return counts


def labels_of(entry: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """The labels that an entry of a scope stands for."""
    if "label" in entry:
        return (entry["label"]["href"],)
    return (label["href"] for label in members(entry["label_group"]["href"], groups))


@dataclass(slots=True)
class Hits:
    """What was seen of one rule."""

    connections: int = 0
    flows: int = 0
    last: str = ""

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a flow record that the rule matches."""
        self.connections += record["num_connections"]
        self.flows += 1
        self.last = max(self.last, record["timestamp_range"]["last_detected"])


def rule_hits_csv(
    rules: Iterable[tuple[str, Mapping[str, Any], Mapping[str, Any]]], hits: Mapping[str, Hits]
) -> str:
    """One line a rule: kind (``allow``, ``deny``, ``override_deny``), rule, rule set. Rules that
    were not hit are there too: they are what such a report is read for."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            *("Rule Set", "Rule Set HREF", "Rule HREF", "Rule Type", "Rule Enabled"),
            *("Rule Description", "Hit Count", "Flow Records", "Last Hit"),
        )
    )
    for kind, rule, rule_set in rules:
        found = hits.get(rule["href"], Hits())
        row = (
            *(rule_set.get("name"), rule_set["href"], rule["href"], kind, rule.get("enabled")),
            *(rule.get("description"), found.connections, found.flows, found.last),
        )
        writer.writerow([cell(value) for value in row])
    return text.getvalue()
