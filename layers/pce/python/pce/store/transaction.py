"""A :class:`~pce.store.change.Change` as one DynamoDB transaction, and what its refusal means.

It goes through ``store/dynamodb.py``: with pynamodb a transaction takes 5 ms of CPU, and every VEN
of a fleet commits one when it has applied a policy. The token makes a repeat harmless.
"""

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from pce.errors import Conflict, PceError, Problem, TooLarge, Unavailable
from pce.identifiers import OrgId
from pce.presence.record import STATUS_LETTER_OF, TYPE_LETTER_OF, clocks_text
from pce.store.change import Change, Delete, Document, PresenceChange, Put
from pce.store.compression import pack_json
from pce.store.dynamodb import DynamoDB, DynamoDBError
from pce.store.presence_key import presence_key
from pce.store.table_names import TableNames

MAX_ITEM_BYTES = 380_000
"""Largest compressed document: a DynamoDB item holds 400 KB with its keys."""

EVENT_RETENTION_S = 200 * 86_400
"""The longest retention of audit events that an org may set. Its own is what readers go by: it may
be prolonged at any time, and an event that has expired does not come back."""

BUSY = (
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "TransactionInProgressException",
)
"""Still so after all attempts."""


class ClaimTaken(Conflict):
    """A name in ``Change.claims``, or the id of a new object, belongs to another object."""


class Step(NamedTuple):
    """One write of a transaction."""

    name: str
    """What it is called in an error message."""
    write: dict[str, Any]
    """As TransactWriteItems takes it."""


def transact(
    dynamodb: DynamoDB, tables: TableNames, change: Change, change_id: str, now: float
) -> None:
    """Write a change, whole or not at all. Raises as ``ObjectStore.commit`` does, and
    :class:`DynamoDBError` for what is no caller's matter."""
    steps = list(_steps(tables, change, change_id, now))
    token = secrets.token_hex(16)
    try:
        dynamodb.call(
            "TransactWriteItems",
            TransactItems=[step.write for step in steps],
            ClientRequestToken=token,
        )
    except DynamoDBError as error:
        refused = _refused(error, steps)
        if refused is None:
            raise
        raise refused from error


def _steps(tables: TableNames, change: Change, change_id: str, now: float) -> Iterator[Step]:
    org_id = change.org_id
    for delete in change.deletes:
        yield Step(f"{delete.collection}/{delete.id}", _delete(tables, org_id, delete))
    for release in change.releases:
        key = object_key(f"{org_id}#unique", release)
        write = {"Delete": {"TableName": tables.objects, "Key": key}}
        yield Step(f"release {release}", write)
    for put in change.puts:
        new = "new " if put.expected_rev is None else ""
        yield Step(f"{new}{put.collection}/{put.id}", _put(tables, org_id, put))
    for claim in change.claims:
        item = object_key(f"{org_id}#unique", claim)
        yield Step(f"claim {claim}", _new(tables.objects, item, "pk"))
    for event in change.events:
        write = {"Put": {"TableName": tables.events, "Item": event_item(org_id, event, now)}}
        yield Step("audit event", write)
    if change.policy_changes:
        entry = [{"reason": c.reason, "hrefs": list(c.hrefs)} for c in change.policy_changes]
        item = object_key(f"{org_id}#changes", change_id) | {"body": {"B": pack_json(entry)}}
        yield Step("change log", {"Put": {"TableName": tables.objects, "Item": item}})
    for presence in change.presence:
        write = _presence(tables.presence, org_id, presence)
        yield Step(f"presence of {presence.ven_id}", write)


