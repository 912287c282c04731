"""DynamoDB as JSON over one kept-alive connection.

It knows no types but text, numbers and bytes, and builds no expressions. Why it exists:
``docs/decisions/0003-dynamodb-client-of-hot-functions.md``.

A request whose reply was lost is sent again (see ``signed_http.py``), so every write through here
must bear a repeat. They do: a sign of life, a token's promotion and a deletion set the same values
again under the same condition; a flow batch, a target etag and a sweep's document are conditional
and the repeat is refused, which reads as "done before"; a compile number that is skipped is a
number that nobody uses, as is a skipped id; a pairing key's use that counts twice is one use less.
Batches put what is named by its content, or delete. Transactions carry a token by which DynamoDB
knows a repeat. A VEN repeats what was answered
with 5xx anyway, and to the same effect.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pce.store.endpoint import Endpoint
from pce.store.signed_http import FIRST_WAIT_S, SignedHttp
from pce.store.signed_http import Reply as HttpReply

READ_TOGETHER = 100
WRITTEN_TOGETHER = 25
"""Items that DynamoDB takes in one ``BatchGetItem`` and ``BatchWriteItem``."""
PAGE_TIMEOUT_S = 10
"""For a page of a query or scan, which no hot function waits for. DynamoDB answers within a second;
the local host's store answers 100,000 items in one piece."""
BATCH_ATTEMPTS = 8
"""Requests for what DynamoDB leaves undone of a batch, with waits from 50 ms that double: 6 s
outlast a burst on one partition."""

_THROTTLED = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)


class Value(msgspec.Struct, frozen=True):
    """An attribute's value: text, number or bytes. What is sent may also be a plain dict; bytes
    travel as base64 text both ways."""

    S: str = ""
    N: str = ""
    B: bytes = b""


Item = dict[str, Value]
Key = Mapping[str, Mapping[str, Any]]
"""A primary key as it is sent: ``{"pk": {"S": "1#parts"}, "sk": {"S": "..."}}``."""


class Reply(msgspec.Struct, frozen=True, rename="pascal"):
    """What any of the operations may answer."""

    item: Item | None = None
    attributes: Item = {}
    count: int = 0
    items: list[Item] = []
    last_evaluated_key: msgspec.Raw = msgspec.Raw(b"")
    responses: dict[str, list[Item]] = {}
    unprocessed_keys: dict[str, msgspec.Raw] = {}
    unprocessed_items: dict[str, msgspec.Raw] = {}


class DynamoDBError(Exception):
    """A request that DynamoDB refused. ``code`` is its name for the reason; ``reasons`` are the
    codes of a transaction's parts, in order, the word "None" for those that were not at fault."""

    def __init__(
        self, operation: str, code: str, message: str, reasons: Sequence[str] = ()
    ) -> None:
        super().__init__(f"DynamoDB {operation}: {code}: {message}")
        self.code = code
        self.reasons = tuple(reasons)


class ConditionFailed(DynamoDBError):
    """A conditional write whose condition does not hold; nothing was written."""


class _Reason(msgspec.Struct):
    Code: str | None = None


