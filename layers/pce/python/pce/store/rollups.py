"""Hourly rollups of flows, in the flows table.

Partition ``<org>#rollups``, sort key ``<hour>#<shard>#<quarter>#<part>``
(``2026-01-31T12#5#0#0``), as the portions of the batches that each is made of. A rollup that is
made again replaces the former one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pce.identifiers import OrgId
from pce.store.dynamodb import DynamoDB
from pce.store.flows import Portion, hour_epoch_s, hour_of

RETENTION_S = 400 * 86_400
"""Rollups outlive the flows that they are made of: a map may compare with a year ago. A day of an
org is 800 items of a KB or a few."""


@dataclass(frozen=True, slots=True)
class StoredRollup:
    """One body of a rollup."""

    hour: str
    body: bytes


class RollupStore:
    """Rollups of all orgs."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def put(self, org_id: OrgId, portion: Portion, parts: Sequence[bytes], covers: str) -> None:
        """Store the rollup of a portion. ``covers``: an arrival position up to which every batch
        is in it. A write unit per KB. The first part is written last: it says how many there
        are, and what they cover."""
        for number in reversed(range(len(parts))):
            item = {
                "pk": {"S": f"{org_id}#rollups"},
                "sk": {"S": f"{portion.hour}#{portion.shard}#{portion.quarter}#{number}"},
                "body": {"B": parts[number]},
                "parts": {"N": str(len(parts))},
                "covers": {"S": covers},
                "ttl": {"N": str(hour_epoch_s(portion.hour) + RETENTION_S)},
            }
            self._dynamodb.call("PutItem", TableName=self._table, Item=item)

    def covers(self, org_id: OrgId, portion: Portion) -> str:
        """The position up to which a portion's rollup is complete; empty when there is none. One
        read of an item."""
        key = {
            "pk": {"S": f"{org_id}#rollups"},
            "sk": {"S": f"{portion.hour}#{portion.shard}#{portion.quarter}#0"},
        }
        reply = self._dynamodb.call("GetItem", TableName=self._table, Key=key, ConsistentRead=True)
        return reply.item["covers"].S if reply.item else ""

    def between(self, org_id: OrgId, start: int, end: int) -> Iterator[StoredRollup]:
        """Bodies of the hours from that of ``start`` to that of ``end`` (epoch seconds), in order.
        One query per MB; an hour has 32 bodies and rarely more."""
        parts = 0
        for page in self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":p": {"S": f"{org_id}#rollups"},
                ":first": {"S": hour_of(start)},
                ":last": {"S": f"{hour_of(end)}#~"},
            },
        ):
            for item in page:
                hour, _, _, number = item["sk"].S.split("#")
                if number == "0":
                    parts = int(item["parts"].N)
                if int(number) < parts:  # what a former, larger rollup left is none of this one
                    yield StoredRollup(hour, item["body"].B)
