"""The destinations of an org's records: the archive, and its syslog destinations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import INSTALLATION, OrgId, tail
from pce.objects.hrefs import item_id
from pce.objects.settings import EVENT_SETTINGS
from pce.objects.syslog_destination import SYSLOG_DESTINATIONS
from pce.store import arrivals, event_log
from pce.store.syslog import Receiver, tls_context
from pce.streaming.lanes import ARCHIVE, Lane, Progress
from pce.streaming.records import EVENTS, FLOWS, SOURCES
from pce.usecases.caller import Caller
from pce.usecases.create_object import create_object
from pce.usecases.delete_object import delete_object
from pce.usecases.stores import Stores
from pce.usecases.update_object import update_object

MAX_DESTINATIONS = 16
"""Of one org: each costs the work of reading everything again."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an org's records go, from when on."""

    org_id: OrgId
    id: str
    since: int
    """Epoch seconds at which it was made: what is older is not sent."""
    settings: Mapping[str, Any] | None = None
    """None for the archive."""

    def lanes(self) -> Iterator[Lane]:
        """Its way through each source."""
        return (Lane(self.org_id, self.id, source) for source in SOURCES)

    def beginning(self, source: str) -> Progress:
        """The progress of a lane that has none yet."""
        first = event_log.first_position if source == EVENTS else arrivals.first_position
        return Progress(first(self.since))

    @property
    def receiver(self) -> Receiver:
        """Where a syslog destination listens."""
        remote = (self.settings or {})["remote_syslog"]
        return Receiver(
            remote["address"],
            remote["port"],
            remote["protocol"],
            bool(remote.get("tls_enabled")),
            remote.get("tls_ca_bundle") or "",
            remote.get("framing") or "octet_counting",
        )


def destinations_of(org_id: OrgId, org: Mapping[str, Any], stores: Stores) -> list[Destination]:
    """An org's destinations, the archive first where there is one. One query."""
    archive = [Destination(org_id, ARCHIVE, _epoch_s(org["created_at"]))]
    found = stores.objects.all_of(org_id, SYSLOG_DESTINATIONS.stored_in)
    return (archive if stores.archive_streams.exists else []) + [
        Destination(org_id, stored.id, _epoch_s(stored.document["created_at"]), stored.document)
        for stored in found
    ]


def destination_of(lane: Lane, stores: Stores) -> Destination | None:
    """The destination of a lane; None when it is gone. One read."""
    if lane.destination == ARCHIVE:
        org = stores.objects.get(INSTALLATION, "orgs", item_id(str(lane.org_id)))
        if org is None or not stores.archive_streams.exists:
            return None
        return Destination(lane.org_id, ARCHIVE, _epoch_s(org.document["created_at"]))
    stored = stores.objects.get(lane.org_id, SYSLOG_DESTINATIONS.stored_in, lane.destination)
    if stored is None:
        return None
    since = _epoch_s(stored.document["created_at"])
    return Destination(lane.org_id, stored.id, since, stored.document)


def event_settings(org_id: OrgId, stores: Stores) -> Mapping[str, Any]:
    """Format and least severity of the org's syslog. One read."""
    stored = stores.objects.get(org_id, "settings", EVENT_SETTINGS.name)
    return {**EVENT_SETTINGS.defaults, **(stored.document if stored else {})}


def oldest_waiting(lane: Lane, progress: Progress, now: int, stores: Stores) -> int | None:
    """Epoch second of the first settled thing that a lane has not delivered; None when it has
    delivered all. Whether the destination wants that thing is not looked at. One query, of
    events one for each day since the last."""
    if lane.source == EVENTS:
        events, position = stores.event_log.after(lane.org_id, progress.position, now, 1)
        return event_log.position_epoch_s(position) if events else None
    shard = FLOWS.index(lane.source)
    found = stores.arrivals.after(lane.org_id, shard, progress.position, now, 1)
    return arrivals.position_epoch_s(found[0].position) if found else None


# What the management API does with them


def create_destination(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """The new destination as it is stored. Raises :class:`Invalid`."""
    _check_bundle(body)
    existing = stores.objects.all_of(caller.org_id, SYSLOG_DESTINATIONS.stored_in)
    if len(list(existing)) >= MAX_DESTINATIONS:
        message = f"an org has at most {MAX_DESTINATIONS} destinations; delete one first"
        raise Invalid(Problem("syslog_destinations_limit", message))
    under = caller.path("settings", "syslog")
    return create_object(caller, SYSLOG_DESTINATIONS, body, stores, under)


def update_destination(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    """Change a destination; what waits for it goes to where it is now, and without waiting for
    the next try: whoever changes one that failed has mended it."""
    _check_bundle(body)
    update_object(caller, SYSLOG_DESTINATIONS, id, body, stores)
    for lane, at in stores.lanes.of_org(caller.org_id).items():
        if lane.destination == id and at.retry_at:
            stores.lanes.save(lane, at, replace(at, retry_at=0))


def delete_destination(caller: Caller, id: str, stores: Stores) -> None:
    """Delete a destination, and what it had reached."""
    delete_object(caller, SYSLOG_DESTINATIONS, id, stores)
    for source in SOURCES:
        stores.lanes.forget(Lane(caller.org_id, id, source))


def delivery_of(caller: Caller, document: Mapping[str, Any], stores: Stores) -> dict[str, Any]:
    """How a destination fares: backlog and failures, over all its sources. Six queries."""
    id = tail(str(document["href"]))
    destination = Destination(caller.org_id, id, _epoch_s(document["created_at"]), document)
    progress = stores.lanes.of_org(caller.org_id)
    waiting, lanes = [], []
    for lane in destination.lanes():
        at = progress.get(lane) or destination.beginning(lane.source)
        oldest = oldest_waiting(lane, at, caller.now_s, stores)
        waiting += [] if oldest is None else [caller.now_s - oldest]
        lanes.append(at)
    failing = [at for at in lanes if at.failing_since]
    return {
        "backlog_seconds": max(waiting, default=0),
        "records_delivered": sum(at.delivered for at in lanes),
        "failing_since": min((at.failing_since for at in failing), default=None),
        "next_try_at": min((at.retry_at for at in failing), default=None),
        "last_error": failing[0].error if failing else None,
    }


def _check_bundle(body: Any) -> None:
    remote = body.get("remote_syslog") if isinstance(body, Mapping) else None
    bundle = remote.get("tls_ca_bundle") if isinstance(remote, Mapping) else None
    if not isinstance(bundle, str) or not bundle:
        return
    try:
        tls_context(bundle)
    except ValueError as error:
        at = "remote_syslog.tls_ca_bundle"
        raise Invalid(Problem("invalid_attribute", f"{at}: {error}", at)) from error


def _epoch_s(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp())
