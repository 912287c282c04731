"""Computed policies in DynamoDB, named by their etag, so that equal VENs share one item.

Keys of the policy table
    ``<org>#documents`` / etag     a policy document, immutable (over 380 kB: in the archive)
    ``<org>#compiler`` / number    how many compiles have begun
    ``sweep`` / clock              when the sweep ran (see ``pce.presence.sweep``)
"""

from collections import OrderedDict
from typing import Any

import msgspec

from pce.identifiers import OrgId
from pce.store.archive import Archive
from pce.store.compression import pack_json, unpack_json
from pce.store.dynamodb import ConditionFailed, DynamoDB, Item
from ven_protocol.policy import PolicyDocument

MAX_INLINE_BYTES = 380_000
"""A DynamoDB item holds 400 KB with its keys; larger documents go to the archive."""
CACHED_DOCUMENTS = 64
"""Documents kept in a function's memory: they are immutable, and a fleet asks for few at a time."""
RETIRED_TTL_S = 7 * 86_400
"""How long a document that no VEN should hold any more can still be the base of a delta."""


class PolicyStore:
    """Policy documents and the compiler's counter."""

    def __init__(self, table: str, dynamodb: DynamoDB, archive: Archive | None = None) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._archive = archive
        self._cache: OrderedDict[tuple[OrgId, str], PolicyDocument] = OrderedDict()

    def put_document(self, org_id: OrgId, etag: str, document: PolicyDocument) -> None:
        """Store a document under its etag, or make a retired one current again."""
        body = pack_json(document)
        item: dict[str, Any] = {"pk": {"S": f"{org_id}#documents"}, "sk": {"S": etag}}
        if len(body) <= MAX_INLINE_BYTES:
            item["body"] = {"B": body}
        else:
            if self._archive is None:
                raise ValueError("a document over 380 kB needs an archive; none was given")
            self._archive.put(_archive_key(org_id, etag), body)
        self._dynamodb.call("PutItem", TableName=self._table, Item=item)

    def retire_document(self, org_id: OrgId, etag: str, now: int) -> None:
        """Let a document expire that no VEN should hold any more."""
        self._dynamodb.call(
            "UpdateItem",
            TableName=self._table,
            Key={"pk": {"S": f"{org_id}#documents"}, "sk": {"S": etag}},
            UpdateExpression="SET #t = :t",
            ExpressionAttributeNames={"#t": "ttl"},
            ExpressionAttributeValues={":t": {"N": str(now + RETIRED_TTL_S)}},
        )

    def document(self, org_id: OrgId, etag: str) -> PolicyDocument | None:
        """A document by its etag, or None. One read, or none when it is in memory."""
        # Taken out and put in again at the end: handlers may run in threads of one process.
        known = self._cache.pop((org_id, etag), None)
        if known is not None:
            self._cache[org_id, etag] = known
            return known
        item = self._get(f"{org_id}#documents", etag)
        if item is None:
            return None
        if "body" in item:
            body: bytes | None = item["body"].B
        else:
            body = self._archive.get(_archive_key(org_id, etag)) if self._archive else None
        if body is None:
            return None
        document = msgspec.convert(unpack_json(body), PolicyDocument)
        self._cache[org_id, etag] = document
        if len(self._cache) > CACHED_DOCUMENTS:
            self._cache.popitem(last=False)
        return document

    def begin_compile(self, org_id: OrgId) -> int:
        """The number of a compile that begins now; higher than that of every earlier one."""
        reply = self._dynamodb.call(
            "UpdateItem",
            TableName=self._table,
            Key={"pk": {"S": f"{org_id}#compiler"}, "sk": {"S": "number"}},
            UpdateExpression="ADD #n :one",
            ExpressionAttributeNames={"#n": "number"},
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return int(reply.attributes["number"].N)

    def sweep_state(self) -> dict[str, Any]:
        """The document that the last sweep left, or an empty one."""
        item = self._get("sweep", "clock")
        state: dict[str, Any] = unpack_json(item["body"].B) if item else {}
        return state

    def save_sweep_state(self, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Replace the sweep's document (it must hold ``last_sweep_at``) unless another sweep has
        done so since ``before`` was read; whether it was replaced."""
        item = {
            "pk": {"S": "sweep"},
            "sk": {"S": "clock"},
            "swept_at": {"N": str(after["last_sweep_at"])},
            "body": {"B": pack_json(after)},
        }
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if before:
            condition = {
                "ConditionExpression": "swept_at = :at",
                "ExpressionAttributeValues": {":at": {"N": str(before["last_sweep_at"])}},
            }
        try:
            self._dynamodb.call("PutItem", TableName=self._table, Item=item, **condition)
        except ConditionFailed:
            return False
        return True

    def _get(self, pk: str, sk: str) -> Item | None:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        return self._dynamodb.call(
            "GetItem", TableName=self._table, Key=key, ConsistentRead=True
        ).item


def _archive_key(org_id: OrgId, etag: str) -> str:
    return f"policies/{org_id}/{etag}"
