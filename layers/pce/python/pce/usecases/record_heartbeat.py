"""A heartbeat: authenticate, remember, answer; write more only when something changed."""

from pce.errors import NotFound
from pce.presence.heartbeat import facts_hash, sign_of_life, without_done
from pce.presence.record import Presence, flags_text
from pce.store.change import PresenceChange
from pce.timestamps import rfc3339
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords
from ven_protocol.messages import Action, Heartbeat, HeartbeatReply, HostFacts
from ven_protocol.paths import AgentToken


def record_heartbeat(
    token: AgentToken, heartbeat: Heartbeat, stores: Stores, now: int, flow_seq: int | None = None
) -> HeartbeatReply:
    """Record a heartbeat and say what the VEN should hold and do.

    One conditional write and no read, unless the VEN came back, its host facts changed or an
    action was done. Raises :class:`Unauthenticated` for a token that is not valid.
    """
    facts = facts_hash(heartbeat.host)
    before = stores.presence.sign_of_life(
        token,
        now,
        applied_etag=heartbeat.applied_etag,
        uptime_s=heartbeat.uptime_seconds,
        flow_seq=flow_seq,
    )
    meaning = sign_of_life(before, facts)
    if meaning.came_back or meaning.facts_changed:
        record_return_and_facts(before, stores, now, heartbeat.host)
    if meaning.facts_changed:
        # Only now: had the writes above failed, the next heartbeat must see the difference again.
        stores.presence.set_facts_hash(before.org_id, before.ven_id, facts)
    actions = meaning.actions
    if heartbeat.done_actions:
        left = without_done(before.actions, heartbeat.done_actions)
        if left != before.actions:
            stores.presence.set_actions(before.org_id, before.ven_id, before.actions, left)
        actions = tuple(a for a in actions if a.id not in heartbeat.done_actions)
    return reply_to(before, stores, now, actions=list(actions))


def reply_to(
    before: Presence, stores: Stores, now: int, actions: list[Action] | None = None
) -> HeartbeatReply:
    """The answer to a sign of life of a VEN whose row was ``before``."""
    return HeartbeatReply(
        etag=before.target_etag,
        server_time=rfc3339(now),
        next_heartbeat_s=stores.ven_settings.intervals.heartbeat_s,
        actions=actions or [],
    )


def record_return_and_facts(
    before: Presence, stores: Stores, now: int, host: HostFacts | None = None
) -> None:
    """Write that a VEN is back and what changed on its host, in one transaction.

    Runs again with the next sign of life if it fails, since the flags stay until it succeeded.
    A VEN that was offline enters its peers' policy again.
    """
    try:
        records = VenRecords.read(stores, before.org_id, before.ven_id)
    except NotFound:
        return  # unpaired meanwhile: nothing is left that could be written
    workload = {"online": True, **(_workload_facts(host) if host else {})}
    puts, changes = records.changed(workload, _ven_facts(host) if host else {})
    presence = None
    if before.flags:
        presence = PresenceChange(
            before.ven_id, expected_flags=flags_text(before.flags), flags="", status="a"
        )
    if not puts and presence is None:
        return
    event_type = "workload.online" if before.flags else "agent.update"
    event = records.journal(stores, now).event(event_type, changes=changes)
    came_back = not records.workload.document.get("online")
    stores.objects.commit(
        records.change(puts, [event], presence, policy_reason="online" if came_back else "")
    )


def _workload_facts(host: HostFacts) -> dict[str, str | None]:
    return {
        "hostname": host.hostname,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_type": host.os_platform,
        "public_ip": host.public_ip,
    }


def _ven_facts(host: HostFacts) -> dict[str, str | None]:
    return {
        "hostname": host.hostname,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_platform": host.os_platform,
        "version": host.version,
    }
