"""A heartbeat: authenticate, remember, answer; write more only when something changed."""

from pce.presence.actions import without
from pce.presence.heartbeat import facts_hash, instance_of, sign_of_life, with_clocks
from pce.presence.record import Presence
from pce.timestamps import rfc3339
from pce.usecases.current_etag import current_etag
from pce.usecases.notice_clone import notice_clone
from pce.usecases.record_return import record_return_and_facts
from pce.usecases.stores import Stores
from ven_protocol.messages import Heartbeat, HeartbeatReply, settings_digest
from ven_protocol.paths import AgentToken


def record_heartbeat(
    token: AgentToken, heartbeat: Heartbeat, stores: Stores, now: int
) -> HeartbeatReply:
    """Record a heartbeat and say what the VEN should hold and do.

    One conditional write; for a VEN with wide parts at most one cached read; more only when the VEN
    came back, its host was booted, its host facts changed or an action was done. Raises
    :class:`Unauthenticated` for a token that is not valid.
    """
    facts = facts_hash(heartbeat)
    instance = instance_of(heartbeat.host)
    before = stores.presence.sign_of_life(
        token,
        now,
        attributes={"mi": {"B": instance}} if instance else None,
        applied_etag=heartbeat.applied_etag,
        uptime_s=heartbeat.uptime_seconds,
        remove=("bo",),  # the reply says what a bolt would
    )
    meaning = sign_of_life(before, facts, instance)
    if meaning.came_back or meaning.facts_changed:
        written = record_return_and_facts(before, stores, now, heartbeat)
        if written and meaning.facts_changed:
            # Only now: were they not written, the next heartbeat must see the difference again.
            stores.presence.set_facts_hash(before.org_id, before.ven_id, facts)
    actions = meaning.actions
    if meaning.moved or "cloned" in before.flags:
        actions += notice_clone(before, meaning, heartbeat, stores, now)
    if heartbeat.done_actions:
        left = without(before.actions, heartbeat.done_actions)
        if left != before.actions and _settled(before, heartbeat, stores, now):
            stores.presence.set_actions(before.org_id, before.ven_id, before.actions, left)
        actions = tuple(a for a in actions if a.id not in heartbeat.done_actions)
    settings = with_clocks(stores.ven_settings, before.clocks)
    known = heartbeat.settings_digest in ("", settings_digest(settings))
    return HeartbeatReply(
        etag=current_etag(before, heartbeat.applied_etag, stores),
        server_time=rfc3339(now),
        next_heartbeat_s=settings.intervals.heartbeat_s,
        actions=list(actions),
        settings=None if known else settings,
    )


def _settled(before: Presence, heartbeat: Heartbeat, stores: Stores, now: int) -> bool:
    from pce.usecases.settle_actions import settle_actions  # rare: not in a cold start's way

    return settle_actions(before, heartbeat, stores, now)
