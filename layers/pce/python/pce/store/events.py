"""Audit events in DynamoDB, read newest first. They are written by ``ObjectStore.commit``."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pce.identifiers import OrgId, uuid7_epoch_ms
from pce.store.compression import unpack_json
from pce.store.tables import EventItem

MAX_DAYS = 200
"""The longest retention of audit events; older days are not looked at."""

_LAST_MS = 253_402_300_799_000
"""The last second of the year 9999: an id of another origin may claim to be later."""


class EventStore:
    """Audit events of all orgs."""

    def newest_first(
        self, org_id: OrgId, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[dict[str, Any]]:
        """Events from ``until`` back to ``since``, inclusive, whatever their offsets from UTC and
        however far away. One query per day and MB."""
        latest = datetime.now(UTC) + timedelta(minutes=1)
        earliest = latest - timedelta(days=MAX_DAYS)
        # Compared first: a time at either end of the calendar has no form in UTC.
        since = max(since or earliest, earliest).astimezone(UTC)
        until = min(until or latest, latest)
        if until < since:
            return
        until = until.astimezone(UTC)
        day: date = until.date()
        while day >= since.date():
            for item in EventItem.query(
                f"{org_id}#{day}", consistent_read=True, scan_index_forward=False
            ):
                at = uuid7_epoch_ms(uuid.UUID(item.sk)) / 1000
                if not since.timestamp() <= at <= until.timestamp():
                    continue
                yield unpack_json(item.body)
            day -= timedelta(days=1)

    def get(self, org_id: OrgId, event_id: uuid.UUID) -> dict[str, Any] | None:
        """One event: its id tells the day it lies under."""
        epoch_ms = uuid7_epoch_ms(event_id)
        if epoch_ms > _LAST_MS:
            return None  # no id of ours
        day = datetime.fromtimestamp(epoch_ms / 1000, UTC).date()
        for item in EventItem.query(
            f"{org_id}#{day}", EventItem.sk == str(event_id), consistent_read=True
        ):
            event: dict[str, Any] = unpack_json(item.body)
            return event
        return None
