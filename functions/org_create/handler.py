"""Invoked by the operator (IAM): creates an organization and shows its secrets once, or gives an
organization an owner."""

from dataclasses import asdict
from typing import Any

from pce.errors import Invalid, Problem
from pce.runtime.clock import now_s
from pce.runtime.http import Event
from pce.runtime.wiring import wiring
from pce.usecases.create_org import create_org
from pce.usecases.restore_owner import restore_owner


def handler(event: Event, context: object) -> dict[str, Any]:
    """``{"name", "request_id"?}`` -> ids and secrets of the new org;
    ``{"org_id", "owner"?}`` -> who owns that org now: the user of this name, or its first user.

    With a ``request_id``, an invocation that is repeated fails with ``org_already_created`` rather
    than making a second org. Errors reach the caller as the function's error.
    """
    if "org_id" in event:
        org_id, owner = event["org_id"], event.get("owner") or ""
        if type(org_id) is not int or not isinstance(owner, str):
            message = "org_id must be a number (and owner, if given, a text)"
            raise Invalid(Problem("invalid_attribute", message))
        return asdict(restore_owner(org_id, owner, wiring(), now_s()))
    name, request_id = event.get("name"), event.get("request_id") or ""
    if not isinstance(name, str) or not isinstance(request_id, str):
        problem = Problem("invalid_attribute", "name (and request_id, if given) must be texts")
        raise Invalid(problem)
    return asdict(create_org(name, request_id, wiring(), now_s()))
