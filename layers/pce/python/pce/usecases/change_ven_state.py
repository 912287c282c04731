"""The turns of a VEN's life that it tells of itself: suspend, goodbye, deactivate, new token."""

from dataclasses import replace
from typing import Any

from pce.errors import NotFound
from pce.events.journal import SYSTEM, Notification, ResourceChange
from pce.identifiers import OrgId
from pce.objects.ven import VENS
from pce.objects.ven_conditions import MISSED_HEARTBEATS, without_condition
from pce.objects.workload import WORKLOADS
from pce.presence.record import SILENT, Status, flags_text
from pce.store.change import Change, PresenceChange, Put
from pce.store.presence import token_hash
from pce.timestamps import rfc3339
from pce.usecases.report_containers import forget_containers
from pce.usecases.stores import Stores, journal
from pce.usecases.ven_records import VenRecords, ven_action
from ven_protocol.messages import Deactivate, Goodbye, LostAgent, TokenRefreshed
from ven_protocol.paths import AgentToken


def suspend(token: AgentToken, stores: Stores, now: int, source_ip: str = "") -> None:
    """The VEN removed its rules and stops; it stays in its peers' policy without heartbeats."""
    _change_status(token, "suspended", "agent.suspend", stores, now, source_ip)


def unsuspend(token: AgentToken, stores: Stores, now: int, source_ip: str = "") -> None:
    """The VEN enforces again."""
    _change_status(token, "active", "agent.unsuspend", stores, now, source_ip)


def say_goodbye(
    token: AgentToken, goodbye: Goodbye, stores: Stores, now: int, source_ip: str = ""
) -> None:
    """The VEN stops. After the goodbye timer the sweep takes it out of its peers' policy, unless
    it is heard before. One write, and the event."""
    stores.presence.sign_of_life(token, now, attributes={"gb": {"N": str(now)}}, remove=("ci",))
    records = VenRecords.read(stores, OrgId(token.org_id), token.ven_id)
    puts, _ = records.changed(ven={"last_goodbye_at": rfc3339(now)})
    event = records.journal(stores, now, ven_action("POST", 204, source_ip)).event(
        "agent.goodbye", notifications=[Notification("agent.goodbye", {"reason": goodbye.reason})]
    )
    stores.objects.commit(records.change(puts, [event]))


def deactivate(
    token: AgentToken, deactivate: Deactivate, stores: Stores, now: int, source_ip: str = ""
) -> None:
    """The VEN unpairs: its workload leaves policy, and its token is void when this returns."""
    before = stores.presence.sign_of_life(token, now)
    try:
        records = VenRecords.read(stores, before.org_id, before.ven_id)
    except NotFound:
        # Unpaired by a person before.
        forget_containers(before.org_id, before.ven_id, stores, now)
        stores.presence.delete(before.org_id, before.ven_id)
        return
    forget_containers(before.org_id, before.ven_id, stores, now)
    deleted = {"deleted": True, "online": False, "deleted_at": rfc3339(now)}
    puts, _ = records.changed(deleted, {"status": "uninstalled", "deleted": True})
    event = records.journal(stores, now, ven_action("POST", 204, source_ip)).event(
        "agent.deactivate",
        changes=[ResourceChange("workload", records.resource(), "delete", {})],
        notifications=[
            Notification("agent.deactivate", {"firewall_restore": deactivate.firewall_restore})
        ],
    )
    revoked = PresenceChange(before.ven_id, token_hash=b"")
    change = records.change(puts, [event], revoked, policy_reason="unpair")
    names = tuple(WORKLOADS.claims(records.workload.document))
    stores.objects.commit(replace(change, releases=names))
    stores.presence.delete(before.org_id, before.ven_id)


def refresh_token(
    token: AgentToken, stores: Stores, now: int, source_ip: str = ""
) -> TokenRefreshed:
    """A new agent token. The old one works until the new one was used once, so that a lost reply
    locks nobody out; a second refresh replaces an unused one."""
    new = AgentToken.new(token.org_id, token.ven_id)
    pending = {"tn": {"B": token_hash(new.secret)}}
    stores.presence.sign_of_life(token, now, attributes=pending)
    records = VenRecords.read(stores, OrgId(token.org_id), token.ven_id)
    event = records.journal(stores, now, ven_action("POST", 200, source_ip)).event(
        "agent.refresh_token"
    )
    stores.objects.commit(records.change((), [event]))
    return TokenRefreshed(agent_token=str(new))


def note_lost_agent(
    token: AgentToken, lost: LostAgent, stores: Stores, now: int, source_ip: str = ""
) -> None:
    """A VEN cannot authenticate any more and asks to be noticed: one organization event.

    The token is not believed, so nothing else changes. It is noted once per VEN until the VEN is
    heard with a good token, and once for one that was removed, so that nobody can fill the event
    log with it.
    """
    org_id = OrgId(token.org_id)
    row = stores.presence.get(org_id, token.ven_id)
    if row is None:
        _note_forgotten_agent(token, lost, stores, now, source_ip)
        return
    if "lost" in row.flags:
        return
    flagged = PresenceChange(
        token.ven_id,
        expected_flags=flags_text(row.flags),
        flags=flags_text(row.flags | {"lost"}),
    )
    event = _lost_agent_found(org_id, lost, stores, now, source_ip)
    stores.objects.commit(Change(org_id, events=(event,), presence=(flagged,)))


def _note_forgotten_agent(
    token: AgentToken, lost: LostAgent, stores: Stores, now: int, source_ip: str
) -> None:
    """One whose workload was removed: noted in its record, which stays."""
    org_id = OrgId(token.org_id)
    ven = stores.objects.get(org_id, VENS.name, str(token.ven_id))
    if ven is None or ven.document.get("lost_agent_found_at"):
        return
    event = _lost_agent_found(org_id, lost, stores, now, source_ip)
    noted = {**ven.document, "lost_agent_found_at": rfc3339(now)}
    put = Put(VENS.name, ven.id, noted, ven.rev)
    stores.objects.commit(Change(org_id, puts=(put,), events=(event,)))


def _lost_agent_found(
    org_id: OrgId, lost: LostAgent, stores: Stores, now: int, source_ip: str
) -> dict[str, Any]:
    info = {
        "hostname": lost.hostname,
        "reason": lost.reason,
        "message": "This VEN cannot authenticate. Uninstall or reinstall it on its workload by"
        " hand.",
        "src_ip": source_ip,
    }
    return journal(stores, org_id, SYSTEM, now).event(
        "lost_agent.found",
        severity="warning",
        status=None,
        notifications=[Notification("lost_agent.found", info)],
    )


def _change_status(
    token: AgentToken,
    status: Status,
    event_type: str,
    stores: Stores,
    now: int,
    source_ip: str,
) -> None:
    before = stores.presence.sign_of_life(token, now)
    records = VenRecords.read(stores, before.org_id, before.ven_id)
    ven = {"status": status, **without_condition(records.ven.document, MISSED_HEARTBEATS)}
    puts, _ = records.changed({"online": True}, ven)
    presence = PresenceChange(
        before.ven_id,
        expected_flags=flags_text(before.flags),
        flags=flags_text(before.flags - SILENT),
        status=status,
    )
    event = records.journal(stores, now, ven_action("POST", 204, source_ip)).event(event_type)
    came_back = not records.workload.document.get("online")
    stores.objects.commit(
        records.change(puts, [event], presence, policy_reason="online" if came_back else "")
    )
