"""Flow batches in DynamoDB: one compressed columnar item per posted batch.

Partition ``<org>#YYYY-MM-DDTHH#<shard>`` (the hour in which the batch ends), sort key
``<ven uuid>#<sequence>``: a batch that is posted again meets its own item and changes nothing.
(A batch that does not fit one item has further ones, ``<ven uuid>#<sequence>#<part>``.)
Partition ``<org>#hours`` names the partitions that hold anything, so that a query over months asks
only for those.
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pce.identifiers import OrgId
from pce.store.dynamodb import ConditionFailed, DynamoDB

SHARDS = 8
"""Partitions an hour: 25,000 VENs post 42 batches of 5 units a second, a partition takes 1,000."""
RETENTION_S = 90 * 86_400
"""How long flows can be queried; the archive keeps them longer."""
MAX_NAMED = 10_000
"""Partitions whose names a function environment remembers to have written: a megabyte."""


class Portion(NamedTuple):
    """A quarter of a partition: batches whose windows end in one hour, of a 32nd of the VENs."""

    hour: str
    """``2026-01-31T12``"""
    shard: int
    quarter: int
    """Of the sort keys, which begin with a random number: 0 to 3."""


class FlowStore:
    """Stored flow batches."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._named: set[str] = set()

    def put(
        self, org_id: OrgId, ven_id: uuid.UUID, seq: int, end: int, parts: Sequence[bytes]
    ) -> bool:
        """Store a batch whose window ends at ``end`` (epoch seconds); False when it is there
        already. One write unit per KB. The first part is written last: it says that all are."""
        partition = _partition(org_id, end, ven_id.bytes[15] % SHARDS)
        self._name(org_id, partition, end)
        for number in reversed(range(len(parts))):
            _, sort_key = batch_key(org_id, ven_id, seq, end, number)
            item = {
                "pk": {"S": partition},
                "sk": {"S": sort_key},
                "body": {"B": parts[number]},
                "ttl": {"N": str(end + RETENTION_S)},
            }
            condition = {} if number else {"ConditionExpression": "attribute_not_exists(pk)"}
            try:
                self._dynamodb.call("PutItem", TableName=self._table, Item=item, **condition)
            except ConditionFailed:
                return False
        return True

    def _name(self, org_id: OrgId, partition: str, end: int) -> None:
        """Note that a partition holds something, before it does. One write per partition and
        function environment."""
        if partition in self._named:
            return
        marker = {
            "pk": {"S": f"{org_id}#hours"},
            "sk": {"S": partition.partition("#")[2]},
            "ttl": {"N": str(end + RETENTION_S + 86_400)},  # outlives what it names
        }
        self._dynamodb.call("PutItem", TableName=self._table, Item=marker)
        if len(self._named) >= MAX_NAMED:
            self._named.clear()
        self._named.add(partition)

    def batches(self, org_id: OrgId, start: int, end: int) -> Iterator[bytes]:
        """Bodies of the batches that end in the hours from ``start`` to ``end`` (epoch seconds).

        The caller filters by the flows' own times. Eventually consistent, at half the price: what
        was acknowledged within the last second may be missing. Cost: one query for the hours, and
        one for each partition that holds anything.
        """
        for page in self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":p": {"S": f"{org_id}#hours"},
                ":first": {"S": hour_of(start)},
                ":last": {"S": f"{hour_of(end)}#~"},  # after every shard of the last hour
            },
        ):
            for item in page:
                yield from self._bodies(f"{org_id}#{item['sk'].S}")

    def of_portion(self, org_id: OrgId, portion: Portion) -> Iterator[bytes]:
        """Bodies of the batches of one portion. Eventually consistent. One query per MB."""
        first, last = f"{portion.quarter * 4:x}", f"{portion.quarter * 4 + 3:x}~"
        return self._bodies(f"{org_id}#{portion.hour}#{portion.shard}", first, last)

    def hours(self, org_id: OrgId) -> list[str]:
        """The hours that hold flows (``2026-01-31T12``), oldest first. One query."""
        pages = self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": f"{org_id}#hours"}},
        )
        return sorted({item["sk"].S.partition("#")[0] for page in pages for item in page})

    def _bodies(self, partition: str, first: str = "0", last: str = "~") -> Iterator[bytes]:
        for page in self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":p": {"S": partition},
                ":first": {"S": first},
                ":last": {"S": last},
            },
        ):
            for item in page:
                yield item["body"].B


def batch_key(org_id: OrgId, ven_id: uuid.UUID, seq: int, end: int, part: int) -> tuple[str, str]:
    """Partition and sort key of one part of a batch whose window ends at ``end``."""
    partition = _partition(org_id, end, ven_id.bytes[15] % SHARDS)
    return partition, f"{ven_id}#{seq:012d}" + (f"#{part}" if part else "")


def portion_of(end: int, ven_id: uuid.UUID) -> Portion:
    """Of a VEN's batch whose window ends at ``end`` (epoch seconds)."""
    return Portion(hour_of(end), ven_id.bytes[15] % SHARDS, ven_id.bytes[0] // 64)


def _partition(org_id: OrgId, epoch_s: int, shard: int) -> str:
    return f"{org_id}#{hour_of(epoch_s)}#{shard}"


def hour_epoch_s(hour: str) -> int:
    """When an hour begins."""
    return int(datetime.fromisoformat(f"{hour}:00:00+00:00").timestamp())


def hour_of(epoch_s: int) -> str:
    """``2026-01-31T12``. Queries may ask for times far outside of what a clock can show."""
    bounded = min(max(epoch_s, 0), 4_102_444_800)  # the year 2100
    return datetime.fromtimestamp(bounded, UTC).strftime("%Y-%m-%dT%H")
