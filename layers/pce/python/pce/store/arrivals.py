"""In which order flow batches arrived, in the flows table: what streaming reads from.

A batch lies where the end of its window puts it, which for a late one is a week ago. So each
stored batch is also noted under its arrival: partition ``<org>#arrivals#<shard>``, sort key
``<epoch second, 10 digits>#<ven uuid>#<sequence>``. The note names the batch and holds nothing of
it: a write unit, and an order by VEN.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from pce.identifiers import OrgId
from pce.store.dynamodb import DynamoDB, Item
from pce.store.flows import batch_key
from pce.streaming.records import shard_of

BACKLOG_S = 7 * 86_400
"""How long a note waits for a destination that is down."""

SETTLED_AFTER_S = 30
"""A note is read when it is older than this: its second is when the request began, a flow post
lives for 20 s at most, and clocks differ by less than the rest. None can appear in what was read
before."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One note."""

    position: str
    """Its sort key."""
    ven_id: uuid.UUID
    seq: int
    end: int
    parts: int


class ArrivalStore:
    """Notes of all orgs."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def note(
        self, org_id: OrgId, ven_id: uuid.UUID, seq: int, end: int, parts: int, now: int
    ) -> None:
        """Note a batch after it was stored; ``now`` is the second in which its request began. One
        write unit. Repeating it in the same second changes nothing."""
        item = {
            "pk": {"S": _partition(org_id, shard_of(ven_id.bytes))},
            "sk": {"S": f"{now:010d}#{ven_id}#{seq:012d}"},
            "end": {"N": str(end)},
            "parts": {"N": str(parts)},
            "ttl": {"N": str(now + BACKLOG_S)},
        }
        self._dynamodb.call("PutItem", TableName=self._table, Item=item)

    def after(
        self, org_id: OrgId, shard: int, position: str, now: int, limit: int
    ) -> list[Arrival]:
        """The first notes behind ``position`` that are settled at ``now`` (epoch seconds), oldest
        first. One request."""
        reply = self._dynamodb.call(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :after AND :until",
            ExpressionAttributeValues={
                ":p": {"S": _partition(org_id, shard)},
                ":after": {"S": f"{position}!"},  # behind the position itself, before all others
                ":until": {"S": max(f"{now - SETTLED_AFTER_S:010d}", f"{position}!")},
            },
            Limit=limit,
            ConsistentRead=True,
        )
        return [_arrival(item) for item in reply.items]

    def bodies(self, org_id: OrgId, arrivals: Sequence[Arrival]) -> list[bytes]:
        """The stored batches that were noted, in this order. One that is noted twice is there
        twice; one that has expired is not there. One request per 100 parts or 16 MB, and one
        more for parts that an eventually consistent read misses."""
        wanted = [
            batch_key(org_id, arrival.ven_id, arrival.seq, arrival.end, part)
            for arrival in arrivals
            for part in range(arrival.parts)
        ]
        found = self._read(wanted, strongly=False)
        if missing := [key for key in wanted if key not in found]:
            found |= self._read(missing, strongly=True)
        return [found[key] for key in wanted if key in found]

    def _read(
        self, keys: Sequence[tuple[str, str]], *, strongly: bool
    ) -> dict[tuple[str, str], bytes]:
        asked = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in dict.fromkeys(keys)]
        items = self._dynamodb.get_all(self._table, asked, strongly=strongly)
        return {(item["pk"].S, item["sk"].S): item["body"].B for item in items}


def first_position(epoch_s: int) -> str:
    """Before everything that arrives from this second on."""
    return f"{epoch_s:010d}"


def position_epoch_s(position: str) -> int:
    """When what is at a position arrived."""
    return int(position[:10])


def _partition(org_id: OrgId, shard: int) -> str:
    return f"{org_id}#arrivals#{shard}"


def _arrival(item: Item) -> Arrival:
    position = item["sk"].S
    _, ven_id, seq = position.split("#")
    return Arrival(position, uuid.UUID(ven_id), int(seq), int(item["end"].N), int(item["parts"].N))
