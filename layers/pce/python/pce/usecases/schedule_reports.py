"""Create and change report schedules; the sweep makes their reports (``make_due_reports.py``)."""

from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import org_href
from pce.objects.report import template
from pce.objects.report_schedule import REPORT_SCHEDULES, first_due
from pce.usecases.caller import Caller
from pce.usecases.check_references import existing
from pce.usecases.create_object import creation, identified
from pce.usecases.stores import Stores
from pce.usecases.update_object import changed, update
from pce.usecases.write_object import commit_edit, find, until_settled

_WHEN = ("scheduled_at", "report_generation_frequency")


def create_schedule(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """The new schedule as it is stored. Raises :class:`Invalid`."""
    document = REPORT_SCHEDULES.new_document(body)
    _check(caller, document, stores)
    document = identified(caller, REPORT_SCHEDULES, document, stores)
    document["due_at"] = first_due(document, caller.now_s)
    commit_edit(
        caller, REPORT_SCHEDULES, creation(REPORT_SCHEDULES, document), "create", 201, stores
    )
    return document


def update_schedule(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    """Change a schedule. What says when it is due, or enabling it, reckons anew from now: nothing
    is made up for. Raises :class:`Invalid`."""

    def attempt() -> None:
        stored = find(caller, REPORT_SCHEDULES, id, stores)
        before = stored.document
        after = changed(REPORT_SCHEDULES, before, body)
        if after == before:
            return
        _check(caller, after, stores)
        enabled = after["enabled"] and not before["enabled"]
        if enabled or any(after.get(name) != before.get(name) for name in _WHEN):
            after["due_at"] = first_due(after, caller.now_s)
        edit = update(caller, REPORT_SCHEDULES, stored, after, stores)
        commit_edit(caller, REPORT_SCHEDULES, edit, "update", 204, stores)

    until_settled(attempt)


def _check(caller: Caller, schedule: dict[str, Any], stores: Stores) -> None:
    known = template(org_href(caller.org_id))["href"]
    if schedule["report_template"]["href"] != known:
        message = f"there is no template {schedule['report_template']['href']}; use {known}"
        raise Invalid(Problem("invalid_reference", message, "report_template"))
    named = schedule["report_parameters"].get("rule_sets") or []
    existing(caller, [rule_set["href"] for rule_set in named], stores)
