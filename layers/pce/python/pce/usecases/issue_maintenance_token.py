"""A maintenance token for one VEN: shown once, its digest told to the VEN."""

import uuid
from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import Notification, ResourceChange
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.presence.actions import entries, entry
from pce.store.change import Change, PresenceChange
from pce.timestamps import rfc3339
from pce.usecases.announce_actions import announce_actions
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.stores import Stores
from pce.usecases.write_object import find, refuse_deleted, until_settled
from ven_protocol.maintenance import Accepted, digest_of, new_token

DEFAULT_S = 3600
"""Long enough to walk to a machine."""
LONGEST_S = 7 * 86_400
SHORTEST_S = 60
MAX_WAITING = 4
"""Tokens that a VEN has not been told yet; each is in its presence row until then."""


def issue_maintenance_token(
    caller: Caller, ven_id: str, body: Any, stores: Stores
) -> dict[str, Any]:
    """``{"token", "expires_at", "ven"}``; ``expires_in_seconds`` in the body says how long it is
    good. The VEN knows it after its next heartbeat, for which it gets a bolt. Raises
    :class:`NotFound` and :class:`Invalid`."""
    expires_at = caller.now_s + _lifetime_s(body)
    token = new_token()
    accepted = Accepted(digest_of(token), expires_at)

    def attempt() -> None:
        stored = find(caller, VENS, ven_id, stores)
        refuse_deleted(VENS, stored)
        workload = find(caller, WORKLOADS, ven_id, stores)
        ScopeCheck(caller, stores).require(WORKLOADS, workload.document)
        row = stores.presence.get(caller.org_id, uuid.UUID(ven_id))
        waiting = [e for e in entries(row.actions) if e.kind == "maintenance_token"] if row else []
        if row is None or len(waiting) >= MAX_WAITING:
            message = "the VEN has not fetched the tokens before this one; is it connected?"
            raise Invalid(Problem("too_many_maintenance_tokens", message))
        event = caller.journal(stores, 201).event(
            "agent.generate_maintenance_token",
            changes=[ResourceChange(VENS.kind, VENS.in_event(stored.document), "update", {})],
            notifications=[
                Notification(
                    "agent.generate_maintenance_token", {"expires_at": rfc3339(expires_at)}
                )
            ],
        )
        actions = ",".join(filter(None, (row.actions, entry("maintenance_token", str(accepted)))))
        change = PresenceChange(row.ven_id, actions=actions)
        stores.objects.commit(Change(caller.org_id, presence=(change,), events=(event,)))
        announce_actions(caller.org_id, [row], "maintenance_token", stores, caller.now)

    until_settled(attempt)
    return {
        "token": token,
        "expires_at": rfc3339(expires_at),
        "ven": {"href": caller.path(VENS.name, ven_id)},
    }


def _lifetime_s(body: Any) -> int:
    said = body.get("expires_in_seconds", DEFAULT_S) if isinstance(body, Mapping) else DEFAULT_S
    if isinstance(said, bool) or not isinstance(said, int) or not SHORTEST_S <= said <= LONGEST_S:
        message = f"expires_in_seconds must be a whole number from {SHORTEST_S} to {LONGEST_S}"
        raise Invalid(Problem("invalid_attribute", message, "expires_in_seconds"))
    return said
