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

from pce.identifiers import OrgId
from pce.store.dynamodb import ConditionFailed, DynamoDB

SHARDS = 8
"""Partitions an hour: 25,000 VENs post 42 batches of 5 units a second, a partition takes 1,000."""
RETENTION_S = 90 * 86_400
"""How long flows can be queried; the archive keeps them longer."""
MAX_NAMED = 10_000
"""Partitions whose names a function environment remembers to have written: a megabyte."""


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
                ":first": {"S": _hour(start)},
                ":last": {"S": f"{_hour(end)}#~"},  # after every shard of the last hour
            },
        ):
            for item in page:
                yield from self._partition_bodies(f"{org_id}#{item['sk'].S}")

    def hours(self, org_id: OrgId) -> list[str]:
        """The hours that hold flows (``2026-01-31T12``), oldest first. One query."""
        pages = self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": f"{org_id}#hours"}},
        )
        return sorted({item["sk"].S.partition("#")[0] for page in pages for item in page})

    def _partition_bodies(self, partition: str) -> Iterator[bytes]:
        for page in self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": partition}},
        ):
            for item in page:
                yield item["body"].B


def batch_key(org_id: OrgId, ven_id: uuid.UUID, seq: int, end: int, part: int) -> tuple[str, str]:
    """Partition and sort key of one part of a batch whose window ends at ``end``."""
    partition = _partition(org_id, end, ven_id.bytes[15] % SHARDS)
    return partition, f"{ven_id}#{seq:012d}" + (f"#{part}" if part else "")


def _partition(org_id: OrgId, epoch_s: int, shard: int) -> str:
    return f"{org_id}#{_hour(epoch_s)}#{shard}"


def _hour(epoch_s: int) -> str:
    """``2026-01-31T12``. Queries may ask for times far outside of what a clock can show."""
    bounded = min(max(epoch_s, 0), 4_102_444_800)  # the year 2100
    return datetime.fromtimestamp(bounded, UTC).strftime("%Y-%m-%dT%H")
