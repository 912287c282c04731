"""Objects of the management API in DynamoDB: read, list, and change them in one transaction."""

import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pynamodb.connection import Connection
from pynamodb.exceptions import DoesNotExist, TransactWriteError, UpdateError
from pynamodb.transactions import TransactWrite

from pce.errors import Conflict, PceError, Problem, TooLarge, Unavailable
from pce.identifiers import OrgId, uuid7, uuid7_epoch_ms
from pce.presence.record import STATUS_LETTER_OF, TYPE_LETTER_OF
from pce.store.change import Change, Delete, Document, PresenceChange, Put
from pce.store.compression import pack_json, unpack_json
from pce.store.presence_key import presence_key
from pce.store.tables import EventItem, ObjectItem, PresenceItem

MAX_ITEM_BYTES = 380_000
"""Largest compressed document: a DynamoDB item holds 400 KB with its keys."""

EVENT_RETENTION_S = 200 * 86_400
"""The longest retention of audit events that an org may set. Its own is what readers go by: it may
be prolonged at any time, and an event that has expired does not come back."""


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


class ClaimTaken(Conflict):
    """A name in ``Change.claims`` belongs to another object."""


class ObjectStore:
    """Objects, change log and audit events of all orgs.

    ``clock`` gives epoch seconds; ``wake_compiler`` is called with the org after a change that
    policy may depend on. A wake-up that is lost is repaired by the sweep, which finds the entry in
    the change log.
    """

    def __init__(
        self,
        region: str,
        clock: Callable[[], float] = time.time,
        wake_compiler: Callable[[OrgId, str], None] = lambda org_id, change_id: None,
    ) -> None:
        self._connection = Connection(region=region, max_retry_attempts=4)
        self._clock = clock
        self._wake_compiler = wake_compiler

    def get(self, org_id: OrgId, collection: str, id: str) -> Stored | None:
        """One object, read strongly; None when there is none. One read unit per 4 KB."""
        try:
            item = ObjectItem.get(_pk(org_id, collection), id, consistent_read=True)
        except DoesNotExist:
            return None
        return Stored(collection, id, unpack_json(item.body), item.rev or "")

    def all_of(self, org_id: OrgId, collection: str) -> list[Stored]:
        """All objects of a collection in the order of their ids, read strongly.

        Cost: one query per MB of compressed documents (some 2,000 workloads).
        """
        return [
            Stored(collection, item.sk, unpack_json(item.body), item.rev or "")
            for item in ObjectItem.query(_pk(org_id, collection), consistent_read=True)
        ]

    def get_many(self, org_id: OrgId, collection: str, ids: Sequence[str]) -> dict[str, Stored]:
        """Objects by id, read strongly, 100 a request; ids that do not exist are left out."""
        pk = _pk(org_id, collection)
        keys = [(pk, id) for id in dict.fromkeys(ids)]
        return {
            item.sk: Stored(collection, item.sk, unpack_json(item.body), item.rev or "")
            for item in ObjectItem.batch_get(keys, consistent_read=True)
        }

    def put_all(self, org_id: OrgId, collection: str, documents: Mapping[str, Document]) -> None:
        """Store documents by id, 25 a request, each by itself: for immutable ones that nobody
        reads until a later :meth:`commit` names them. Safe to repeat. One write unit per KB."""
        with ObjectItem.batch_write() as batch:
            for id, document in documents.items():
                batch.save(_item(org_id, Put(collection, id, document)))

    def next_id(self, org_id: OrgId, collection: str, count: int = 1) -> int:
        """Take ``count`` new numbers, never given out before; returns the first. One write."""
        item = ObjectItem(f"{org_id}#counters", collection)
        item.update(actions=[ObjectItem.counter.add(count)])
        return int(item.counter or 0) - count + 1

    def count_up(self, org_id: OrgId, collection: str, id: str, limit: int | None) -> bool:
        """Add one to an object's own counter unless it has reached ``limit``; whether it did.

        Atomic, and no transaction: any number of callers at once wait for nobody. One write.
        """
        condition = ObjectItem.pk.exists()
        if limit is not None:
            condition &= ObjectItem.counter.does_not_exist() | (ObjectItem.counter < limit)
        item = ObjectItem(_pk(org_id, collection), id)
        try:
            item.update(actions=[ObjectItem.counter.add(1)], condition=condition)
        except UpdateError as error:
            if error.cause_response_code == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def count_down(self, org_id: OrgId, collection: str, id: str) -> None:
        """Take back one :meth:`count_up`."""
        item = ObjectItem(_pk(org_id, collection), id)
        item.update(actions=[ObjectItem.counter.add(-1)], condition=ObjectItem.pk.exists())

    def commit(self, change: Change) -> str:
        """Write a change, whole or not at all; returns the id of its change-log entry or "".

        Raises :class:`ClaimTaken` when a name is taken, :class:`Conflict` when an object or
        presence item is not what was read, :class:`TooLarge` for a document over
        ``MAX_ITEM_BYTES`` or a change over DynamoDB's 4 MB. Cost: two write units per KB of each
        item.
        """
        now = self._clock()
        change_id = str(uuid7(int(now * 1000), secrets.token_bytes(10)))
        token = secrets.token_hex(16)
        names: list[str] = []
        try:
            with TransactWrite(connection=self._connection, client_request_token=token) as writer:
                names += self._write(writer, change, change_id, now)
        except TransactWriteError as error:
            refused = _refused(error, names)
            if refused is None:
                raise
            raise refused from error
        if change.policy_changes:
            self._wake_compiler(change.org_id, change_id)
            return change_id
        return ""

    def _write(
        self, writer: TransactWrite, change: Change, change_id: str, now: float
    ) -> Iterator[str]:
        """Queue every item; yields what each is called in an error message.

        In the order in which pynamodb sends them, whatever the order of the calls: deletes, puts,
        updates. DynamoDB names the reasons of a refusal by position.
        """
        org_id = change.org_id
        for delete in change.deletes:
            _delete(writer, org_id if delete.org_id is None else delete.org_id, delete)
            yield f"{delete.collection}/{delete.id}"
        for release in change.releases:
            writer.delete(ObjectItem(f"{org_id}#unique", release))
            yield f"release {release}"
        for put in change.puts:
            _put(writer, org_id if put.org_id is None else put.org_id, put)
            yield f"{put.collection}/{put.id}"
        for claim in change.claims:
            item = ObjectItem(f"{org_id}#unique", claim)
            writer.save(item, condition=ObjectItem.pk.does_not_exist())
            yield f"claim {claim}"
        for event in change.events:
            writer.save(event_item(org_id, event, now))
            yield "audit event"
        if change.policy_changes:
            entry = [{"reason": c.reason, "hrefs": list(c.hrefs)} for c in change.policy_changes]
            writer.save(ObjectItem(f"{org_id}#changes", change_id, body=pack_json(entry)))
            yield "change log"
        for presence in sorted(change.presence, key=lambda p: p.create_at is None):
            _change_presence(writer, org_id, presence)  # new ones are puts, all others updates
            yield f"presence of {presence.ven_id}"

    def change_log(self, org_id: OrgId) -> list[ChangeLogEntry]:
        """Entries that no compile has drained yet, oldest first, read strongly."""
        entries = []
        for item in ObjectItem.query(f"{org_id}#changes", consistent_read=True):
            at = uuid7_epoch_ms(uuid.UUID(item.sk))
            for part in unpack_json(item.body):
                entries.append(ChangeLogEntry(item.sk, part["reason"], tuple(part["hrefs"]), at))
        return entries

    def drain_change_log(self, org_id: OrgId, ids: Iterable[str]) -> None:
        """Delete entries whose effects have all been written. Safe to repeat."""
        with ObjectItem.batch_write() as batch:
            for id in dict.fromkeys(ids):
                batch.delete(ObjectItem(f"{org_id}#changes", id))


