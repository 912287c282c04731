"""What a VEN reports about its host: interfaces, services, users, compatibility, tampering."""

import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from pce.errors import Conflict, Problem
from pce.events.journal import Notification, ResourceChange
from pce.identifiers import OrgId
from pce.objects.reported_interfaces import check_interfaces
from pce.presence.record import SILENT, Presence
from pce.store.change import Change, Put
from pce.timestamps import rfc3339
from pce.usecases.note_support_report import REPORTS, note_report
from pce.usecases.record_return import record_return_and_facts
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords, ven_action
from ven_protocol.messages import (
    CompatibilityReport,
    InterfacesReport,
    ServicesReport,
    SupportReportRequest,
    SupportReportUpload,
    Tampering,
    UsersReport,
)
from ven_protocol.paths import AgentToken

COMPATIBILITY_REPORTS = "compatibility_reports"
ATTEMPTS = 5
"""A report races only with people who edit the same workload, so a few tries are plenty."""
UPLOAD_EXPIRES_S = 3600
REPORT_KEPT_S = 30 * 86_400
"""As long as the report itself is kept in the bucket (``infra/stacks/data.py``)."""


def record_interfaces(
    token: AgentToken, report: InterfacesReport, stores: Stores, now: int, source_ip: str = ""
) -> None:
    """Store the host's addresses; when they changed, policy is computed again. Raises
    :class:`Invalid` for what is no address."""

    def change(records: VenRecords) -> Change | None:
        check_interfaces(report.interfaces)
        interfaces = msgspec.to_builtins(report.interfaces)
        puts, changes = records.changed({"interfaces": interfaces})
        if not puts:
            return None
        event = records.journal(stores, now, ven_action("PUT", 204, source_ip)).event(
            "workload_interfaces.update", changes=changes
        )
        return records.change(puts, [event], policy_reason="interfaces")

    _record(token, stores, now, change)


def record_services(
    token: AgentToken, report: ServicesReport, stores: Stores, now: int, source_ip: str = ""
) -> None:
    """Store open ports and processes, beside the workload: lists of workloads do not carry them."""
    document = msgspec.to_builtins(report)
    _replace_report(
        token, "service_reports", document, "workload_service_report.update", stores, now, source_ip
    )


def record_users(
    token: AgentToken, report: UsersReport, stores: Stores, now: int, source_ip: str = ""
) -> None:
    """Store who is logged on (Windows)."""
    document = msgspec.to_builtins(report)
    _replace_report(
        token, "user_reports", document, "agent.update_interactive_users", stores, now, source_ip
    )


def record_compatibility(
    token: AgentToken,
    report: CompatibilityReport,
    stores: Stores,
    now: int,
    source_ip: str = "",
) -> None:
    """Store what may get in the way of policy on the host of an idle VEN."""
    document = msgspec.to_builtins(report)
    _replace_report(token, COMPATIBILITY_REPORTS, document, "agent.update", stores, now, source_ip)


def record_tampering(token: AgentToken, report: Tampering, stores: Stores, now: int) -> None:
    """Somebody changed the VEN's firewall table, or tried to stop the VEN without a maintenance
    token that is good: an ``agent.tampering`` event of severity err."""
    before = _sign_of_life(token, stores, now)
    records = VenRecords.read(stores, before.org_id, before.ven_id)
    kind = "workload.oob_policy_changes"
    info: dict[str, Any] = {
        "tampering_revert_succeeded": report.revert_succeeded,
        "num_reverts": report.num_reverts,
    }
    if report.kind == "agent":
        kind, info = "agent.maintenance_token_refused", {}
    info |= {
        "process_name": report.process_name,
        "detail": report.detail,
    }
    event = records.journal(stores, now).event(
        "agent.tampering",
        severity="err",
        notifications=[Notification(kind, info)],
    )
    stores.objects.commit(records.change((), [event]))


def accept_support_report(
    token: AgentToken, request: SupportReportRequest, stores: Stores, now: int, source_ip: str = ""
) -> SupportReportUpload:
    """Where a support report may be uploaded: a presigned URL that is good for an hour."""
    before = _sign_of_life(token, stores, now)
    records = VenRecords.read(stores, before.org_id, before.ven_id)
    report_id = str(uuid.uuid4())
    key = f"support_reports/{before.org_id}/{before.ven_id}/{report_id}.tar.gz"
    content_type = "application/gzip"
    url = stores.archive.presigned_put(key, content_type, request.size_bytes)
    href = f"/orgs/{before.org_id}/support_reports/{report_id}"
    document = {
        "href": href,
        "ven": {"href": records.ven.document["href"]},
        "key": key,
        "size_bytes": request.size_bytes,
        "sha256": request.sha256,
        "requested_at": rfc3339(now),
    }
    event = records.journal(stores, now, ven_action("POST", 201, source_ip)).event(
        "agent.upload_support_report",
        changes=[ResourceChange("workload", records.resource(), "update", {})],
    )
    put = Put(REPORTS, report_id, document, ttl=now + REPORT_KEPT_S)
    stores.objects.commit(records.change([put], [event]))
    note_report(before, request.action_id, stores, "uploading", href)
    return SupportReportUpload(
        url=url, headers={"Content-Type": content_type}, expires_in_s=UPLOAD_EXPIRES_S
    )


def _sign_of_life(token: AgentToken, stores: Stores, now: int) -> Presence:
    before = stores.presence.sign_of_life(token, now)
    if before.flags & SILENT:
        record_return_and_facts(before, stores, now)
    return before


def _replace_report(
    token: AgentToken,
    collection: str,
    document: dict[str, Any],
    event_type: str,
    stores: Stores,
    now: int,
    source_ip: str,
) -> None:
    def change(records: VenRecords) -> Change | None:
        stored = stores.objects.get(records.org_id, collection, str(records.ven_id))
        if stored is not None and stored.document.get("report") == document:
            return None
        event = records.journal(stores, now, ven_action("PUT", 204, source_ip)).event(
            event_type, changes=[ResourceChange("workload", records.resource(), "update", {})]
        )
        put = Put(
            collection,
            str(records.ven_id),
            {"created_at": rfc3339(now), "report": document},
            stored.rev if stored else None,
        )
        return records.change([put], [event])

    _record(token, stores, now, change)


def _record(
    token: AgentToken, stores: Stores, now: int, change: Callable[[VenRecords], Change | None]
) -> None:
    """Authenticate, read, commit what ``change`` makes of it; again when somebody was faster."""
    before = _sign_of_life(token, stores, now)
    for _ in range(ATTEMPTS):
        records = VenRecords.read(stores, OrgId(before.org_id), before.ven_id)
        made = change(records)
        if made is None:
            return
        try:
            stores.objects.commit(made)
            return
        except Conflict:
            continue
    raise Conflict(Problem("workload_busy", "the workload keeps changing; repeat in a second"))
