"""One call of the management API, taken apart for its endpoint; and the forms of its answers."""

import base64
import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from pce.errors import Invalid, Problem
from pce.runtime.http import Reply, Request, inflated_body, json_reply
from pce.usecases.authenticate import Identity
from pce.usecases.caller import Caller
from pce.usecases.export_collection import export_collection
from pce.usecases.read_objects import DEFAULT_RESULTS, Page, max_results
from pce.usecases.stores import Stores

MAX_BODY_BYTES = 4_500_000
"""Largest body as sent: a Lambda event holds 6 MB, and base64 adds a third."""
MAX_INFLATED_BYTES = 16_000_000
"""Largest body after inflating: 1,000 workloads with 100 interfaces each."""
COMPRESSED_FROM_BYTES = 50_000
"""Answers from this size on are compressed for clients that take gzip: below it the time costs
more than the bytes."""
MAX_ANSWER_BYTES = 5_900_000
"""Largest answer, in the form in which Lambda returns it (6 MB with the envelope)."""
RETRY_AFTER_S = "1"
"""Seconds after which a client should look at its job; most are done at once."""

_PREFIX = re.compile(r"/api/v\d+(?=/|$)")


@dataclass(frozen=True)
class Call:
    """What an endpoint is given."""

    request: Request
    path: Mapping[str, str]
    """Values of the names in the route's pattern."""
    caller: Caller
    identity: Identity
    stores: Stores

    @cached_property
    def query(self) -> Mapping[str, str]:
        """Query parameters; of a repeated one the last counts."""
        return dict(parse_qsl(self.request.raw_query, keep_blank_values=True))

    @property
    def id(self) -> str:
        """The object's id in the path."""
        return self.path["id"]

    @property
    def version(self) -> str:
        """The policy version in the path: ``draft``, ``active`` or a number."""
        return self.path["version"]

    @cached_property
    def body(self) -> Any:
        """The JSON body; no body is an empty object. Raises :class:`Invalid` naming the place."""
        return json_value(self.request)

    @property
    def wants_job(self) -> bool:
        """Whether the client asked for an asynchronous answer."""
        return "respond-async" in self.request.headers.get("prefer", "").lower()


Endpoint = Callable[[Call], Reply]


def json_value(request: Request) -> Any:
    """The JSON body of a request; no body is an empty object. Raises :class:`Invalid`."""
    body = inflated_body(request, MAX_BODY_BYTES, MAX_INFLATED_BYTES)
    try:
        return msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(Problem("malformed_json", f"the body is not JSON: {error}")) from error


def api_path(raw_path: str) -> str:
    """The path behind ``/api/v2``, as routes are written: clients double slashes and add one at
    the end."""
    return re.sub(r"/+", "/", _PREFIX.sub("", re.sub(r"/+", "/", raw_path), count=1)).rstrip("/")


def ok(document: Any) -> Reply:
    """200 with an object."""
    return json_reply(200, document)


def created(document: Any) -> Reply:
    """201 with the whole new object."""
    return json_reply(201, document)


def no_content() -> Reply:
    """204: changed or deleted, nothing to say."""
    return json_reply(204)


def accepted(job: str) -> Reply:
    """202: the answer will be the result of this job."""
    return json_reply(202, None, {"location": job, "retry-after": RETRY_AFTER_S})


def listed(
    call: Call, read: Callable[[int | None], Page], default: int | None = DEFAULT_RESULTS
) -> Reply:
    """A collection: at once with its total in a header, or as a job when the client prefers so.

    ``read`` gets how many objects are wanted, None for all.
    """
    if call.wants_job:
        limit = max_results(call.query, None)
        job = export_collection(
            call.caller, api_path(call.request.path), read(limit).documents, call.stores
        )
        return accepted(job)
    page = read(max_results(call.query, default))
    return json_reply(200, page.documents, {"x-total-count": str(page.total)})


def whole(call: Call, documents: list[dict[str, Any]]) -> Reply:
    """A collection that is small, or empty in this product."""
    return listed(call, lambda limit: Page(documents[:limit], len(documents)))


def gzipped(body: bytes, call: Call, content_type: str) -> Reply:
    """A body that is gzip already, inflated again for clients that do not take gzip."""
    headers = {"content-type": content_type}
    if "gzip" in call.request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return {
        "statusCode": 200,
        "headers": headers,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def fitting(reply: Reply, request: Request) -> Reply:
    """The reply, compressed when that is worth it; an error when it is too large for Lambda."""
    text = reply.get("body") or ""
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    if takes_gzip and len(text) > COMPRESSED_FROM_BYTES and not reply.get("isBase64Encoded"):
        packed = gzip.compress(text.encode(), compresslevel=3)
        headers = {**reply["headers"], "content-encoding": "gzip"}
        text = base64.b64encode(packed).decode()
        reply = {**reply, "headers": headers, "body": text, "isBase64Encoded": True}
    if len(text) > MAX_ANSWER_BYTES:
        message = f"the answer has {len(text)} bytes; filter, lower max_results, or accept gzip"
        raise Invalid(Problem("answer_too_large", message))
    return reply
