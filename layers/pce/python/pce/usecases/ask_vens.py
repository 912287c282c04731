"""Have many VENs carry out one action: it waits for each, and those that are connected are told."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from pce.events.journal import Notification
from pce.presence.actions import entry, with_action
from pce.presence.record import Presence
from pce.store.change import Change, PresenceChange
from pce.usecases.announce_actions import announce_actions
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import Target, on_each
from ven_protocol.messages import ActionType


def ask_vens(
    caller: Caller,
    body: Any,
    action: ActionType,
    event_type: str,
    said: Callable[[Sequence[Target]], Notification],
    stores: Stores,
) -> dict[str, Any]:
    """``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all were asked.

    ``action`` is a type of ``ven_protocol.messages.Action`` without parameters; ``said`` what the
    event of each ``TOGETHER`` VENs tells of them. VENs with a bolt connection hear of it at once,
    others with their next heartbeat. Raises :class:`~pce.errors.Invalid` as ``on_each`` does.
    """
    told: list[Presence] = []

    def ask(batch: Sequence[Target]) -> None:
        rows = [target.row for target in batch if target.row is not None]
        event = caller.journal(stores, 200).event(
            event_type,
            changes=[target.changed for target in batch],
            notifications=[said(batch)],
        )
        presence = tuple(
            PresenceChange(
                row.ven_id,
                actions=with_action(row.actions, entry(action, "", secrets.token_hex(4))),
            )
            for row in rows
        )
        stores.objects.commit(Change(caller.org_id, presence=presence, events=(event,)))
        told.extend(rows)

    result = on_each(caller, body, stores, ask)
    announce_actions(caller.org_id, told, action, stores, caller.now)
    return result
