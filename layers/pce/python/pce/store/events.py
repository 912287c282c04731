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


class EventStore:
    """Audit events of all orgs."""

    def newest_first(
        self, org_id: OrgId, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[dict[str, Any]]:
        """Events from ``until`` back to ``since``, inclusive. One query per day and MB."""
        until = until or datetime.now(UTC) + timedelta(minutes=1)
        day: date = until.date()
        first = (since or until - timedelta(days=MAX_DAYS)).date()
        while day >= max(first, until.date() - timedelta(days=MAX_DAYS)):
            for item in EventItem.query(
                f"{org_id}#{day}", consistent_read=True, scan_index_forward=False
            ):
                at = uuid7_epoch_ms(uuid.UUID(item.sk)) / 1000
                if (since and at < since.timestamp()) or at > until.timestamp():
                    continue
                yield unpack_json(item.body)
            day -= timedelta(days=1)

    def get(self, org_id: OrgId, event_id: uuid.UUID) -> dict[str, Any] | None:
        """One event: its id tells the day it lies under."""
        day = datetime.fromtimestamp(uuid7_epoch_ms(event_id) / 1000, UTC).date()
        for item in EventItem.query(
            f"{org_id}#{day}", EventItem.sk == str(event_id), consistent_read=True
        ):
            event: dict[str, Any] = unpack_json(item.body)
            return event
        return None
