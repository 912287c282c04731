"""Unpair VENs: their workloads leave policy at once, the VENs are told to go."""

from collections.abc import Mapping, Sequence
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import Notification, ResourceChange
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.presence.actions import entry, with_action
from pce.presence.record import Presence
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.usecases.announce_actions import announce_actions
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import Target, on_each

FIREWALL_RESTORE = ("saved", "default", "disable", "recommended", "open")
"""What the VEN leaves behind, in the words of the API and of the VEN's command line."""


def unpair_vens(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all were unpaired.

    The token of a VEN keeps working until the VEN has confirmed, so that it can learn of it.
    """
    restore = _restore(body)
    told: list[Presence] = []

    def act(batch: Sequence[Target]) -> None:
        stores.objects.commit(_unpaired(caller, batch, restore, stores))
        told.extend(target.row for target in batch if target.row is not None)

    result = on_each(caller, body, stores, act)
    announce_actions(caller.org_id, told, "unpair", stores, caller.now)
    return result


def _unpaired(caller: Caller, batch: Sequence[Target], restore: str, stores: Stores) -> Change:
    puts: list[Put] = []
    presence: list[PresenceChange] = []
    for target in batch:
        workload, ven, row = target.workload, target.ven, target.row
        gone = {**workload.document, **caller.updated(), "deleted_at": caller.at}
        gone |= {"deleted": True, "online": False}
        uninstalled = {**ven.document, **caller.updated(), "status": "uninstalled", "deleted": True}
        puts.append(Put(WORKLOADS.name, workload.id, gone, workload.rev))
        puts.append(Put(VENS.name, ven.id, uninstalled, ven.rev))
        if row is not None:
            actions = with_action(row.actions, entry("unpair", restore))
            presence.append(
                PresenceChange(
                    row.ven_id,
                    actions=actions,
                    unpaired_at=caller.now_s,
                    upgrade_expires_at=0,
                )
            )
    documents = [target.workload.document for target in batch]
    event = caller.journal(stores, 200).event(
        "agents.unpair",
        changes=[
            ResourceChange(WORKLOADS.kind, WORKLOADS.in_event(document), "delete", {})
            for document in documents
        ],
        notifications=[Notification("agents.unpair", {"firewall_restore": restore})],
    )
    hrefs = tuple(str(document["href"]) for document in documents)
    return Change(
        caller.org_id,
        puts=tuple(puts),
        presence=tuple(presence),
        releases=tuple(name for document in documents for name in WORKLOADS.claims(document)),
        events=(event,),
        policy_changes=(PolicyChange("unpair", hrefs),),
    )


def _restore(body: Any) -> str:
    said = body.get("firewall_restore") or "saved" if isinstance(body, Mapping) else "saved"
    if said not in FIREWALL_RESTORE:
        message = f"firewall_restore must be one of {', '.join(FIREWALL_RESTORE)}, not {said!r}"
        raise Invalid(Problem("invalid_attribute", message, "firewall_restore"))
    return str(said)
