"""Support reports that an operator asks for: requested here, uploaded by VENs, downloaded here.

A request is one document with an entry a VEN; the action that tells a VEN carries the request's
id. What becomes of it is noted (``note_support_report.py``) when the upload begins
(``record_reports.py``) and when the VEN says that it is done, or why not (``settle_actions.py``).
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import tail
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.presence.actions import entries, entry
from pce.presence.record import Presence
from pce.store.change import Change, Delete, PresenceChange, Put
from pce.store.objects import Stored
from pce.usecases.announce_actions import announce_actions
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.note_support_report import KEPT_S, REPORTS, REQUESTS
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import TOGETHER, Target, on_each
from pce.usecases.write_object import until_settled

MAX_PENDING = 4
"""Requests that one VEN may have before it: each costs it and the bucket up to 256 MB."""
FINAL = ("done", "failed")


def request_reports(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """Ask the VENs under ``vens``, at most ``TOGETHER``, for a report each; returns the request.

    All or nothing: raises :class:`Invalid` and names what is wrong with which VEN.
    """
    id = str(uuid.uuid4())
    made: dict[str, Any] = {}
    told: list[Presence] = []
    listed = body.get("vens") if isinstance(body, Mapping) else None
    if isinstance(listed, list) and len(listed) > TOGETHER:
        message = f"vens: at most {TOGETHER} VENs in one request"
        raise Invalid(Problem("invalid_bulk_request", message, "vens"))

    def act(batch: Sequence[Target]) -> None:
        made.update(_asked(caller, id, batch, stores))
        told[:] = [target.row for target in batch if target.row is not None]

    failed: list[Problem] = []
    # Looked at first, so that nobody is asked when somebody cannot be.
    looked = on_each(caller, body, stores, lambda batch: None, _refuse)
    for error in looked["errors"]:
        failed.append(Problem(error["token"], f"{', '.join(error['hrefs'])}: {error['message']}"))
    if failed:
        raise Invalid(*failed)
    result = on_each(caller, body, stores, act, _refuse)
    for error in result["errors"]:
        raise Invalid(Problem(error["token"], error["message"]))
    announce_actions(caller.org_id, told, "support_report", stores, caller.now)
    return shown(made)


def _refuse(target: Target) -> Problem | None:
    row = target.row
    if row is None:
        return Problem("ven_already_deleted", "the VEN is being uninstalled")
    pending = [each for each in entries(row.actions) if each.kind == "support_report"]
    if len(pending) >= MAX_PENDING:
        message = f"{len(pending)} support reports were asked for already and are not done"
        return Problem("too_many_support_report_requests", message)
    return None


def _asked(caller: Caller, id: str, batch: Sequence[Target], stores: Stores) -> dict[str, Any]:
    action = entry("support_report", "", uuid.UUID(id).hex)
    kept_until = caller.now_s + KEPT_S
    document = {
        "href": caller.path(REQUESTS, id),
        "vens": [{"href": target.ven.document["href"]} for target in batch],
        "reports": {
            target.ven.id: {"status": "requested", "support_report": None, "message": None}
            for target in batch
        },
        "requested_at": caller.at,
        "requested_by": caller.by,
        "created_at": caller.at,
        "kept_until": kept_until,
    }
    event = caller.journal(stores, 201).event(
        "agent_support_report_request.create", changes=[target.changed for target in batch]
    )
    presence = tuple(
        PresenceChange(target.row.ven_id, actions=_with(target.row.actions, action))
        for target in batch
        if target.row is not None
    )
    put = Put(REQUESTS, id, document, ttl=kept_until)
    stores.objects.commit(Change(caller.org_id, puts=(put,), presence=presence, events=(event,)))
    return document


def _with(actions: str, action: str) -> str:
    return ",".join(filter(None, (actions, action)))


def list_requests(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """All requests of the last 30 days, newest first."""
    found = [stored.document for stored in stores.objects.all_of(caller.org_id, REQUESTS)]
    return [shown(each) for each in sorted(found, key=lambda r: r["created_at"], reverse=True)]


def get_request(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One request. Raises :class:`NotFound`."""
    return shown(_find(caller, REQUESTS, id, stores).document)


def delete_request(caller: Caller, id: str, stores: Stores) -> None:
    """Withdraw a request: VENs that have not been told are not. Reports that are there stay."""

    def attempt() -> None:
        stored = _find(caller, REQUESTS, id, stores)
        _refuse_outside(caller, stored.document["reports"], stores)
        action = entry("support_report", "", uuid.UUID(id).hex)
        presence = []
        for ven_id in stored.document["reports"]:
            row = stores.presence.get(caller.org_id, uuid.UUID(ven_id))
            if row is not None and action in row.actions.split(","):
                left = ",".join(each for each in row.actions.split(",") if each != action)
                presence.append(PresenceChange(row.ven_id, actions=left))
        changed = ResourceChange(
            "agent_support_report_request", {"href": stored.document["href"]}, "delete", {}
        )
        event = caller.journal(stores, 204).event(
            "agent_support_report_request.delete", changes=[changed]
        )
        stores.objects.commit(
            Change(
                caller.org_id,
                deletes=(Delete(REQUESTS, id, stored.rev),),
                presence=tuple(presence),
                events=(event,),
            )
        )

    until_settled(attempt)


def _refuse_outside(caller: Caller, ven_ids: Iterable[str], stores: Stores) -> None:
    """Raise :class:`NotAllowed` when a VEN of the request lies outside the caller's scopes."""
    check = ScopeCheck(caller, stores)
    workloads = stores.objects.get_many(caller.org_id, WORKLOADS.name, list(ven_ids))
    for workload in workloads.values():
        check.require(WORKLOADS, workload.document)


def list_reports(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """The reports that VENs began to upload, newest first, also those that nobody asked for."""
    found = [stored.document for stored in stores.objects.all_of(caller.org_id, REPORTS)]
    ordered = sorted(found, key=lambda report: report["requested_at"], reverse=True)
    return [_without_key(report) for report in ordered]


def get_report(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One report. Raises :class:`NotFound`."""
    return _without_key(_find(caller, REPORTS, id, stores).document)


def download_report(caller: Caller, id: str, stores: Stores) -> str:
    """Where the report can be downloaded for the next minutes. Raises :class:`NotFound`."""
    report = _find(caller, REPORTS, id, stores).document
    name = f"support_report-{tail(report['ven']['href'])}-{id}.tar.gz"
    return stores.archive.presigned_get(report["key"], name)


def shown(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as clients see it: ``status`` is ``requested`` while a VEN is still to come, then
    ``done``, or ``failed`` when a VEN could not."""
    reports = request["reports"]
    states = {report["status"] for report in reports.values()}
    status = "requested"
    if states <= set(FINAL):
        status = "failed" if "failed" in states else "done"
    org = str(request["href"]).partition(f"/{REQUESTS}/")[0]
    result = [
        {"ven": {"href": f"{org}/{VENS.name}/{id}"}, **report} for id, report in reports.items()
    ]
    rest = {name: value for name, value in request.items() if name not in ("reports", "kept_until")}
    return {**rest, "status": status, "result": {"support_reports": result}}


def _without_key(report: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name != "key"}


def _find(caller: Caller, collection: str, id: str, stores: Stores) -> Stored:
    stored = stores.objects.get(caller.org_id, collection, id)
    if stored is None:
        message = f"there is no {collection[:-1]} {id}, or it has expired"
        raise NotFound(Problem(f"{collection[:-1]}_not_found", message))
    return stored
