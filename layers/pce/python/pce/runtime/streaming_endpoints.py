"""Endpoints of the management API for the destinations of the streams."""

from collections.abc import Mapping
from typing import Any

from pce.objects.syslog_destination import SYSLOG_DESTINATIONS
from pce.runtime.api_call import Call, created, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import read_objects
from pce.usecases.stream_destinations import (
    create_destination,
    delete_destination,
    delivery_of,
    update_destination,
)


def list_destinations(call: Call) -> Reply:
    """GET settings/syslog/destinations."""
    page = read_objects.list_objects(call.caller, SYSLOG_DESTINATIONS, {}, call.stores, None)
    return whole(call, [_shown(call, document) for document in page.documents])


def get_destination(call: Call) -> Reply:
    """GET settings/syslog/destinations/{id}: with how it fares, as ``delivery``."""
    found = read_objects.get_object(call.caller, SYSLOG_DESTINATIONS, call.id, {}, call.stores)
    return ok(_shown(call, found))


def create(call: Call) -> Reply:
    """POST settings/syslog/destinations."""
    document = create_destination(call.caller, call.body, call.stores)
    return created(_shown(call, SYSLOG_DESTINATIONS.shown(document)))


def update(call: Call) -> Reply:
    """PUT settings/syslog/destinations/{id}."""
    update_destination(call.caller, call.id, call.body, call.stores)
    return no_content()


def delete(call: Call) -> Reply:
    """DELETE settings/syslog/destinations/{id}."""
    delete_destination(call.caller, call.id, call.stores)
    return no_content()


def _shown(call: Call, document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "delivery": delivery_of(call.caller, document, call.stores)}
