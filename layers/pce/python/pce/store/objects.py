"""Objects of the management API in DynamoDB: read, list, and change them in one transaction."""

import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pce.identifiers import OrgId, uuid7, uuid7_epoch_ms
from pce.store.change import Change, Document, Put
from pce.store.compression import unpack_json
from pce.store.dynamodb import ConditionFailed, DynamoDB, Item
from pce.store.slices import (
    SLICE,
    UUIDS,
    condition_on_numbers,
    condition_on_uuids,
    read_in_slices,
)
from pce.store.table_names import TableNames
from pce.store.transaction import ClaimTaken, object_item, object_key, transact

__all__ = ["ChangeLogEntry", "ClaimTaken", "ObjectStore", "Stored"]


NAMED_BY_UUID = frozenset(
    (
        *("workloads", "vens", "container_workloads", "service_bindings"),
        *("draft#label_groups", "draft#virtual_services"),
    )
)
NUMBERED = frozenset(("labels", "draft#ip_lists", "draft#services", "draft#rule_sets"))
"""Collections of which an org may have more than some thousand objects, by the kind of id."""
MAX_SIZES = 10_000
"""Collections of which a process remembers how large they were: a MB."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it was read. ``rev`` goes back into a :class:`Put` to change it safely."""

    collection: str
    id: str
    document: dict[str, Any]
    rev: str


@dataclass(frozen=True, slots=True)
class ChangeLogEntry:
    """One entry of the change log, oldest first when listed."""

    id: str
    reason: str
    hrefs: tuple[str, ...]
    epoch_ms: int


