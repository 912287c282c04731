"""What a sign of life means, given what was known of the VEN before it."""

import hashlib
from dataclasses import dataclass

import msgspec

from pce.presence.actions import pending_actions
from pce.presence.record import SILENT, Clocks, Presence
from ven_protocol.messages import Action, Heartbeat, HostFacts, Settings


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """What follows from one accepted request of a VEN."""

    came_back: bool
    """It was offline, warned about or lost: write the return."""
    was_offline: bool
    """It was out of its peers' policy: they must be computed again."""
    moved: bool
    """Another machine, or another boot of it, than was heard last."""
    cloned: bool
    """It was heard before the last one: two machines take turns."""
    facts_changed: bool
    """Its host facts differ from the stored ones: write them."""
    actions: tuple[Action, ...]


def facts_hash(heartbeat: Heartbeat) -> bytes:
    """64 bits that change when a fact that is stored does: the host's, the agent's mode, its
    health. Uptime is no fact: it always changes."""
    facts = (heartbeat.host, heartbeat.agent_mode, heartbeat.health)
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).digest()[:8]


def instance_of(host: HostFacts) -> bytes:
    """40 bits that name the machine and its boot; empty when it tells neither."""
    if not host.machine_id and not host.boot_id:
        return b""
    return hashlib.sha256(f"{host.machine_id}/{host.boot_id}".encode()).digest()[:5]


def sign_of_life(
    before: Presence, new_facts_hash: bytes | None, instance: bytes = b""
) -> SignOfLife:
    """Decide what a request means; ``before`` is the row as it was until this request.

    ``new_facts_hash`` is None for requests that carry no host facts. Pure; no cost.
    """
    moved = bool(instance and before.instance) and instance != before.instance
    was_offline = "offline" in before.flags
    return SignOfLife(
        came_back=bool(before.flags & SILENT),
        was_offline=was_offline,
        moved=moved,
        cloned=moved and instance == before.earlier_instance,
        facts_changed=new_facts_hash is not None and new_facts_hash != before.facts_hash,
        actions=pending_actions(before.actions),
    )


def with_clocks(settings: Settings, clocks: Clocks | None) -> Settings:
    """The installation's settings, with a VEN's own clocks where it has any."""
    if clocks is None:
        return settings
    intervals = msgspec.structs.replace(
        settings.intervals, heartbeat_s=clocks.heartbeat_s, flows_s=clocks.flows_s
    )
    return msgspec.structs.replace(
        settings, intervals=intervals, maintenance_token_required=clocks.token_required
    )