class _Refusal(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""
    Message: str = ""  # some of its front ends write it like this
    CancellationReasons: list[_Reason | None] = []

    @property
    def reasons(self) -> list[str]:
        """The code of each part of a transaction."""
        return [(reason and reason.Code) or "None" for reason in self.CancellationReasons]

    @property
    def code(self) -> str:
        """``com.amazonaws.dynamodb.v20120810#ThrottlingException`` without its name space."""
        return self.type.rpartition("#")[2]


_ENCODER = msgspec.json.Encoder()
_REPLY = msgspec.json.Decoder(Reply)
_REFUSAL = msgspec.json.Decoder(_Refusal)


class DynamoDB:
    """Calls operations by their names in the API reference. Threads may share it."""

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None] = time.sleep) -> None:
        self._http = SignedHttp("dynamodb", endpoint, _is_transient, sleep)
        self._sleep = sleep

    def call(self, operation: str, **parameters: Any) -> Reply:
        """One request, for example ``call("GetItem", TableName="presence", Key={...})``.

        Raises :class:`ConditionFailed`, :class:`DynamoDBError` for other refusals (a throttled
        request or a fault of DynamoDB only after several attempts), and
        :class:`~pce.store.signed_http.Unreachable`.
        """
        return self._call(operation, parameters)

    def _call(
        self, operation: str, parameters: Mapping[str, Any], read_timeout_s: float | None = None
    ) -> Reply:
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        body = _ENCODER.encode(parameters)
        reply = self._http.send("POST", "/", headers, body, read_timeout_s)
        if reply.status == 200:
            return _REPLY.decode(reply.body)
        refusal = _refusal_in(reply)
        kind = (
            ConditionFailed if refusal.code == "ConditionalCheckFailedException" else DynamoDBError
        )
        message = refusal.message or refusal.Message
        raise kind(operation, refusal.code, message, refusal.reasons)

    def pages(self, operation: str, **parameters: Any) -> Iterator[list[Item]]:
        """The pages of a ``Query`` or ``Scan``, of up to 1 MB each. One request a page."""
        reply = self._call(operation, parameters, PAGE_TIMEOUT_S)
        yield reply.items
        while reply.last_evaluated_key:
            parameters["ExclusiveStartKey"] = reply.last_evaluated_key
            reply = self._call(operation, parameters, PAGE_TIMEOUT_S)
            yield reply.items

    def get_all(self, table: str, keys: Sequence[Key], *, strongly: bool = False) -> list[Item]:
        """The items of these keys (no two alike) that exist, in any order.

        One request per 100 keys or 16 MB. Raises as :meth:`call` does.
        """
        found: list[Item] = []
        for at in range(0, len(keys), READ_TOGETHER):
            asked = {"Keys": keys[at : at + READ_TOGETHER], "ConsistentRead": strongly}
            for reply in self._batches("BatchGetItem", {table: asked}):
                found += reply.responses.get(table, [])
        return found

    def put_all(self, table: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Put items (no two of one key), each by itself and in any order; one request per 25.

        Raises as :meth:`call` does; some may have been put then.
        """
        for at in range(0, len(items), WRITTEN_TOGETHER):
            puts = [{"PutRequest": {"Item": i}} for i in items[at : at + WRITTEN_TOGETHER]]
            for _ in self._batches("BatchWriteItem", {table: puts}):
                pass

    def delete_all(self, table: str, keys: Sequence[Key]) -> None:
        """Delete items (no key twice), each by itself and in any order; one request per 25.

        Raises as :meth:`call` does; some may have been deleted then.
        """
        for at in range(0, len(keys), WRITTEN_TOGETHER):
            deletes = [{"DeleteRequest": {"Key": k}} for k in keys[at : at + WRITTEN_TOGETHER]]
            for _ in self._batches("BatchWriteItem", {table: deletes}):
                pass

    def _batches(self, operation: str, rest: Mapping[str, Any]) -> Iterator[Reply]:
        """The replies to a batch, until DynamoDB has left nothing of it undone."""
        for attempt in range(BATCH_ATTEMPTS):
            if attempt:
                self._sleep(FIRST_WAIT_S * 2 ** (attempt - 1) * random.random())  # noqa: S311 - spreads load
            reply = self.call(operation, RequestItems=rest)
            yield reply
            rest = reply.unprocessed_keys or reply.unprocessed_items
            if not rest:
                return
        why = f"something was left undone {BATCH_ATTEMPTS} times; the table is throttled"
        raise DynamoDBError(operation, "Unprocessed", why)


def _is_transient(reply: HttpReply) -> bool:
    return reply.status >= 500 or _refusal_in(reply).code in _THROTTLED


def _refusal_in(reply: HttpReply) -> _Refusal:
    try:
        return _REFUSAL.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        shown = reply.body[:200].decode(errors="replace")
        return _Refusal(f"HTTP status {reply.status}", shown)
