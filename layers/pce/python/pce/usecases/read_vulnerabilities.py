"""Vulnerabilities and scanners' reports: taken from scanners, and joined to workloads."""

from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.objects.hrefs import item_id
from pce.objects.vulnerability import VULNERABILITIES
from pce.objects.vulnerability_report import VULNERABILITY_REPORTS
from pce.objects.vulnerability_summary import Findings, findings
from pce.usecases.caller import Caller
from pce.usecases.change_in_bulk import MAX_ITEMS, Result, bulk_create, bulk_update
from pce.usecases.create_object import create_object
from pce.usecases.stores import Stores
from pce.usecases.update_object import update_object


def import_vulnerabilities(caller: Caller, body: Any, stores: Stores) -> list[Result]:
    """One result per entry of the list, in order. An entry whose ``reference_id`` is known already
    changes that vulnerability, so that a list may be sent again.

    Raises :class:`Invalid` when nothing was taken, with what is wrong with each entry.
    """
    if not isinstance(body, list) or not 0 < len(body) <= MAX_ITEMS:
        message = f"the body must be a list of 1 to {MAX_ITEMS} vulnerabilities"
        raise Invalid(Problem("invalid_bulk_request", message))
    ids = [_reference_id(entry) for entry in body]
    known = stores.objects.get_many(
        caller.org_id, VULNERABILITIES.name, [item_id(id) for id in ids if id]
    )
    old = [at for at, id in enumerate(ids) if item_id(id) in known]
    new = [at for at, id in enumerate(ids) if item_id(id) not in known]
    changes = [{**body[at], "href": known[item_id(ids[at])].document["href"]} for at in old]
    results: dict[int, Result] = {}
    if new:
        made = bulk_create(caller, VULNERABILITIES, [body[at] for at in new], stores)
        results |= dict(zip(new, made, strict=True))
    if old:
        updated = bulk_update(caller, VULNERABILITIES, changes, stores)
        results |= dict(zip(old, updated, strict=True))
    said = [results[at] for at in range(len(body))]
    if all(result["status"] == "validation_failure" for result in said):
        raise Invalid([Problem(result["token"], result["message"]) for result in said])
    return said


def put_vulnerability_report(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    """Take a report under the scanner's own id: a new one, or in place of an earlier one what this
    one says. Raises :class:`Invalid`."""
    stored = stores.objects.get(caller.org_id, VULNERABILITY_REPORTS.name, item_id(id))
    if stored is not None:
        update_object(caller, VULNERABILITY_REPORTS, id, body, stores)
        return
    if not isinstance(body, Mapping):
        raise Invalid(Problem("invalid_attribute", "the body must be an object"))
    create_object(caller, VULNERABILITY_REPORTS, {**body, "reference_id": id}, stores)


def findings_of_workloads(caller: Caller, stores: Stores) -> Findings:
    """What was found on which workload. Reads all reports, and the vulnerabilities they name; one
    query where there are none."""
    reports = [s.document for s in stores.objects.all_of(caller.org_id, VULNERABILITY_REPORTS.name)]
    if not reports:
        return {}
    named = {
        found["vulnerability"]["href"]
        for report in reports
        for found in report.get("detected_vulnerabilities") or ()
    }
    ids = [item_id(href.rpartition("/")[2]) for href in sorted(named)]
    read = stores.objects.get_many(caller.org_id, VULNERABILITIES.name, ids)
    return findings(reports, {stored.document["href"]: stored.document for stored in read.values()})


def _reference_id(entry: Any) -> str:
    said = entry.get("reference_id") if isinstance(entry, Mapping) else None
    return said if isinstance(said, str) and len(said) <= 255 else ""
