"""A VEN's kernel holds a policy now, or it refused one."""

import uuid

from pce.events.journal import Notification, ResourceChange
from pce.identifiers import OrgId, workload_href
from pce.presence.record import SILENT
from pce.usecases.current_etag import current_etag
from pce.usecases.record_return import record_return_and_facts
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords, ven_action
from ven_protocol.messages import AppliedReply, PolicyApplied
from ven_protocol.paths import AgentToken


def record_policy_applied(
    token: AgentToken, applied: PolicyApplied, stores: Stores, now: int, source_ip: str = ""
) -> AppliedReply:
    """Remember what the VEN enforces, with an ``agent.update`` event as clients know it; says what
    it should enforce, as a heartbeat's reply does."""
    held = applied.etag if applied.success else None
    before = stores.presence.sign_of_life(token, now, applied_etag=held)
    reply = AppliedReply(etag=current_etag(before, applied.etag, stores))
    if before.host is not None:
        _record_of_container(before.host, token, applied, stores, now, source_ip)
        return reply
    if held and before.apply_asked and held != before.applied_etag:
        stores.presence.stop_applying(before.org_id, before.ven_id)
        reply = AppliedReply(etag=held)
    if before.flags & SILENT:
        record_return_and_facts(before, stores, now)
    records = VenRecords.read(stores, OrgId(token.org_id), token.ven_id)
    known = records.ven.document
    if applied.success and known.get("security_policy_applied_etag") == applied.etag:
        return reply  # said before, and written
    update = {
        "security_policy_received_at": applied.received_at or None,
        "security_policy_applied_at": applied.applied_at or None,
        "firewall_rule_count": applied.rule_count,
        "security_policy_error": "" if applied.success else applied.error or "not applied",
    }
    if applied.success:
        update["security_policy_applied_etag"] = applied.etag
    puts, _ = records.changed(ven=update)
    shown = {
        name: {"before": known.get(name), "after": update[name]}
        for name in ("security_policy_received_at", "security_policy_applied_at")
    }
    outcome = "succeeded" if applied.success else "failed"
    event = records.journal(stores, now, ven_action("PUT", 204, source_ip)).event(
        "agent.update",
        severity="info" if applied.success else "err",
        status="success" if applied.success else "failure",
        changes=[ResourceChange("workload", records.resource(), "update", shown)],
        notifications=[Notification(f"agent.policy_deploy_{outcome}")],
    )
    stores.objects.commit(records.change(puts, [event]))
    return reply


def _record_of_container(
    host: uuid.UUID,
    token: AgentToken,
    applied: PolicyApplied,
    stores: Stores,
    now: int,
    source_ip: str,
) -> None:
    """What a container holds stands in its row, and pods come and go all the time: only a refused
    policy is an event, of the host."""
    if applied.success:
        return
    records = VenRecords.read(stores, OrgId(token.org_id), host)
    info = {
        "container_workload": {"href": workload_href(records.org_id, token.ven_id)},
        "message": applied.error,
    }
    event = records.journal(stores, now, ven_action("PUT", 204, source_ip)).event(
        "agent.update",
        severity="err",
        status="failure",
        changes=[ResourceChange("workload", records.resource(), "update", {})],
        notifications=[Notification("agent.policy_deploy_failed", info)],
    )
    stores.objects.commit(records.change((), [event]))
