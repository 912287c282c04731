"""Remote actions: have VENs restart."""

from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import Notification
from pce.usecases.ask_vens import ask_vens
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

REMOTE_ACTIONS = ("restart",)


def act_on_vens(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all will do it with their
    next heartbeat. Another request before that changes nothing."""
    said = body.get("action") if isinstance(body, Mapping) else None
    if said not in REMOTE_ACTIONS:
        message = f"action must be one of {', '.join(REMOTE_ACTIONS)}, not {str(said)[:64]!r}"
        raise Invalid(Problem("invalid_attribute", message, "action"))
    notification = Notification(f"agent.request_{said}")
    return ask_vens(caller, body, said, "agent.update", lambda batch: notification, stores)