class ObjectStore:
    """Objects, change log and audit events of all orgs.

    ``clock`` gives epoch seconds; ``wake_compiler`` is called with the org after a change that
    policy may depend on. A wake-up that is lost is repaired by the sweep, which finds the entry in
    the change log.
    """

    def __init__(
        self,
        dynamodb: DynamoDB,
        tables: TableNames,
        clock: Callable[[], float] = time.time,
        wake_compiler: Callable[[OrgId, str], None] = lambda org_id, change_id: None,
    ) -> None:
        self._dynamodb = dynamodb
        self._tables = tables
        self._clock = clock
        self._wake_compiler = wake_compiler
        self._sizes: dict[str, int] = {}
        """Objects of a collection (by partition key) when this process read it last."""

    def get(self, org_id: OrgId, collection: str, id: str) -> Stored | None:
        """One object, read strongly; None when there is none. One read unit per 4 KB."""
        key = object_key(_pk(org_id, collection), id)
        item = self._dynamodb.call(
            "GetItem", TableName=self._tables.objects, Key=key, ConsistentRead=True
        ).item
        return None if item is None else _stored(collection, item)

    def all_of(self, org_id: OrgId, collection: str) -> list[Stored]:
        """All objects of a collection in the order of their ids, read strongly.

        Cost: one query per MB of compressed documents (some 2,000 workloads); of a collection that
        may be large one more, when this process reads it for the first time.
        """
        return list(self.one_by_one(org_id, collection))

    def one_by_one(self, org_id: OrgId, collection: str) -> Iterator[Stored]:
        """As :meth:`all_of`, holding some 2,000 at a time."""
        for item in self._all_items(org_id, collection):
            yield _stored(collection, item)

    def count(self, org_id: OrgId, collection: str) -> int:
        """How many items a collection has, deleted objects that stay readable included. Cost: as
        :meth:`all_of`; the keys alone come back."""
        return sum(1 for _ in self._all_items(org_id, collection, ProjectionExpression="sk"))

    def _all_items(self, org_id: OrgId, collection: str, **parameters: str) -> Iterator[Item]:
        """The items of a collection in the order of their ids, in slices where it may be large."""
        pk = _pk(org_id, collection)
        known = self._sizes.get(pk)
        if collection in NAMED_BY_UUID:
            positions, condition = UUIDS, condition_on_uuids
        elif collection in NUMBERED and (known is None or known > SLICE):
            positions = self._numbers_given_out(org_id, collection) + 1
            known = positions if known is None else known
            condition = partial(condition_on_numbers, numbers=positions)
        else:
            positions, known, condition = 1, 0, lambda first, end: ("", {})
        found = 0
        for item in read_in_slices(
            positions,
            known,
            lambda first, end: self._items(pk, condition(first, end), **parameters),
        ):
            found += 1
            yield item
        if len(self._sizes) >= MAX_SIZES:
            self._sizes.clear()
        self._sizes[pk] = found

    def _numbers_given_out(self, org_id: OrgId, collection: str) -> int:
        """The last number that :meth:`next_id` gave out; 0 before the first."""
        key = object_key(f"{org_id}#counters", collection.removeprefix("draft#"))
        item = self._dynamodb.call("GetItem", TableName=self._tables.objects, Key=key).item
        return int(item["counter"].N) if item else 0

    def get_many(self, org_id: OrgId, collection: str, ids: Sequence[str]) -> dict[str, Stored]:
        """Objects by id, read strongly, 100 a request; ids that do not exist are left out."""
        pk = _pk(org_id, collection)
        keys = [object_key(pk, id) for id in dict.fromkeys(ids)]
        found = self._dynamodb.get_all(self._tables.objects, keys, strongly=True)
        return {item["sk"].S: _stored(collection, item) for item in found}

    def get_together(self, org_id: OrgId, collections: Sequence[str], id: str) -> list[Stored]:
        """The objects of one id in several collections, in the order of those that exist, read
        strongly in one request."""
        keys = [object_key(_pk(org_id, collection), id) for collection in collections]
        items = self._dynamodb.get_all(self._tables.objects, keys, strongly=True)
        found = {item["pk"].S: item for item in items}
        return [
            _stored(collection, found[pk])
            for collection in collections
            if (pk := _pk(org_id, collection)) in found
        ]

    def put_all(self, org_id: OrgId, collection: str, documents: Mapping[str, Document]) -> None:
        """Store documents by id, 25 a request, each by itself: for immutable ones that nobody
        reads until a later :meth:`commit` names them. Safe to repeat. One write unit per KB."""
        items = [object_item(org_id, Put(collection, id, doc)) for id, doc in documents.items()]
        self._dynamodb.put_all(self._tables.objects, items)

    def next_id(self, org_id: OrgId, collection: str, count: int = 1) -> int:
        """Take ``count`` new numbers, never given out before; returns the first. One write."""
        reply = self._count(f"{org_id}#counters", collection, count)
        return int(reply["counter"].N) - count + 1

    def count_up(self, org_id: OrgId, collection: str, id: str, limit: int | None) -> bool:
        """Add one to an object's own counter unless it has reached ``limit``; whether it did.

        Atomic, and no transaction: any number of callers at once wait for nobody. One write.
        """
        condition, values = "attribute_exists(pk)", {}
        if limit is not None:
            condition += " AND (attribute_not_exists(#c) OR #c < :limit)"
            values = {":limit": {"N": str(limit)}}
        try:
            self._count(_pk(org_id, collection), id, 1, condition, values)
        except ConditionFailed:
            return False
        return True

    def count_down(self, org_id: OrgId, collection: str, id: str) -> None:
        """Take back one :meth:`count_up`."""
        self._count(_pk(org_id, collection), id, -1, "attribute_exists(pk)")

    def _count(
        self,
        pk: str,
        sk: str,
        more: int,
        condition: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> Item:
        return self._dynamodb.call(
            "UpdateItem",
            TableName=self._tables.objects,
            Key=object_key(pk, sk),
            UpdateExpression="ADD #c :more",
            ExpressionAttributeNames={"#c": "counter"},
            ExpressionAttributeValues={":more": {"N": str(more)}, **(values or {})},
            ReturnValues="UPDATED_NEW",
            **({"ConditionExpression": condition} if condition else {}),
        ).attributes

    def _items(
        self, pk: str, slice: tuple[str, Mapping[str, Any]] = ("", {}), **parameters: str
    ) -> Iterator[Item]:
        """The items of a partition; ``slice``: a further condition, on the sort key, and its
        values."""
        for page in self._dynamodb.pages(
            "Query",
            TableName=self._tables.objects,
            KeyConditionExpression=f"pk = :pk{slice[0]}",
            ExpressionAttributeValues={":pk": {"S": pk}, **slice[1]},
            ConsistentRead=True,
            **parameters,
        ):
            yield from page

    def commit(self, change: Change) -> str:
        """Write a change, whole or not at all; returns the id of its change-log entry or "".

        Raises :class:`ClaimTaken` when a name is taken, :class:`Conflict` when an object or
        presence item is not what was read, :class:`TooLarge` for a document over
        ``MAX_ITEM_BYTES`` or a change over DynamoDB's 4 MB. Cost: two write units per KB of each
        item.
        """
        now = self._clock()
        change_id = str(uuid7(int(now * 1000), secrets.token_bytes(10)))
        transact(self._dynamodb, self._tables, change, change_id, now)
        if change.policy_changes:
            self._wake_compiler(change.org_id, change_id)
            return change_id
        return ""

    def change_log(self, org_id: OrgId) -> list[ChangeLogEntry]:
        """Entries that no compile has drained yet, oldest first, read strongly."""
        entries = []
        for item in self._items(f"{org_id}#changes"):
            id = item["sk"].S
            at = uuid7_epoch_ms(uuid.UUID(id))
            for part in unpack_json(item["body"].B):
                entries.append(ChangeLogEntry(id, part["reason"], tuple(part["hrefs"]), at))
        return entries

    def drain_change_log(self, org_id: OrgId, ids: Iterable[str]) -> None:
        """Delete entries whose effects have all been written. Safe to repeat."""
        keys = [object_key(f"{org_id}#changes", id) for id in dict.fromkeys(ids)]
        self._dynamodb.delete_all(self._tables.objects, keys)


def _pk(org_id: OrgId, collection: str) -> str:
    return f"{org_id}#{collection}"


def _stored(collection: str, item: Item) -> Stored:
    rev = item["rev"].S if "rev" in item else ""
    return Stored(collection, item["sk"].S, unpack_json(item["body"].B), rev)