def object_key(pk: str, sk: str) -> dict[str, Any]:
    """The key of an item of the objects table."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def object_item(org_id: OrgId, put: Put) -> dict[str, Any]:
    """The stored form of an object, with a new revision. Raises :class:`TooLarge`."""
    body = pack_json(put.document)
    if len(body) > MAX_ITEM_BYTES:
        raise TooLarge(
            Problem(
                "object_too_large",
                f"{put.collection}/{put.id} takes {len(body)} bytes compressed; at most"
                f" {MAX_ITEM_BYTES} fit. Split it into several objects.",
            )
        )
    item = object_key(f"{org_id}#{put.collection}", put.id)
    item |= {"body": {"B": body}, "rev": {"S": new_rev()}}
    if put.ttl is not None:
        item["ttl"] = {"N": str(put.ttl)}
    return item


def event_item(org_id: OrgId, event: Document, now: float) -> dict[str, Any]:
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
    expires = {"N": str(int(now) + EVENT_RETENTION_S)}
    return object_key(f"{org_id}#{day}", event_id) | {"body": {"B": body}, "ttl": expires}


def new_rev() -> str:
    """A revision: a name for one state of one object."""
    return secrets.token_hex(8)


def _new(table: str, item: dict[str, Any], key: str) -> dict[str, Any]:
    condition = f"attribute_not_exists({key})"
    return {"Put": {"TableName": table, "Item": item, "ConditionExpression": condition}}


def _put(tables: TableNames, org_id: OrgId, put: Put) -> dict[str, Any]:
    item = object_item(org_id if put.org_id is None else put.org_id, put)
    if put.expected_rev is None:
        return _new(tables.objects, item, "pk")
    return {"Put": {"TableName": tables.objects, "Item": item, **_still(put.expected_rev)}}


def _delete(tables: TableNames, org_id: OrgId, delete: Delete) -> dict[str, Any]:
    owner = org_id if delete.org_id is None else delete.org_id
    key = object_key(f"{owner}#{delete.collection}", delete.id)
    return {"Delete": {"TableName": tables.objects, "Key": key, **_still(delete.expected_rev)}}


def _still(rev: str) -> dict[str, Any]:
    return {
        "ConditionExpression": "rev = :rev",
        "ExpressionAttributeValues": {":rev": {"S": rev}},
    }


def _presence(table: str, org_id: OrgId, change: PresenceChange) -> dict[str, Any]:
    partition, sort = presence_key(org_id, change.ven_id)
    key: dict[str, Any] = {"p": {"S": partition}, "v": {"B": sort}}
    if change.create_at is not None:
        item = key | {
            "hb": {"N": str(change.create_at)},
            "st": {"S": STATUS_LETTER_OF[change.status or "active"]},
            "fl": {"S": change.flags or ""},
            "ty": {"S": TYPE_LETTER_OF[change.ven_type]},
        }
        if change.token_hash is not None:
            item["th"] = {"B": change.token_hash}
        if change.clocks is not None:
            item["iv"] = {"S": clocks_text(change.clocks)}
        return _new(table, item, "p")
    if change.delete:
        return {"Delete": {"TableName": table, "Key": key, **_as_seen(change)}}
    values: dict[str, Any] = {}
    removed = []
    if change.flags is not None:
        values["fl"] = {"S": change.flags}
    if change.status:
        values["st"] = {"S": STATUS_LETTER_OF[change.status]}
    if change.actions is not None:
        values["ac"] = {"S": change.actions}
    if change.goodbye_at:
        values["gb"] = {"N": str(change.goodbye_at)}
    elif change.goodbye_at == 0:
        removed.append("gb")
    if change.unpaired_at is not None:
        values["un"] = {"N": str(change.unpaired_at)}
    if change.upgrade_expires_at:
        values["ux"] = {"N": str(change.upgrade_expires_at)}
    elif change.upgrade_expires_at == 0:
        removed.append("ux")
    if change.token_hash:
        values["th"] = {"B": change.token_hash}
    elif change.token_hash is not None:
        removed += ["th", "tn"]
    return _update(table, key, values, removed, change)


def _update(
    table: str,
    key: dict[str, Any],
    values: dict[str, Any],
    removed: list[str],
    change: PresenceChange,
) -> dict[str, Any]:
    bound = {f":_{name}": value for name, value in values.items()}
    expression = "SET " + ", ".join(f"{name} = :_{name}" for name in values) if values else ""
    if removed:
        expression += " REMOVE " + ", ".join(removed)
    condition = _as_seen(change)
    bound |= condition.pop("ExpressionAttributeValues", {})
    update = {
        "TableName": table,
        "Key": key,
        "UpdateExpression": expression.strip(),
        **condition,
        **({"ExpressionAttributeValues": bound} if bound else {}),
    }
    return {"Update": update}


def _as_seen(change: PresenceChange) -> dict[str, Any]:
    """The condition that the item is still as it was read."""
    seen: dict[str, Any] = {}
    if change.expected_flags is not None:
        seen["fl"] = {"S": change.expected_flags}
    if change.expected_heartbeat is not None:
        seen["hb"] = {"N": str(change.expected_heartbeat)}
    terms = ["attribute_exists(p)", *(f"{name} = :{name}" for name in seen)]
    values = {f":{name}": value for name, value in seen.items()}
    return {
        "ConditionExpression": " AND ".join(terms),
        **({"ExpressionAttributeValues": values} if values else {}),
    }


def _refused(error: DynamoDBError, steps: list[Step]) -> PceError | None:
    """What a refused transaction means to the caller; None for what is no caller's matter."""
    if error.code in BUSY:
        return _busy()
    if error.code == "ValidationException" and "size" in str(error).lower():
        message = "the change is larger than one transaction may be; make it in several"
        return TooLarge(Problem("change_too_large", message))
    return _conflict(error, steps) if error.code == "TransactionCanceledException" else None


def _busy() -> Unavailable:
    return Unavailable(Problem("throttled", "the store is busy; repeat the request in a second"))


def _conflict(error: DynamoDBError, steps: list[Step]) -> Conflict | Unavailable:
    failed = [
        (step.name, reason)
        for step, reason in zip(steps, error.reasons, strict=False)
        if reason != "None"
    ]
    if failed and {code for _, code in failed} <= {
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    }:
        return _busy()
    what = ", ".join(name for name, _ in failed) or str(error)
    problem = Problem("conflict", f"changed meanwhile: {what}; read again and repeat")
    if failed and all(name.startswith(("claim ", "new ")) for name, _ in failed):
        return ClaimTaken(problem)
    return Conflict(problem)
