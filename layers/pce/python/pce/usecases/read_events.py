"""Audit events, newest first."""

import itertools
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.identifiers import INSTALLATION
from pce.objects.filters import Filter, equals, time_of
from pce.objects.hrefs import item_id
from pce.objects.settings import EVENT_SETTINGS
from pce.usecases.caller import Caller
from pce.usecases.change_settings import read_settings
from pce.usecases.stores import Stores

DEFAULT_EVENTS = 100
MOST_EVENTS = 10_000
"""Events in one answer; further back is asked for by time."""

_EXACT = ("severity", "status")


def list_events(
    caller: Caller, query: Mapping[str, str], stores: Stores, wanted: int | None = None
) -> list[dict[str, Any]]:
    """So many events that match (None: ``MOST_EVENTS``), newest first. Reads from the newest day
    back until there are enough, but no further than the org has existed or its events are kept:
    one query a day.

    ``event_type`` may hold ``*`` for any text. ``created_by`` is an actor's kind (``system``,
    ``user``, ``ven``, ``agent``) or href.
    """
    limit = MOST_EVENTS if wanted is None else min(wanted, MOST_EVENTS)
    times = {
        end: time_of(query[f"timestamp[{end}]"], f"timestamp[{end}]")
        for end in ("gte", "lte")
        if query.get(f"timestamp[{end}]")
    }
    filters = [equals(name)(query[name]) for name in _EXACT if query.get(name)]
    if query.get("event_type"):
        filters.append(_of_type(query["event_type"]))
    by = query.get("created_by")
    oldest = _oldest(caller, stores)
    since = max(times.get("gte", oldest), oldest)
    events = stores.events.newest_first(caller.org_id, since, times.get("lte"))
    matching = (
        event
        for event in events
        if all(fits(event) for fits in filters) and (not by or _is_by(event, by))
    )
    return list(itertools.islice(matching, limit))


def _oldest(caller: Caller, stores: Stores) -> datetime:
    """Before this time the org has no events."""
    kept_s = read_settings(caller, EVENT_SETTINGS, stores)["audit_event_retention_seconds"]
    oldest = datetime.fromtimestamp(caller.now - kept_s, UTC)
    org = stores.objects.get(INSTALLATION, "orgs", item_id(str(caller.org_id)))
    return max(oldest, time_of(org.document["created_at"], "created_at")) if org else oldest


def get_event(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One event. Raises :class:`NotFound`."""
    try:
        event = stores.events.get(caller.org_id, uuid.UUID(id))
    except ValueError as error:
        problem = Problem("invalid_event_id", f"{id!r} is no UUID")
        raise Invalid(problem) from error
    if event is None or time_of(event["timestamp"], "timestamp") < _oldest(caller, stores):
        raise NotFound(Problem("event_not_found", f"there is no event {id}, or it has expired"))
    return event


def _of_type(wanted: str) -> Filter:
    """Events of a type; ``*`` stands for any text in it (``workload.*``, ``*.delete``)."""
    return lambda event: fnmatchcase(str(event["event_type"]), wanted.replace("[", "[[]"))


def _is_by(event: Mapping[str, Any], who: str) -> bool:
    created_by: Mapping[str, Any] = event["created_by"]
    return who in created_by or any(a.get("href") == who for a in created_by.values())
