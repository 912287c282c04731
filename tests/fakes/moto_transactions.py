"""moto's DynamoDB transactions, made cheap and atomic.

moto copies the whole table for every item of a transaction, so that it can roll back: the more a
test has stored, the longer each change takes, until clients send it again. It lets other threads in
between, and does not know the client's token: sent again, a transaction that was done is refused.
Here a transaction copies references to rows, and rows only where it changes them in place; requests
to DynamoDB take turns; a token that was answered is answered alike.
"""

import copy
from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from unittest import mock

from moto.dynamodb import models
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

_transact = models.DynamoDBBackend.transact_write_items
_answer = DynamoHandler.transact_write_items
answered: dict[str, Any] = {}
"""Answers by ``ClientRequestToken``: DynamoDB keeps them for ten minutes, a test until its end."""


def install() -> None:
    """Make moto's transactions these."""
    models.DynamoDBBackend.transact_write_items = transact_write_items
    DynamoHandler.transact_write_items = answer_once


def _snapshot(value: Any) -> Any:
    """A table with its rows, which are not copied; anything else is copied as usual."""
    if not isinstance(value, Table):
        return copy.deepcopy(value)
    twin = copy.copy(value)
    twin.items = defaultdict(dict, {key: dict(rows) for key, rows in value.items.items()})
    return twin


def _changed_in_place(backend: Any, transact_items: list[dict[str, Any]]) -> list[Any]:
    """Table, key and copy of every row that an update will change."""
    rows = []
    for item in transact_items:
        update = item.get("Update")
        if update:
            table = backend.tables[update["TableName"]]
            first, second = table.hash_key_attr, table.range_key_attr
            at = DynamoType(update["Key"][first]), DynamoType(update["Key"][second])
            row = table.items.get(at[0], {}).get(at[1])
            if row is not None:
                rows.append((update["TableName"], *at, copy.deepcopy(row)))
    return rows


def transact_write_items(backend: Any, transact_items: list[dict[str, Any]]) -> None:
    """As moto's, at the cost of what is changed."""
    before = _changed_in_place(backend, transact_items)
    try:
        with mock.patch.object(models, "copy", SimpleNamespace(deepcopy=_snapshot)):
            _transact(backend, transact_items)
    except Exception:
        for table, partition, sort, row in before:
            backend.tables[table].items[partition][sort] = row
        raise


def answer_once(handler: Any) -> Any:
    """A transaction that succeeded is not done again for the same token."""
    token = handler.body.get("ClientRequestToken")
    if token is None:
        return _answer(handler)
    if token not in answered:
        answered[token] = _answer(handler)
    return answered[token]
