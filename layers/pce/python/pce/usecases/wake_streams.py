"""Find the destinations that have something to get, and wake a worker for each of their lanes; once
an hour those that roll flows up too."""

from dataclasses import dataclass

from pce.identifiers import INSTALLATION, OrgId
from pce.store import event_log
from pce.streaming.lanes import Lane, Progress
from pce.streaming.records import EVENTS
from pce.usecases.roll_up_flows import due_until, rollup_lanes
from pce.usecases.stores import Stores
from pce.usecases.stream_destinations import destinations_of, oldest_waiting

QUIET_DAY_S = 86_400
"""A lane of audit events that has stood still for a day is moved on, though there is nothing to
send: each day that it lies behind costs a query."""


@dataclass(frozen=True, slots=True)
class Woken:
    """What one look over all orgs found."""

    lanes: int = 0
    """Woken."""
    failing: int = 0
    """Lanes whose last try failed."""
    backlog_s: int = 0
    """Age of the oldest thing that some destination has not got."""


def wake_streams(stores: Stores, now: int) -> Woken:
    """One look over all orgs. Cost: two queries an org, and one for each of a destination's five
    lanes; a message for each lane with a backlog."""
    woken: list[Lane] = []
    failing = backlog_s = 0
    due = due_until(now)
    for stored in stores.objects.all_of(INSTALLATION, "orgs"):
        org_id = OrgId(int(stored.id))
        progress = stores.lanes.of_org(org_id)
        for destination in destinations_of(org_id, stored.document, stores):
            for lane in destination.lanes():
                at = progress.get(lane) or destination.beginning(lane.source)
                oldest = oldest_waiting(lane, at, now, stores)
                failing += bool(at.failing_since)
                if oldest is not None:
                    backlog_s = max(backlog_s, now - oldest)
                if now >= at.retry_at and (oldest is not None or _stood_still(lane, at, now)):
                    woken.append(lane)
        woken += (
            lane
            for lane in rollup_lanes(org_id)
            if lane not in progress or progress[lane].position < due
        )
    stores.queues.wake_streamers([lane.name for lane in woken], now)
    return Woken(len(woken), failing, backlog_s)


def _stood_still(lane: Lane, at: Progress, now: int) -> bool:
    behind = lane.source == EVENTS and now - event_log.position_epoch_s(at.position)
    return behind > event_log.SETTLED_AFTER_S + QUIET_DAY_S
