"""DynamoDB for the functions that every VEN calls: JSON over one kept-alive connection.

What it does not know (transactions, batches, sets, documents) the other functions do with pynamodb.
Why it exists: ``docs/decisions/0003-dynamodb-client-of-hot-functions.md``.

A request whose reply was lost is sent again (see ``signed_http.py``), so every write through here
must bear a repeat. They do: a sign of life, a token's promotion and a deletion set the same values
again under the same condition; a flow batch, a target etag and a sweep's document are conditional
and the repeat is refused, which reads as "done before"; a compile number that is skipped is a
number that nobody uses. A VEN repeats what was answered with 5xx anyway, and to the same effect.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from pce.store.endpoint import Endpoint
from pce.store.signed_http import Reply as HttpReply
from pce.store.signed_http import SignedHttp

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


class Reply(msgspec.Struct, frozen=True, rename="pascal"):
    """What any of the operations may answer."""

    item: Item | None = None
    attributes: Item = {}
    items: list[Item] = []
    last_evaluated_key: msgspec.Raw = msgspec.Raw(b"")


class DynamoDBError(Exception):
    """A request that DynamoDB refused. ``code`` is its name for the reason."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(f"DynamoDB {operation}: {code}: {message}")
        self.code = code


class ConditionFailed(DynamoDBError):
    """A conditional write whose condition does not hold; nothing was written."""


class _Refusal(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""
    Message: str = ""  # some of its front ends write it like this

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

    def call(self, operation: str, **parameters: Any) -> Reply:
        """One request, for example ``call("GetItem", TableName="presence", Key={...})``.

        Raises :class:`ConditionFailed`, :class:`DynamoDBError` for other refusals (a throttled
        request or a fault of DynamoDB only after several attempts), and
        :class:`~pce.store.signed_http.Unreachable`.
        """
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        reply = self._http.send("POST", "/", headers, _ENCODER.encode(parameters))
        if reply.status == 200:
            return _REPLY.decode(reply.body)
        refusal = _refusal_in(reply)
        kind = (
            ConditionFailed if refusal.code == "ConditionalCheckFailedException" else DynamoDBError
        )
        raise kind(operation, refusal.code, refusal.message or refusal.Message)

    def pages(self, operation: str, **parameters: Any) -> Iterator[list[Item]]:
        """The pages of a ``Query`` or ``Scan``, of up to 1 MB each. One request a page."""
        reply = self.call(operation, **parameters)
        yield reply.items
        while reply.last_evaluated_key:
            start = reply.last_evaluated_key
            reply = self.call(operation, **parameters, ExclusiveStartKey=start)
            yield reply.items


def _is_transient(reply: HttpReply) -> bool:
    return reply.status >= 500 or _refusal_in(reply).code in _THROTTLED


def _refusal_in(reply: HttpReply) -> _Refusal:
    try:
        return _REFUSAL.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        shown = reply.body[:200].decode(errors="replace")
        return _Refusal(f"HTTP status {reply.status}", shown)
