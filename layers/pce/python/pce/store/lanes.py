"""How far each destination has got, in the flows table: partition ``<org>#lanes``, sort key
``<destination>#<source>``. Without TTL: a position that is lost would be found again at the org's
beginning."""

from typing import Any

from pce.identifiers import OrgId
from pce.store.dynamodb import ConditionFailed, DynamoDB, Item
from pce.streaming.lanes import Lane, Progress


class LaneStore:
    """Progress of all lanes."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def of_org(self, org_id: OrgId) -> dict[Lane, Progress]:
        """All lanes of an org that have begun, also those of destinations that are gone. One
        query."""
        pages = self._dynamodb.pages(
            "Query",
            TableName=self._table,
            KeyConditionExpression="pk = :p",
            ExpressionAttributeValues={":p": {"S": _partition(org_id)}},
            ConsistentRead=True,
        )
        return {_lane(org_id, item): _progress(item) for page in pages for item in page}

    def load(self, lane: Lane) -> Progress | None:
        """A lane's progress; None before its first."""
        reply = self._dynamodb.call(
            "GetItem", TableName=self._table, Key=_key(lane), ConsistentRead=True
        )
        return _progress(reply.item) if reply.item else None

    def save(self, lane: Lane, before: Progress | None, after: Progress) -> bool:
        """Write progress, unless another worker has moved the lane meanwhile: then False."""
        item = {
            **_key(lane),
            "position": {"S": after.position},
            "delivered": {"N": str(after.delivered)},
            "failing_since": {"N": str(after.failing_since)},
            "attempts": {"N": str(after.attempts)},
            "retry_at": {"N": str(after.retry_at)},
            "error": {"S": after.error},
        }
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if before is not None:
            condition = {
                "ConditionExpression": "#position = :before",
                "ExpressionAttributeNames": {"#position": "position"},
                "ExpressionAttributeValues": {":before": {"S": before.position}},
            }
        try:
            self._dynamodb.call("PutItem", TableName=self._table, Item=item, **condition)
        except ConditionFailed:
            return False
        return True

    def forget(self, lane: Lane) -> None:
        """Remove a lane whose destination is gone."""
        self._dynamodb.call("DeleteItem", TableName=self._table, Key=_key(lane))


def _partition(org_id: OrgId) -> str:
    return f"{org_id}#lanes"


def _key(lane: Lane) -> dict[str, dict[str, str]]:
    return {
        "pk": {"S": _partition(lane.org_id)},
        "sk": {"S": f"{lane.destination}#{lane.source}"},
    }


def _lane(org_id: OrgId, item: Item) -> Lane:
    destination, _, source = item["sk"].S.partition("#")
    return Lane(org_id, destination, source)


def _progress(item: Item) -> Progress:
    return Progress(
        position=item["position"].S,
        delivered=int(item["delivered"].N),
        failing_since=int(item["failing_since"].N),
        attempts=int(item["attempts"].N),
        retry_at=int(item["retry_at"].N),
        error=item["error"].S,
    )
