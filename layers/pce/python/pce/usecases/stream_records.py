"""Take one destination forward in one source: read, send, and only then note how far it got.

When the process dies after sending and before noting, the same records are sent again, with the
same sequence numbers: at least once. What a destination does not want moves it forward too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pce.events.journal import SYSTEM, Notification
from pce.flows.batch import StoredBatch, unpack
from pce.flows.summary import summary_json
from pce.identifiers import OrgId
from pce.objects.product import NETWORK_NAME, PRODUCT_VERSION
from pce.store import syslog
from pce.store.change import Change
from pce.store.delivery import Undelivered
from pce.streaming.archive_object import pieces
from pce.streaming.destinations import wants
from pce.streaming.lanes import Lane, Progress
from pce.streaming.records import DECISIONS, EVENTS, FLOWS, Record
from pce.streaming.syslog_message import syslog_message
from pce.usecases.stores import Stores, journal
from pce.usecases.stream_destinations import Destination, destination_of, event_settings

BATCHES_AT_ONCE = 20
"""Flow batches in one step: 6,000 summaries, 3 MB of lines, and what is repeated after a crash."""
EVENTS_AT_ONCE = 500
"""Audit events in one step: under 1 MB of stored bytes, what one query returns."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """What one run did."""

    records: int = 0
    """Sent."""
    damaged: int = 0
    """Stored batches that could not be read, and were passed over."""
    failed: str = ""
    """Why it stopped; empty when nothing is left, or the time was over."""


def stream_records(
    lane: Lane, stores: Stores, clock: Callable[[], float], until: float
) -> Streamed:
    """Send what a lane's destination has not got, step by step, until ``until`` (epoch seconds).

    A failure is noted, and nothing is tried before its wait is over. Cost of a step: two or three
    requests, the sending, and one write.
    """
    destination = destination_of(lane, stores)
    if destination is None:
        return Streamed()
    sender = _Sender(destination, stores)
    saved = stores.lanes.load(lane)
    progress = saved or destination.beginning(lane.source)
    sent = damaged = 0
    while (now := int(clock())) >= progress.retry_at and clock() < until:
        step = _read(lane, progress.position, now, stores)
        if step.position == progress.position:
            break
        damaged += step.damaged
        failed = ""
        try:
            count = sender.send(step.records, progress.delivered)
            after = progress.past(step.position, count)
            sent += count
        except Undelivered as error:
            failed = str(error)
            after = progress.failed(now, failed)
        if not stores.lanes.save(lane, saved, after):
            break  # another worker has this lane
        _report_change(destination, lane, progress, after, now, stores)
        if failed:
            return Streamed(sent, damaged, failed)
        saved = progress = after
    return Streamed(sent, damaged)


@dataclass(frozen=True, slots=True)
class _Step:
    records: Sequence[Record]
    position: str
    damaged: int = 0


def _read(lane: Lane, position: str, now: int, stores: Stores) -> _Step:
    """What comes next in a source, in order."""
    if lane.source == EVENTS:
        events, after = stores.event_log.after(lane.org_id, position, now, EVENTS_AT_ONCE)
        return _Step([Record("audit_event", event) for event in events], after)
    shard = FLOWS.index(lane.source)
    noted = stores.arrivals.after(lane.org_id, shard, position, now, BATCHES_AT_ONCE)
    if not noted:
        return _Step([], position)
    # A batch that was posted twice within a step is sent once.
    once = list({(note.ven_id, note.seq): note for note in reversed(noted)}.values())[::-1]
    bodies = stores.arrivals.bodies(lane.org_id, once)
    batches = [batch for body in bodies if (batch := _unpacked(body)) is not None]
    records = [
        Record("flow_summary", document)
        for batch in batches
        for document in summary_json(batch, lane.org_id, stores.pce_fqdn, NETWORK_NAME)
    ]
    return _Step(records, noted[-1].position, len(bodies) - len(batches))


def _unpacked(body: bytes) -> StoredBatch | None:
    try:
        return unpack(body)
    except ValueError:
        return None


class _Sender:
    """Sends to one destination; its settings are read once a run."""

    def __init__(self, destination: Destination, stores: Stores) -> None:
        self._destination = destination
        self._stores = stores
        self._events = event_settings(destination.org_id, stores)

    def send(self, records: Sequence[Record], delivered: int) -> int:
        """Send what the destination wants of the records; how many that were."""
        if self._destination.settings is None:
            _archive(self._destination.org_id, records, self._stores)
            return len(records)
        least = self._events["audit_event_min_severity"]
        wanted = [r for r in records if wants(self._destination.settings, r, least)]
        if wanted:
            messages = [
                syslog_message(
                    record,
                    self._events["format"],
                    delivered + at,
                    self._stores.pce_fqdn,
                    PRODUCT_VERSION["version"],
                )
                for at, record in enumerate(wanted)
            ]
            syslog.send(self._destination.receiver, messages)
        return len(wanted)


def _archive(org_id: OrgId, records: Sequence[Record], stores: Stores) -> None:
    events = [r.document for r in records if r.kind == "audit_event"]
    if events:
        stores.archive_streams.put_events(list(pieces(org_id, events)))
    flows = [r.document for r in records if r.kind == "flow_summary"]
    places = [[f for f in flows if f["pd"] == pd] for pd in range(len(DECISIONS))]
    found = [piece for pd, place in enumerate(places) for piece in pieces(org_id, place, pd)]
    if found:
        stores.archive_streams.put_summaries(found)


def _report_change(
    destination: Destination,
    lane: Lane,
    before: Progress,
    after: Progress,
    now: int,
    stores: Stores,
) -> None:
    """An audit event when a syslog destination begins to fail, and when all of it works again.
    (The archive is ours: an alarm watches it.)"""
    failing, failed = bool(after.failing_since), bool(before.failing_since)
    if destination.settings is None or failing == failed:
        return
    others = [
        progress
        for other, progress in stores.lanes.of_org(lane.org_id).items()
        if other.destination == lane.destination and other != lane
    ]
    if any(progress.failing_since for progress in others):
        return
    info = {
        "syslog_destination": {"href": destination.settings["href"]},
        "receiver": str(destination.receiver),
        "failing_since": (after if failing else before).failing_since,
        "error": after.error or None,
    }
    kind = "syslog_destination.delivery_" + ("failed" if failing else "resumed")
    event = journal(stores, lane.org_id, SYSTEM, now).event(
        kind,
        severity="err" if failing else "info",
        status=None,
        notifications=[Notification(kind, info)],
    )
    stores.objects.commit(Change(lane.org_id, events=(event,)))
