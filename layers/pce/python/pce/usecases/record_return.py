"""Write that a VEN is back, and what changed on its host; what a heartbeat does rarely."""

from typing import Any

import msgspec

from pce.errors import Conflict, NotFound
from pce.objects.ven_conditions import (
    MISSED_HEARTBEATS,
    MISSING_AFTER_UPGRADE,
    without_condition,
)
from pce.presence.record import SILENT, Presence, flags_text
from pce.store.change import Change, PresenceChange
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords
from ven_protocol.messages import Heartbeat, HostFacts

ATTEMPTS = 3
"""It races with people who edit the workload. Given up, it is repeated by the next heartbeat."""


def record_return_and_facts(
    before: Presence, stores: Stores, now: int, heartbeat: Heartbeat | None = None
) -> bool:
    """Write that a VEN is back and what changed on its host, in one transaction; whether that was
    done (or is nothing to be done any more).

    When it was not, the next sign of life does it: the flags stay until it succeeded. A VEN that
    was offline enters its peers' policy again.
    """
    for _ in range(ATTEMPTS):
        try:
            records = VenRecords.read(stores, before.org_id, before.ven_id)
        except NotFound:
            return True  # unpaired meanwhile: nothing is left that could be written
        change = _change(before, records, stores, now, heartbeat)
        if change is None:
            return True
        try:
            stores.objects.commit(change)
        except Conflict:
            continue
        return True
    return False


def _change(
    before: Presence, records: VenRecords, stores: Stores, now: int, heartbeat: Heartbeat | None
) -> Change | None:
    workload: dict[str, Any] = {"online": True}
    ven: dict[str, Any] = {}
    if heartbeat is not None:
        workload |= _workload_facts(heartbeat.host)
        ven = _ven_facts(heartbeat)
    if before.flags & SILENT:
        ven |= without_condition(records.ven.document, MISSED_HEARTBEATS, MISSING_AFTER_UPGRADE)
    puts, changes = records.changed(workload, ven)
    presence = None
    if before.flags & SILENT:
        presence = PresenceChange(
            before.ven_id,
            expected_flags=flags_text(before.flags),
            flags=flags_text(before.flags - SILENT),
            # One that was suspended stays so until it is unsuspended.
            status="active" if before.status == "stopped" else None,
        )
    if not puts and presence is None:
        return None
    event_type = "workload.online" if "offline" in before.flags else "agent.update"
    event = records.journal(stores, now).event(event_type, changes=changes)
    known = records.workload.document
    reason = ""
    if not known.get("online"):
        reason = "online"
    elif any(name in workload and known.get(name) != workload[name] for name in _LOGGED_FACTS):
        reason = "workload"
    return records.change(puts, [event], presence, policy_reason=reason)


_LOGGED_FACTS = ("os_type", "ven_version", "hostname")
"""What a VEN can do with IPv6 follows from the first two, and so its policy; flows are shown with
the host name."""


def _workload_facts(host: HostFacts) -> dict[str, str | None]:
    return {
        "hostname": host.hostname,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_type": host.os_platform,
        "ven_version": host.version,
        "public_ip": host.public_ip,
    }


def _ven_facts(heartbeat: Heartbeat) -> dict[str, Any]:
    host = heartbeat.host
    return {
        "hostname": host.hostname,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_platform": host.os_platform,
        "version": host.version,
        "agent_mode": heartbeat.agent_mode,
        "health": msgspec.to_builtins(heartbeat.health),
    }