def event_item(org_id: OrgId, event: Document, now: float) -> EventItem:
    """The stored form of an audit event; its href ends in the uuid7 that is its key.

    When what changed is too much for an item, the event says who did what to which object, and not
    what it was before: a change must not fail because it is large.
    """
    event_id = str(event["href"]).rsplit("/", 1)[-1]
    day = str(event["timestamp"])[:10]
    body = pack_json(event)
    if len(body) > MAX_ITEM_BYTES:
        changes = [{**change, "changes": {}} for change in event["resource_changes"]]
        body = pack_json({**event, "resource_changes": changes})
    return EventItem(f"{org_id}#{day}", event_id, body=body, ttl=int(now) + EVENT_RETENTION_S)


def new_rev() -> str:
    """A revision: a name for one state of one object."""
    return secrets.token_hex(8)


def _pk(org_id: OrgId, collection: str) -> str:
    return f"{org_id}#{collection}"


def _item(org_id: OrgId, put: Put) -> ObjectItem:
    body = pack_json(put.document)
    if len(body) > MAX_ITEM_BYTES:
        raise TooLarge(
            Problem(
                "object_too_large",
                f"{put.collection}/{put.id} takes {len(body)} bytes compressed; at most"
                f" {MAX_ITEM_BYTES} fit. Split it into several objects.",
            )
        )
    return ObjectItem(_pk(org_id, put.collection), put.id, body=body, rev=new_rev(), ttl=put.ttl)


