"""Two machines use one VEN's identity: say so once, and lead the clone to an identity of its own.

A copy of a machine carries its agent token. Both are heard, their addresses change places and with
them the peers' policy. What gives them away is the boot that each names: a machine never returns to
an earlier one.
"""

from collections.abc import Mapping

from pce.errors import Conflict, NotFound
from pce.events.journal import SYSTEM, Notification
from pce.identifiers import OrgId, ven_href
from pce.objects.ven_conditions import CLONE_DETECTED, DETECTS_CLONES, with_condition
from pce.presence.heartbeat import SignOfLife
from pce.presence.record import Presence, flags_text
from pce.store.change import PresenceChange
from pce.usecases.stores import Stores, journal
from pce.usecases.ven_records import VenRecords
from ven_protocol.messages import Action, Heartbeat


def notice_clone(
    before: Presence, meaning: SignOfLife, heartbeat: Heartbeat, stores: Stores, now: int
) -> tuple[Action, ...]:
    """What the VEN that sent this heartbeat is to do about it: become a VEN of its own, when it is
    the clone and the org wants that. A write at each boot; more only for a clone.

    Which of two is the clone is told by the machine that activated. A copy that did not even get
    another machine id cannot be told apart, and both are left to a person.
    """
    if meaning.moved:
        stores.presence.set_earlier_instance(before.org_id, before.ven_id, before.instance)
    flagged = "cloned" in before.flags
    if not (meaning.cloned or flagged):
        return ()
    settings = _settings(before.org_id, stores)
    if not settings.get("clone_detection_enabled", DETECTS_CLONES):
        return ()
    try:
        records = VenRecords.read(stores, before.org_id, before.ven_id)
    except NotFound:
        return ()
    original = records.ven.document.get("machine_id")
    is_clone = bool(original and heartbeat.host.machine_id) and (
        heartbeat.host.machine_id != original
    )
    leads = is_clone and bool(settings.get("automatic_clone_reactivation"))
    if not flagged:
        _report(before, records, heartbeat, leads, stores, now)
    # Another id each time: what a VEN could not do once it is to try again.
    return (Action(id=f"reactivate#{now}", type="reactivate"),) if leads else ()


def _report(
    before: Presence,
    records: VenRecords,
    heartbeat: Heartbeat,
    leads: bool,
    stores: Stores,
    now: int,
) -> None:
    """The event and the condition. When somebody was faster, the next heartbeat does it."""
    info = {
        "agent": {
            "href": ven_href(records.org_id, records.ven_id),
            "name": records.workload.document.get("name"),
            "hostname": records.workload.document.get("hostname"),
        },
        "clone_hostname": heartbeat.host.hostname,
        "clone_public_ip": heartbeat.host.public_ip,
        "message": "Two machines use the identity of this VEN."
        + (
            " The clone is being paired anew."
            if leads
            else " Unpair the VEN on the copy and pair it again."
        ),
    }
    event = journal(stores, records.org_id, SYSTEM, now).event(
        "agent.clone_detected",
        severity="warning" if leads else "err",
        status=None,
        notifications=[Notification(CLONE_DETECTED, info)],
    )
    row = stores.presence.get(before.org_id, before.ven_id)
    if row is None or "cloned" in row.flags:
        return
    puts, _ = records.changed(ven=with_condition(records.ven.document, CLONE_DETECTED, event))
    presence = PresenceChange(
        row.ven_id,
        expected_flags=flags_text(row.flags),
        flags=flags_text(row.flags | {"cloned"}),
    )
    try:
        stores.objects.commit(records.change(puts, [event], presence))
    except Conflict:
        return


def _settings(org_id: OrgId, stores: Stores) -> Mapping[str, object]:
    stored = stores.objects.get(org_id, "settings", "org")
    return stored.document if stored else {}
