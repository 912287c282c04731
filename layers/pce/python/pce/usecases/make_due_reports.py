"""Order the reports whose time has come, each once, however many sweeps look at the same time."""

import uuid
from collections.abc import Iterable

from pce.access.roles import EVERYTHING
from pce.errors import Conflict, Invalid
from pce.identifiers import INSTALLATION, OrgId
from pce.objects.report_schedule import REPORT_SCHEDULES, due_after
from pce.store.change import Change, Put
from pce.store.objects import Stored
from pce.usecases.caller import SYSTEM_USER, Caller
from pce.usecases.make_report import REPORTS, ordered_report
from pce.usecases.stores import Stores

QUEUED_AGAIN_S = 900
"""Seconds after which a report that nobody has made is queued again: its message may have been lost
with the process that was to send it. Making one takes two minutes at most."""


def make_due_reports(stores: Stores, now: int) -> int:
    """Order what is due in all orgs; returns how many reports. One query an org, two writes a
    report."""
    orgs = [OrgId(int(stored.id)) for stored in stores.objects.all_of(INSTALLATION, "orgs")]
    return sum(_of_org(org_id, stores, now) for org_id in orgs)


def _of_org(org_id: OrgId, stores: Stores, now: int) -> int:
    ordered = 0
    for schedule in stores.objects.all_of(org_id, REPORT_SCHEDULES.name):
        document = schedule.document
        due_at = document.get("due_at")
        if document.get("unfinished"):
            _see_to(org_id, schedule, stores, now)
        elif document["enabled"] and due_at is not None and due_at <= now:
            ordered += _order(org_id, schedule, stores, now)
    return ordered


def _order(org_id: OrgId, schedule: Stored, stores: Stores, now: int) -> int:
    """Order one report. It is written together with the schedule that says when the next one is
    due, on condition that the schedule is still as it was read: of two sweeps one writes it."""
    document, due_at = schedule.document, int(schedule.document["due_at"])
    system = Caller(org_id, SYSTEM_USER, "system", now, EVERYTHING)
    id = str(uuid.uuid5(uuid.UUID(schedule.id), str(due_at)))
    said = {name: document.get(name) for name in REPORTED}
    try:
        report, event = ordered_report(system, id, said, stores)
    except Invalid:
        return 0  # too many wait; the next sweep finds it due still
    following = {
        **document,
        "due_at": due_after(due_at, document["report_generation_frequency"], now),
        "last_report": {"href": report["href"]},
        "unfinished": id,
    }
    puts = (
        Put(REPORT_SCHEDULES.name, schedule.id, following, schedule.rev),
        Put(REPORTS, id, report, ttl=report["kept_until"]),
    )
    try:
        stores.objects.commit(Change(org_id, puts=puts, events=(event,)))
    except Conflict:
        return 0  # another sweep was faster, or a person changed the schedule
    stores.queues.run_report(org_id, id)
    return 1


REPORTED = ("report_template", "report_parameters", "description")
"""What a schedule says of its reports."""


def _see_to(org_id: OrgId, schedule: Stored, stores: Stores, now: int) -> None:
    """Look after the last report until it is made: one that waits for too long is queued again."""
    id = schedule.document["unfinished"]
    report = stores.objects.get(org_id, REPORTS, id)
    if report is not None and report.document["status"] == "queued":
        if now - report.document["ordered_at"] >= QUEUED_AGAIN_S:
            waiting = {**report.document, "ordered_at": now}
            put = Put(REPORTS, id, waiting, report.rev, ttl=waiting["kept_until"])
            if _committed(org_id, (put,), stores):
                stores.queues.run_report(org_id, id)
        return
    settled = {**schedule.document, "unfinished": None}
    _committed(org_id, (Put(REPORT_SCHEDULES.name, schedule.id, settled, schedule.rev),), stores)


def _committed(org_id: OrgId, puts: Iterable[Put], stores: Stores) -> bool:
    try:
        stores.objects.commit(Change(org_id, puts=tuple(puts)))
    except Conflict:
        return False  # somebody was faster; the next sweep looks again
    return True
