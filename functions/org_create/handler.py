"""Invoked by the operator (IAM): creates an organization and shows its secrets once."""

from dataclasses import asdict
from typing import Any

from pce.errors import Invalid, Problem
from pce.runtime.clock import now_s
from pce.runtime.http import Event
from pce.runtime.wiring import wiring
from pce.usecases.create_org import create_org


def handler(event: Event, context: object) -> dict[str, Any]:
    """``{"name", "request_id"?}`` -> ids and secrets of the new org.

    With a ``request_id``, an invocation that is repeated fails with ``org_already_created`` rather
    than making a second org. Errors reach the caller as the function's error.
    """
    name, request_id = event.get("name"), event.get("request_id") or ""
    if not isinstance(name, str) or not isinstance(request_id, str):
        problem = Problem("invalid_attribute", "name (and request_id, if given) must be texts")
        raise Invalid(problem)
    return asdict(create_org(name, request_id, wiring(), now_s()))
