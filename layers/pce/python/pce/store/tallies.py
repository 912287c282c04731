"""Counts of a minute that all processes share, at a fraction of a write for each thing counted.

A process counts in memory and adds what it has counted to the shared item every so often; the reply
is the total. ``docs/decisions/0024-counting-requests.md`` has the arithmetic.
"""

import threading
from typing import NamedTuple

from pce.store.dynamodb import DynamoDB, DynamoDBError

MINUTE_S = 60
KEPT_S = 3_600
"""Seconds after which DynamoDB may remove a count; nobody asks for it after its minute."""
MAX_NAMES = 10_000
"""Names that one process counts at a time; a few hundred bytes each. Beyond it all are forgotten,
and counted anew from what the other processes have added."""


class Counted(NamedTuple):
    """The total that is known of the minute, before and after something was counted."""

    before: int
    after: int
    is_shared: bool
    """Whether it was added to the shared count just now."""


class _Count:
    __slots__ = ("known", "minute", "waiting")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.known = 0
        self.waiting = 0


class Tallies:
    """Counters by name and minute. Threads may share it."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._table = table
        self._dynamodb = dynamodb
        self._counts: dict[str, _Count] = {}
        self._lock = threading.Lock()

    def known(self, name: str, now: float) -> int:
        """What this process knows to have been counted in this minute. No request."""
        with self._lock:
            count = self._counts.get(name)
            current = count is not None and count.minute == int(now) // MINUTE_S
            return count.known + count.waiting if count and current else 0

    def add(self, name: str, now: float, every: int) -> Counted:
        """Count one; shared with the other processes at every ``every``-th. One write then.

        When the store is busy the count goes on in memory: a limit must not be what fails.
        """
        minute = int(now) // MINUTE_S
        with self._lock:
            if len(self._counts) >= MAX_NAMES:
                self._counts.clear()
            count = self._counts.get(name)
            if count is None or count.minute != minute:
                count = self._counts[name] = _Count(minute)
            count.waiting += 1
            total, waiting = count.known + count.waiting, count.waiting
            if waiting < every:
                return Counted(total - 1, total, is_shared=False)
            count.waiting = 0
        try:
            total = self._share(name, minute, waiting)
        except DynamoDBError:
            with self._lock:
                count.known += waiting
            return Counted(total - 1, total, is_shared=False)
        with self._lock:
            count.known = max(count.known, total)
        return Counted(total - waiting, total, is_shared=True)

    def _share(self, name: str, minute: int, more: int) -> int:
        reply = self._dynamodb.call(
            "UpdateItem",
            TableName=self._table,
            Key={"pk": {"S": f"0#tallies#{name}"}, "sk": {"S": str(minute)}},
            UpdateExpression="SET #t = :t ADD #c :more",
            ExpressionAttributeNames={"#c": "counter", "#t": "ttl"},
            ExpressionAttributeValues={
                ":t": {"N": str(minute * MINUTE_S + KEPT_S)},
                ":more": {"N": str(more)},
            },
            ReturnValues="UPDATED_NEW",
        )
        return int(reply.attributes["counter"].N)
