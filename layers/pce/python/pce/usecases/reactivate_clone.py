"""A copy of a machine becomes a VEN of its own, with what its original is: labels and mode."""

import uuid

from pce.errors import NotAllowed, NotFound, Problem
from pce.events.journal import ResourceChange, ven_actor
from pce.identifiers import OrgId, ven_href, workload_href
from pce.objects.reported_interfaces import check_interfaces
from pce.objects.ven import VENS, new_ven
from pce.objects.ven_conditions import CLONE_DETECTED, without_condition
from pce.objects.workload import new_managed_workload
from pce.presence.heartbeat import with_clocks
from pce.presence.record import flags_text
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.store.presence import token_hash
from pce.usecases.stores import Stores, journal
from pce.usecases.ven_records import VenRecords, ven_action
from ven_protocol.messages import Activated, Reactivate
from ven_protocol.paths import AgentToken


def reactivate_clone(
    token: AgentToken, wish: Reactivate, stores: Stores, now: int, source_ip: str = ""
) -> Activated:
    """Pair the machine that sent this as a new VEN, and take the condition from the original.

    Asked again (the reply was lost) it is the same VEN with another token. Raises
    :class:`NotAllowed` unless a clone was detected, the org wants clones to be paired anew and the
    machine is another than the one that activated; :class:`Invalid` for an address that is none.
    """
    before = stores.presence.sign_of_life(token, now)
    records = VenRecords.read(stores, before.org_id, before.ven_id)
    original, machine_id = records.ven.document, wish.host.machine_id
    wanted = stores.objects.get(before.org_id, "settings", "org")
    allowed = bool(wanted and wanted.document.get("automatic_clone_reactivation"))
    if not (allowed and machine_id and machine_id != original.get("machine_id")):
        message = "this machine is not known as a clone that is to be paired anew"
        raise NotAllowed(Problem("not_a_clone", message))
    check_interfaces(wish.interfaces)
    ven_id = uuid.uuid5(before.ven_id, machine_id)
    new = AgentToken.new(before.org_id, ven_id)
    if stores.presence.get(before.org_id, ven_id) is None:
        _create(before.org_id, ven_id, new, records, wish, stores, now, source_ip)
    else:
        again = PresenceChange(ven_id, token_hash=token_hash(new.secret))
        stores.objects.commit(Change(before.org_id, presence=(again,)))
    _forgive(before.org_id, before.ven_id, stores)
    return Activated(
        org_id=before.org_id,
        ven_href=ven_href(before.org_id, ven_id),
        workload_href=workload_href(before.org_id, ven_id),
        agent_token=str(new),
        settings=with_clocks(stores.ven_settings, before.clocks),
        etag="",
    )


def _create(
    org_id: OrgId,
    ven_id: uuid.UUID,
    token: AgentToken,
    original: VenRecords,
    wish: Reactivate,
    stores: Stores,
    now: int,
    source_ip: str,
) -> None:
    source = original.workload.document
    row = stores.presence.get(org_id, original.ven_id)
    if row is None:
        raise NotFound(Problem("ven_not_found", f"VEN {original.ven_id} was removed"))
    agent_id = stores.objects.next_id(org_id, "agents")
    workload = new_managed_workload(
        org_id=org_id,
        ven_id=ven_id,
        host=wish.host,
        interfaces=wish.interfaces,
        label_hrefs=[label["href"] for label in source.get("labels") or ()],
        enforcement_mode=source["enforcement_mode"],
        visibility_level=source["visibility_level"],
        ven_type=row.ven_type,
        cluster=source.get("container_cluster"),
        agent_id=agent_id,
        now=now,
    )
    ven = new_ven(
        org_id=org_id,
        ven_id=ven_id,
        host=wish.host,
        ven_type=row.ven_type,
        machine_id=wish.host.machine_id,
        pairing_profile_href=original.ven.document["pairing_profile"]["href"],
        agent_id=agent_id,
        now=now,
    )
    created = ResourceChange(
        "workload",
        {"href": workload["href"], "name": None, "hostname": wish.host.hostname},
        "create",
        {"cloned_from": {"before": None, "after": source["href"]}},
    )
    actor = ven_actor(org_id, ven_id, wish.host.hostname, agent_id)
    action = ven_action("POST", 201, source_ip)
    event = journal(stores, org_id, actor, now, action).event(
        "agent.activate_clone", changes=[created]
    )
    presence = PresenceChange(
        ven_id,
        create_at=now,
        token_hash=token_hash(token.secret),
        ven_type=row.ven_type,
        clocks=row.clocks,
    )
    stores.objects.commit(
        Change(
            org_id,
            puts=(Put("workloads", str(ven_id), workload), Put(VENS.name, str(ven_id), ven)),
            presence=(presence,),
            events=(event,),
            policy_changes=(PolicyChange("activate", (workload["href"],)),),
        )
    )


def _forgive(org_id: OrgId, ven_id: uuid.UUID, stores: Stores) -> None:
    """The original is alone again."""
    row = stores.presence.get(org_id, ven_id)
    records = VenRecords.read(stores, org_id, ven_id)
    puts, _ = records.changed(ven=without_condition(records.ven.document, CLONE_DETECTED))
    if row is not None and "cloned" in row.flags:
        flags = flags_text(row.flags - {"cloned"})
        alone = PresenceChange(ven_id, expected_flags=flags_text(row.flags), flags=flags)
        stores.objects.commit(records.change(puts, (), alone))
