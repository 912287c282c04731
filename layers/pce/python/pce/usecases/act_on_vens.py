"""Remote actions: have VENs restart."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import Notification
from pce.presence.actions import entry, with_action
from pce.presence.record import Presence
from pce.store.change import Change, PresenceChange
from pce.usecases.announce_actions import announce_actions
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import Target, on_each

REMOTE_ACTIONS = ("restart",)


def act_on_vens(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all will do it with their
    next heartbeat. Another request before that changes nothing."""
    said = body.get("action") if isinstance(body, Mapping) else None
    if said not in REMOTE_ACTIONS:
        message = f"action must be one of {', '.join(REMOTE_ACTIONS)}, not {str(said)[:64]!r}"
        raise Invalid(Problem("invalid_attribute", message, "action"))
    told: list[Presence] = []

    def act(batch: Sequence[Target]) -> None:
        rows = [target.row for target in batch if target.row is not None]
        event = caller.journal(stores, 200).event(
            "agent.update",
            changes=[target.changed for target in batch],
            notifications=[Notification("agent.request_restart")],
        )
        presence = tuple(
            PresenceChange(
                row.ven_id,
                actions=with_action(row.actions, entry("restart", "", secrets.token_hex(4))),
            )
            for row in rows
        )
        stores.objects.commit(Change(caller.org_id, presence=presence, events=(event,)))
        told.extend(rows)

    result = on_each(caller, body, stores, act)
    announce_actions(caller.org_id, told, "restart", stores, caller.now)
    return result
