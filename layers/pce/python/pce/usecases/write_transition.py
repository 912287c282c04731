"""Write what a sweep decided of one VEN: its row, its records and the audit event, together."""

from dataclasses import replace
from typing import Any

from pce.errors import NotFound, PceError
from pce.events.journal import SYSTEM, Journal, Notification, ResourceChange
from pce.identifiers import ven_href
from pce.objects.ven_conditions import MISSED_HEARTBEATS, MISSING_AFTER_UPGRADE, with_condition
from pce.presence.record import flags_text
from pce.presence.sweep import Transition
from pce.store.change import Change, PresenceChange
from pce.usecases.stores import Stores, journal
from pce.usecases.time_out_upgrade import time_out_upgrade
from pce.usecases.ven_records import VenRecords


def write_transition(stores: Stores, transition: Transition, now: int) -> bool:
    """Write one transition; False when the row was not as it had been seen: the VEN was heard
    meanwhile, another sweep was here, or the store is busy. The next sweep looks again, and the
    others of this one are not held up. Two requests."""
    seen = transition.seen
    if transition.kind == "upgrade_timed_out":
        return time_out_upgrade(seen, stores, now)
    uninstall = transition.kind == "uninstall_expired"
    try:
        records = VenRecords.read(stores, seen.org_id, seen.ven_id, unpaired=uninstall)
        stores.objects.commit(_change(stores, transition, records, now))
    except (NotFound, PceError):
        return False
    return True


def _change(stores: Stores, transition: Transition, records: VenRecords, now: int) -> Change:
    seen = transition.seen
    write = journal(stores, seen.org_id, SYSTEM, now)
    presence = PresenceChange(
        seen.ven_id,
        expected_flags=flags_text(seen.flags),
        expected_heartbeat=seen.last_heartbeat,
        flags=flags_text(transition.flags),
    )
    match transition.kind:
        case "missed_heartbeats":
            return _warned(write, transition, records, presence)
        case "uninstall_expired":
            gone = replace(presence, flags=None, delete=True)
            return records.change((), [_uninstall_timeout(write, transition, records)], gone)
        case _:
            return _left(write, transition, records, presence)


def _warned(
    write: Journal, transition: Transition, records: VenRecords, presence: PresenceChange
) -> Change:
    task, condition = "agent_missed_heartbeats_check", MISSED_HEARTBEATS
    if transition.seen.upgrade_expires_at is not None:
        task, condition = "agent_missing_heartbeats_after_upgrade", MISSING_AFTER_UPGRADE
    event = write.event(
        f"system_task.{task}",
        severity=transition.severity,
        status=None,
        notifications=[Notification(condition, _info(transition, records))],
    )
    puts, _ = records.changed(ven=with_condition(records.ven.document, condition, event))
    return records.change(puts, [event], presence)


def _left(
    write: Journal, transition: Transition, records: VenRecords, presence: PresenceChange
) -> Change:
    """Offline: out of the peers' policy, in the same transaction."""
    goodbye = transition.kind == "goodbye_expired"
    check = "endpoint" if transition.seen.ven_type == "endpoint" else "agent"
    kind = "workload.offline_after_ven_goodbye"
    online = {"online": {"before": True, "after": False}}
    event = write.event(
        f"system_task.{check}_offline_check",
        changes=[ResourceChange("workload", records.resource(), "update", online)],
        notifications=[Notification(kind, _info(transition, records))] if goodbye else [],
    )
    puts, _ = records.changed({"online": False})
    if goodbye:
        presence = replace(presence, status="stopped", goodbye_at=0)
    return records.change(puts, [event], presence, "goodbye" if goodbye else "offline")


def _uninstall_timeout(
    write: Journal, transition: Transition, records: VenRecords
) -> dict[str, Any]:
    info = _info(transition, records) | {
        "message": "This VEN was unpaired and has not answered. Its token is void now; if it still"
        " runs, uninstall it on its workload by hand.",
    }
    return write.event(
        "system_task.agent_uninstall_timeout",
        severity=transition.severity,
        status=None,
        notifications=[Notification("agent.uninstall_timeout", info)],
    )


def _info(transition: Transition, records: VenRecords) -> dict[str, Any]:
    workload = records.workload.document
    return {
        "agent": {
            "href": ven_href(records.org_id, records.ven_id),
            "name": workload.get("name"),
            "hostname": workload.get("hostname"),
        },
        "silent_seconds": transition.silent_s,
        "timer_seconds": transition.timer_s,
    }
