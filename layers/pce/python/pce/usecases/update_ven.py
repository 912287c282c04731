"""Change a VEN's name or description, or mark it as suspended or active."""

import uuid
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import ResourceChange
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.presence.record import flags_text
from pce.store.change import Change, PresenceChange, Put
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.stores import Stores
from pce.usecases.write_object import find, refuse_deleted, until_settled

_EVENTS = {"active": "agent.unsuspend", "suspended": "agent.suspend"}


def update_ven(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    """Store the change. A VEN that is marked suspended stays in policy without heartbeats; the
    firewall on its host is only removed by its own command.

    Raises :class:`NotFound` and :class:`Invalid`.
    """
    until_settled(lambda: _update(caller, id, body, stores))


def _update(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    stored = find(caller, VENS, id, stores)
    refuse_deleted(VENS, stored)
    workload = find(caller, WORKLOADS, id, stores)
    ScopeCheck(caller, stores).require(WORKLOADS, workload.document)
    after = VENS.changed_document(stored.document, body)
    if after == stored.document:
        return
    status = after["status"]
    presence: tuple[PresenceChange, ...] = ()
    event_type = "agent.update"
    if status != stored.document["status"]:
        row = stores.presence.get(caller.org_id, uuid.UUID(id))
        if row is None:
            message = f"{stored.document['href']} has no presence row; it is being uninstalled"
            raise Invalid(Problem("ven_already_deleted", message))
        presence = (
            PresenceChange(row.ven_id, expected_flags=flags_text(row.flags), status=status),
        )
        event_type = _EVENTS[status]
    changed = ResourceChange(
        VENS.kind, VENS.in_event(after), "update", VENS.changes(stored.document, after)
    )
    event = caller.journal(stores, 204).event(event_type, changes=[changed])
    put = Put(VENS.name, stored.id, {**after, **caller.updated()}, stored.rev)
    stores.objects.commit(Change(caller.org_id, puts=(put,), presence=presence, events=(event,)))
