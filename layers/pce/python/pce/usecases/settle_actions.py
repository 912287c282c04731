"""What it means that a VEN has done an action, or could not. Rare, so not in a heartbeat's way."""

from collections.abc import Callable
from typing import Any

from pce.errors import Conflict, NotFound
from pce.events.journal import Notification
from pce.identifiers import ven_href
from pce.objects.ven_conditions import (
    UPGRADE_FAILED,
    UPGRADE_TIME_OUT,
    with_condition,
    without_condition,
)
from pce.objects.ven_release import numbers
from pce.presence.actions import Entry, entries
from pce.presence.record import Presence
from pce.store.change import Change, PresenceChange
from pce.usecases.note_support_report import note_report
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords
from ven_protocol.messages import Heartbeat

ATTEMPTS = 3
"""It races with people who edit the VEN."""


def settle_actions(before: Presence, heartbeat: Heartbeat, stores: Stores, now: int) -> bool:
    """Write what follows from the actions that were pending and are reported done; whether all of
    it is written. What is not is reported done again, and settled then."""
    done = [each for each in entries(before.actions) if each.id in heartbeat.done_actions]
    return all(_settle(each, before, heartbeat, stores, now) for each in done)


def _settle(done: Entry, before: Presence, heartbeat: Heartbeat, stores: Stores, now: int) -> bool:
    if done.kind == "support_report":
        return _report_settled(done, before, heartbeat, stores, now)
    settle = _SETTLE.get(done.kind)
    if settle is None:
        return True
    for _ in range(ATTEMPTS):
        try:
            records = VenRecords.read(stores, before.org_id, before.ven_id)
            stores.objects.commit(settle(done, records, heartbeat, stores, now))
        except NotFound:
            return True  # unpaired meanwhile
        except Conflict:
            continue
        return True
    return False


def _report_settled(
    done: Entry, before: Presence, heartbeat: Heartbeat, stores: Stores, now: int
) -> bool:
    """The report is there, or the VEN says why not: then there is an event too."""
    why = heartbeat.failed_actions.get(done.id)
    if why is None:
        return note_report(before, done.id, stores, "done")
    if not note_report(before, done.id, stores, "failed", message=why):
        return False
    try:
        records = VenRecords.read(stores, before.org_id, before.ven_id)
    except NotFound:
        return True
    event = records.journal(stores, now).event(
        "agent.upload_support_report",
        severity="warning",
        status="failure",
        notifications=[Notification("agent.support_report_failed", {"message": why})],
    )
    stores.objects.commit(records.change((), [event]))
    return True


def _upgrade(
    done: Entry, records: VenRecords, heartbeat: Heartbeat, stores: Stores, now: int
) -> Change:
    """The new release answers, or the VEN says why it has stayed as it was."""
    release, version = done.argument, heartbeat.host.version
    ended: dict[str, Any] = {"upgrade_target_version": None, "upgrade_expires_at": None}
    why = heartbeat.failed_actions.get(done.id, "")
    if not why and numbers(version) < numbers(release):
        why = f"the VEN reported the upgrade done and is still {version}"
    journal = records.journal(stores, now)
    info = {
        "current_version": version,
        "desired_version": release,
        "href": ven_href(records.org_id, records.ven_id),
    }
    if why:
        info["message"] = why
        event = journal.event(
            "agent.request_upgrade",
            severity="err",
            status="failure",
            notifications=[Notification(UPGRADE_FAILED, info)],
        )
        ended |= with_condition(records.ven.document, UPGRADE_FAILED, event)
    else:
        event = journal.event(
            "agent.upgrade_successful",
            notifications=[Notification("agent.upgrade_successful", info)],
        )
        ended |= without_condition(records.ven.document, UPGRADE_FAILED, UPGRADE_TIME_OUT)
    puts, _ = records.changed(ven=ended)
    presence = PresenceChange(records.ven_id, upgrade_expires_at=0)
    return records.change(puts, [event], presence)


def _restart(
    done: Entry, records: VenRecords, heartbeat: Heartbeat, stores: Stores, now: int
) -> Change:
    """The process after the restart is the one that says so."""
    event = records.journal(stores, now).event(
        "agent.update", notifications=[Notification("agent.restarted")]
    )
    return records.change((), [event])


_SETTLE: dict[str, Callable[[Entry, VenRecords, Heartbeat, Stores, int], Change]] = {
    "upgrade": _upgrade,
    "restart": _restart,
}
