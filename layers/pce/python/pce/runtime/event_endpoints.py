"""What the endpoints of audit events do."""

from pce.runtime.api_call import Call, listed, ok
from pce.runtime.http import Reply
from pce.usecases import read_events
from pce.usecases.read_objects import Page


def list_events(call: Call) -> Reply:
    """GET events: newest first."""

    def read(limit: int | None) -> Page:
        events = read_events.list_events(call.caller, call.query, call.stores, limit)
        return Page(events, len(events))

    return listed(call, read, read_events.DEFAULT_EVENTS)


def get_event(call: Call) -> Reply:
    """GET events/{id}."""
    return ok(read_events.get_event(call.caller, call.id, call.stores))
