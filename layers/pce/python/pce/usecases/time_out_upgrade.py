"""An upgrade was not done in time: the VEN is told of it no more, and the operator is."""

from pce.errors import NotFound, PceError
from pce.events.journal import SYSTEM, Notification
from pce.identifiers import ven_href
from pce.objects.ven_conditions import UPGRADE_TIME_OUT, with_condition
from pce.presence.actions import entries
from pce.presence.record import Presence
from pce.store.change import PresenceChange
from pce.usecases.stores import Stores, journal
from pce.usecases.ven_records import VenRecords


def time_out_upgrade(seen: Presence, stores: Stores, now: int) -> bool:
    """Write it, once; False when the VEN was heard meanwhile, and the next sweep looks again."""
    row = stores.presence.get(seen.org_id, seen.ven_id)
    if row is None or row.upgrade_expires_at != seen.upgrade_expires_at:
        return False
    left = ",".join(each.id for each in entries(row.actions) if each.kind != "upgrade")
    presence = PresenceChange(
        row.ven_id,
        expected_heartbeat=row.last_heartbeat,
        actions=left,
        upgrade_expires_at=0,
    )
    try:
        records = VenRecords.read(stores, row.org_id, row.ven_id)
    except NotFound:
        return False  # unpaired meanwhile; its row goes when the VEN has confirmed
    ven = records.ven.document
    info = {
        "current_version": ven.get("version"),
        "desired_version": ven.get("upgrade_target_version"),
        "href": ven_href(row.org_id, row.ven_id),
    }
    event = journal(stores, row.org_id, SYSTEM, now).event(
        "agent.request_upgrade",
        severity="warning",
        status="failure",
        notifications=[Notification(UPGRADE_TIME_OUT, info)],
    )
    ended = {"upgrade_target_version": None, "upgrade_expires_at": None}
    puts, _ = records.changed(ven=ended | with_condition(ven, UPGRADE_TIME_OUT, event))
    try:
        stores.objects.commit(records.change(puts, [event], presence))
    except PceError:
        return False
    return True
