"""A heartbeat: authenticate, remember, answer; write more only when something changed."""

from pce.events.journal import ResourceChange, ven_actor
from pce.identifiers import OrgId, ven_href, workload_href
from pce.presence.heartbeat import facts_hash, sign_of_life, without_done
from pce.presence.record import Presence, flags_text
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.timestamps import rfc3339
from pce.usecases.stores import Stores, journal
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
    stored = stores.objects.get(before.org_id, "workloads", str(before.ven_id))
    record = stores.objects.get(before.org_id, "vens", str(before.ven_id))
    if stored is None or record is None:
        return  # unpaired meanwhile: nothing that could be written about it
    workload, ven = dict(stored.document), dict(record.document)
    was_online = bool(workload.get("online"))
    workload["online"] = True
    if host is not None:
        for target, values in ((workload, _workload_facts(host)), (ven, _ven_facts(host))):
            target.update(values)
    changes = {
        name: {"before": stored.document.get(name), "after": workload[name]}
        for name in workload
        if workload[name] != stored.document.get(name)
    }
    write = journal(
        stores,
        before.org_id,
        ven_actor(before.org_id, before.ven_id, ven.get("hostname") or "", ven.get("agent_id", 0)),
        now,
    )
    event_type = "workload.online" if before.flags else "agent.update"
    resource = {
        "href": workload_href(before.org_id, before.ven_id),
        "name": workload.get("name"),
        "hostname": workload.get("hostname"),
    }
    puts = []
    if workload != stored.document:
        puts.append(Put("workloads", stored.id, workload, stored.rev))
    if ven != record.document:
        puts.append(Put("vens", record.id, ven, record.rev))
    presence = ()
    if before.flags:
        presence = (
            PresenceChange(
                before.ven_id, expected_flags=flags_text(before.flags), flags="", status="a"
            ),
        )
    if not puts and not presence:
        return
    back = PolicyChange("online", (ven_href(before.org_id, before.ven_id),))
    stores.objects.commit(
        Change(
            OrgId(before.org_id),
            puts=tuple(puts),
            presence=presence,
            events=(
                write.event(
                    event_type,
                    changes=[ResourceChange("workload", resource, "update", changes)],
                ),
            ),
            policy_changes=() if was_online else (back,),
        )
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
