"""Audit events in DynamoDB, read newest first. They are written by ``ObjectStore.commit``."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pce.identifiers import OrgId, uuid7, uuid7_epoch_ms
from pce.store.compression import unpack_json
from pce.store.slices import read_in_slices
from pce.store.tables import EventItem

MAX_DAYS = 200
"""The longest retention of audit events; older days are not looked at."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_LAST_MS = 253_402_300_799_000
"""The last second of the year 9999: an id of another origin may claim to be later."""


class EventStore:
    """Audit events of all orgs."""

    def newest_first(
        self, org_id: OrgId, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[dict[str, Any]]:
        """Events from ``until`` back to ``since``, inclusive, whatever their offsets from UTC and
        however far away.

        Reads no further than it is asked to: some 2,000 events a query, at least one query a day.
        """
        latest = datetime.now(UTC) + timedelta(minutes=1)
        earliest = latest - timedelta(days=MAX_DAYS)
        # Compared first: a time at either end of the calendar has no form in UTC.
        since = max(since or earliest, earliest).astimezone(UTC)
        until = min(until or latest, latest)
        if until < since:
            return
        first_ms, last_ms = -((_EPOCH - since) // _MS), (until - _EPOCH) // _MS
        expected = None
        while last_ms >= first_ms:
            day = (_EPOCH + last_ms * _MS).date()
            begin_ms = max(first_ms, _midnight_ms(day))
            found = 0
            for item in self._of_day(org_id, day, begin_ms, last_ms, expected):
                found += 1
                yield unpack_json(item.body)
            # A day is about as busy as the one after it.
            expected, last_ms = found, begin_ms - 1

    def _of_day(
        self, org_id: OrgId, day: date, first_ms: int, last_ms: int, expected: int | None
    ) -> Iterator[EventItem]:
        """As :meth:`_between`, in slices."""

        def read(newest: int, oldest: int) -> Iterator[EventItem]:
            return self._between(org_id, day, last_ms - oldest + 1, last_ms - newest)

        return read_in_slices(last_ms - first_ms + 1, expected, read)

    def _between(
        self, org_id: OrgId, day: date, first_ms: int, last_ms: int
    ) -> Iterator[EventItem]:
        """The events of a day between two milliseconds, both inclusive, newest first."""
        first, last = uuid7(first_ms, bytes(10)), uuid7(last_ms, b"\xff" * 10)
        yield from EventItem.query(
            f"{org_id}#{day}",
            EventItem.sk.between(str(first), str(last)),
            consistent_read=True,
            scan_index_forward=False,
        )

    def get(self, org_id: OrgId, event_id: uuid.UUID) -> dict[str, Any] | None:
        """One event: its id tells the day it lies under. One query."""
        epoch_ms = uuid7_epoch_ms(event_id)
        if epoch_ms > _LAST_MS:
            return None  # no id of ours
        day = (_EPOCH + epoch_ms * _MS).date()
        for item in self._between(org_id, day, epoch_ms, epoch_ms):
            if str(event_id) == item.sk:
                event: dict[str, Any] = unpack_json(item.body)
                return event
        return None


def _midnight_ms(day: date) -> int:
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH) // _MS
