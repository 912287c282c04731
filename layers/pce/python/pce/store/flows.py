"""Flow batches in DynamoDB: one compressed columnar item per posted batch.

Partition ``<org>#YYYY-MM-DDTHH#<shard>`` (the hour in which the batch ends), sort key
``<ven uuid>#<sequence>``: a batch that is posted again meets its own item and changes nothing.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pce.identifiers import OrgId
from pce.store.dynamodb import ConditionFailed, DynamoDB

SHARDS = 8
"""Partitions an hour: 25,000 VENs post 42 batches of 5 units a second, a partition takes 1,000."""
RETENTION_S = 90 * 86_400
"""How long flows can be queried; the archive keeps them longer."""


class FlowStore:
    """Stored flow batches."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def put(self, org_id: OrgId, ven_id: uuid.UUID, seq: int, end: int, body: bytes) -> bool:
        """Store a batch whose window ends at ``end`` (epoch seconds); False when it is there
        already. One write unit per KB."""
        item = {
            "pk": {"S": _partition(org_id, end, ven_id.bytes[15] % SHARDS)},
            "sk": {"S": f"{ven_id}#{seq:012d}"},
            "body": {"B": body},
            "ttl": {"N": str(end + RETENTION_S)},
        }
        try:
            self._dynamodb.call(
                "PutItem",
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(pk)",
            )
        except ConditionFailed:
            return False
        return True

    def batches(self, org_id: OrgId, start: int, end: int) -> Iterator[bytes]:
        """Bodies of the batches that end in the hours from ``start`` to ``end`` (epoch seconds).

        The caller filters by the flows' own times. Cost: eight queries per hour.
        """
        hour = datetime.fromtimestamp(start, UTC).replace(minute=0, second=0, microsecond=0)
        while hour.timestamp() <= end:
            for shard in range(SHARDS):
                yield from self._partition_bodies(_partition(org_id, int(hour.timestamp()), shard))
            hour += timedelta(hours=1)

    def _partition_bodies(self, partition: str) -> Iterator[bytes]:
        for page in self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": partition}},
            ConsistentRead=True,
        ):
            for item in page:
                yield item["body"].B


def _partition(org_id: OrgId, epoch_s: int, shard: int) -> str:
    hour = datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H")
    return f"{org_id}#{hour}#{shard}"
