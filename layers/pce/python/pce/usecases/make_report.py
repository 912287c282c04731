"""Reports: ordered here, made by a worker (``run_report.py``), fetched here."""

import uuid
from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import org_href
from pce.objects.report import REPORT_SHAPE, RULE_HIT_COUNT, template
from pce.objects.settings import REPORT_SETTINGS
from pce.store.change import Change, Delete, Put
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.change_settings import read_settings
from pce.usecases.check_references import existing
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled

REPORTS = "reports"
DAY_S = 86_400

_PRIVATE = ("kept_until", "ordered_at")
_ORDERED = ("report_type", "description", "report_parameters")
"""What events say of a report."""


def list_templates(caller: Caller) -> list[dict[str, Any]]:
    """What reports there are."""
    return [template(org_href(caller.org_id))]


def get_template(caller: Caller, id: str) -> dict[str, Any]:
    """One template. Raises :class:`NotFound`."""
    for found in list_templates(caller):
        if found["href"].endswith(f"/{id}"):
            return found
    raise NotFound(Problem("report_template_not_found", f"there is no report template {id}"))


def order_report(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """A report that waits for its worker. Raises :class:`Invalid`, also when too many wait."""
    said = REPORT_SHAPE.clean(body)
    known = template(org_href(caller.org_id))
    if said["report_template"]["href"] != known["href"]:
        message = f"there is no template {said['report_template']['href']}; use {known['href']}"
        raise Invalid(Problem("invalid_reference", message, "report_template"))
    named = said["report_parameters"].get("rule_sets") or []
    existing(caller, [rule_set["href"] for rule_set in named], stores)
    id = str(uuid.uuid4())
    report, event = ordered_report(caller, id, said, stores)
    put = Put(REPORTS, id, report, ttl=report["kept_until"])
    stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))
    stores.queues.run_report(caller.org_id, id)
    return _shown(report)


def ordered_report(
    caller: Caller, id: str, said: Mapping[str, Any], stores: Stores
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A report that waits for its worker, and its event; neither is written. Raises
    :class:`Invalid` when too many wait."""
    settings = read_settings(caller, REPORT_SETTINGS, stores)
    waiting = [r for r in _all(caller, stores) if r["status"] == "queued"]
    if len(waiting) >= settings["max_queued_reports"]:
        message = f"{len(waiting)} reports wait already; settings/reports allows no more"
        raise Invalid(Problem("too_many_queued_reports", message))
    report = {
        "href": caller.path(REPORTS, id),
        "report_type": RULE_HIT_COUNT,
        "description": said.get("description") or "",
        "report_template": said["report_template"],
        "report_parameters": said["report_parameters"],
        "report_format": "csv",
        "send_by_email": False,
        "status": "queued",
        "progress_percentage": 0,
        "generated_at": None,
        "ordered_at": caller.now_s,
        "kept_until": caller.now_s + settings["report_retention_days"] * DAY_S,
        **caller.created(),
    }
    ordered = {name: {"before": None, "after": report[name]} for name in _ORDERED}
    change = ResourceChange("report", {"href": report["href"]}, "create", ordered)
    return report, caller.journal(stores, 201).event("report.create", changes=[change])


def list_reports(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """All reports that are kept, newest first."""
    reports = sorted(_all(caller, stores), key=lambda r: str(r["created_at"]), reverse=True)
    return [_shown(report) for report in reports]


def get_report(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One report. Raises :class:`NotFound`."""
    return _shown(_find(caller, id, stores).document)


def delete_report(caller: Caller, id: str, stores: Stores) -> None:
    """Delete a report; its file, which nobody can reach then, expires by itself."""

    def attempt() -> None:
        stored = _find(caller, id, stores)
        gone = {name: {"before": stored.document[name], "after": None} for name in _ORDERED}
        change = ResourceChange("report", {"href": stored.document["href"]}, "delete", gone)
        event = caller.journal(stores, 204).event("report.delete", changes=[change])
        delete = Delete(REPORTS, id, stored.rev)
        stores.objects.commit(Change(caller.org_id, deletes=(delete,), events=(event,)))

    until_settled(attempt)


def read_report(caller: Caller, id: str, stores: Stores) -> bytes:
    """The gzip bytes of a report's file. Raises :class:`NotFound` until it is done."""
    status = _find(caller, id, stores).document["status"]
    body = stores.archive.get(report_key(caller.org_id, id)) if status == "done" else None
    if body is None:
        message = f"the report {id} has no file; its status is {status}"
        raise NotFound(Problem("report_file_not_found", message))
    return body


def report_key(org_id: int, id: str) -> str:
    """Where a report's file lies in the archive."""
    return f"reports/{org_id}/{id}.csv.gz"


def _all(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    stored = stores.objects.all_of(caller.org_id, REPORTS)
    return [s.document for s in stored if s.document["kept_until"] > caller.now_s]


def _find(caller: Caller, id: str, stores: Stores) -> Stored:
    stored = stores.objects.get(caller.org_id, REPORTS, id)
    if stored is None or stored.document["kept_until"] <= caller.now_s:
        raise NotFound(Problem("report_not_found", f"there is no report {id}, or it has expired"))
    return stored


def _shown(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in _PRIVATE}