def _put(writer: TransactWrite, org_id: OrgId, put: Put) -> None:
    item = _item(org_id, put)
    if put.expected_rev is None:
        writer.save(item, condition=ObjectItem.pk.does_not_exist())
    else:
        writer.save(item, condition=ObjectItem.rev == put.expected_rev)


def _delete(writer: TransactWrite, org_id: OrgId, delete: Delete) -> None:
    item = ObjectItem(_pk(org_id, delete.collection), delete.id)
    writer.delete(item, condition=ObjectItem.rev == delete.expected_rev)


def _change_presence(writer: TransactWrite, org_id: OrgId, change: PresenceChange) -> None:
    key = presence_key(org_id, change.ven_id)
    if change.create_at is not None:
        item = PresenceItem(
            key.partition,
            key.sort,
            hb=change.create_at,
            th=change.token_hash,
            st=STATUS_LETTER_OF[change.status or "active"],
            fl=change.flags or "",
            ty=TYPE_LETTER_OF[change.ven_type],
        )
        writer.save(item, condition=PresenceItem.p.does_not_exist())
        return
    actions: list[Any] = []
    for attribute, value in (
        (PresenceItem.fl, change.flags),
        (PresenceItem.st, STATUS_LETTER_OF[change.status] if change.status else None),
        (PresenceItem.ac, change.actions),
    ):
        if value is not None:
            actions.append(attribute.set(value))
    if change.goodbye_at is not None:
        actions.append(
            PresenceItem.gb.set(change.goodbye_at)
            if change.goodbye_at
            else PresenceItem.gb.remove()
        )
    if change.token_hash is not None:
        if change.token_hash:
            actions.append(PresenceItem.th.set(change.token_hash))
        else:
            actions += [PresenceItem.th.remove(), PresenceItem.tn.remove()]
    condition: Any = PresenceItem.p.exists()
    if change.expected_flags is not None:
        condition = condition & (PresenceItem.fl == change.expected_flags)
    if change.expected_heartbeat is not None:
        condition = condition & (PresenceItem.hb == change.expected_heartbeat)
    writer.update(PresenceItem(key.partition, key.sort), actions=actions, condition=condition)


def _refused(error: TransactWriteError, names: Sequence[str]) -> PceError | None:
    """What a refused transaction means to the caller; None for what is no caller's matter."""
    code = error.cause_response_code or ""
    if code in _BUSY:
        return _busy()
    if code == "ValidationException" and "size" in str(error.cause_response_message).lower():
        message = "the change is larger than one transaction may be; make it in several"
        return TooLarge(Problem("change_too_large", message))
    return _conflict(error, names) if code == "TransactionCanceledException" else None


_BUSY = (
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionInProgressException",
)
"""Still so after all attempts."""


def _busy() -> Unavailable:
    return Unavailable(Problem("throttled", "the store is busy; repeat the request in a second"))


def _conflict(error: TransactWriteError, names: Sequence[str]) -> Conflict | Unavailable:
    failed = [
        name
        for name, reason in zip(names, error.cancellation_reasons, strict=False)
        if reason is not None and reason.code != "None"
    ]
    codes = {r.code for r in error.cancellation_reasons if r is not None and r.code != "None"}
    if codes and codes <= {"ThrottlingError", "ProvisionedThroughputExceeded"}:
        return _busy()
    what = ", ".join(failed) or str(error)
    problem = Problem("conflict", f"changed meanwhile: {what}; read again and repeat")
    if failed and all(name.startswith("claim ") for name in failed):
        return ClaimTaken(problem)
    return Conflict(problem)
