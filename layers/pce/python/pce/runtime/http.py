"""Between API Gateway's events and the product: requests in, replies and errors out.

The one table from error class to HTTP status is here. Anything that is not a ``PceError`` is a
bug: it is left to fail, so that it is seen as a 5xx and in the function's error metric.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import msgspec

from pce.errors import (
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    PceError,
    Problem,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from pce.identifiers import OrgId
from ven_protocol.compression import Corrupt, inflate
from ven_protocol.compression import TooLarge as InflatedTooLarge
from ven_protocol.limits import MAX_INFLATED_BYTES, MAX_JSON_BODY_BYTES
from ven_protocol.paths import AgentToken

STATUS: dict[type[PceError], int] = {
    Unauthenticated: 401,
    NotAllowed: 403,
    NotFound: 404,
    Invalid: 406,
    Conflict: 409,
    TooLarge: 413,
    TooManyRequests: 429,
    Unavailable: 503,
}

MAX_PROBLEMS = 100
"""Problems in one answer: nobody reads more, and a list of 10,000 wrong entries has as many."""
MAX_MESSAGE = 1_000
"""Characters of a problem's message: it may quote what was sent, and Lambda returns 6 MB."""

Event = Mapping[str, Any]
Reply = dict[str, Any]

_Message = TypeVar("_Message", bound=msgspec.Struct)
_AT = re.compile(r" - at `\$\.?([^`]*)`")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, taken out of API Gateway's payload 2.0."""

    method: str
    path: str
    parameters: Mapping[str, str]
    """Path parameters of the route."""
    headers: Mapping[str, str]
    """Names in lower case."""
    raw_query: str
    body: bytes
    source_ip: str


def request_of(event: Event) -> Request:
    """The request in an event. Raises :class:`Invalid` for a body that is not base64."""
    http = event["requestContext"]["http"]
    text = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            body = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise Invalid(Problem("malformed_body", f"the body is not base64: {error}")) from error
    else:
        body = text.encode()
    return Request(
        method=http["method"],
        path=event["rawPath"],
        parameters=event.get("pathParameters") or {},
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        raw_query=event.get("rawQueryString") or "",
        body=body,
        source_ip=http.get("sourceIp", ""),
    )


def json_reply(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with a JSON body; without one, an empty reply (204). Compatible clients compare the
    content type whole, so it carries no charset."""
    if body is None:
        return {"statusCode": status, "headers": dict(headers or {}), "body": ""}
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **(headers or {})},
        "body": msgspec.json.encode(body).decode(),
    }


def status_of(error: PceError) -> int:
    """The HTTP status that an error is answered with."""
    return next(code for kind, code in STATUS.items() if isinstance(error, kind))


def error_reply(error: PceError) -> Reply:
    """The reply for an error: its status, and its problems as a JSON list."""
    status = status_of(error)
    problems = []
    for problem in error.problems[:MAX_PROBLEMS]:
        entry: dict[str, Any] = {"token": problem.token, "message": problem.message[:MAX_MESSAGE]}
        if problem.field is not None:
            entry["field"] = problem.field[:MAX_MESSAGE]
        problems.append(entry)
    wait_s = error.retry_after_s if isinstance(error, TooManyRequests) else None
    return json_reply(status, problems, None if wait_s is None else {"retry-after": str(wait_s)})


def http_function(handle: Callable[[Request], Reply]) -> Callable[[Event, object], Reply]:
    """Make a Lambda handler of a function from request to reply; maps ``PceError`` to replies."""

    @wraps(handle)
    def handler(event: Event, context: object) -> Reply:
        try:
            return handle(request_of(event))
        except PceError as error:
            return error_reply(error)

    return handler


def ven_of(request: Request) -> tuple[OrgId, uuid.UUID]:
    """The org and the VEN that the path names, of a request that comes without an agent token: who
    sent it is for the use case to find out. Raises :class:`NotFound` for what is no number and no
    UUID."""
    try:
        org_id = OrgId(int(request.parameters["org_id"]))
        return org_id, uuid.UUID(request.parameters["ven_id"])
    except ValueError as error:
        raise NotFound(Problem("not_found", f"there is nothing at {request.path}")) from error


def agent_of(request: Request) -> AgentToken:
    """The agent token of a request, checked against the VEN that its path names.

    Raises :class:`Unauthenticated` without a well-formed token and :class:`NotAllowed` when the
    path belongs to another org or VEN. Whether the secret is right is checked by the presence
    table's conditional write.
    """
    token = bearer_token(request.headers)
    org, ven = request.parameters.get("org_id", ""), request.parameters.get("ven_id", "")
    try:
        mine = int(org) == token.org_id and uuid.UUID(ven) == token.ven_id
    except ValueError:
        mine = False
    if not mine:
        raise NotAllowed(
            Problem(
                "not_your_ven",
                f"the token belongs to another VEN than {request.path}; use the hrefs that the"
                " activation returned",
            )
        )
    return token


def bearer_token(headers: Mapping[str, str]) -> AgentToken:
    """The agent token in the Authorization header; raises :class:`Unauthenticated`."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    token = AgentToken.parse(text.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise Unauthenticated(
            Problem(
                "invalid_agent_token",
                "send the agent token of the activation as 'Authorization: Bearer TOKEN'",
            )
        )
    return token


def inflated_body(request: Request, limit: int, inflated_limit: int) -> bytes:
    """The body, inflated when it is gzip or zstd; both sizes are in bytes.

    Raises :class:`TooLarge` before more than ``inflated_limit`` bytes are made.
    """
    if len(request.body) > limit:
        raise TooLarge(
            Problem("body_too_large", f"the body has {len(request.body)} bytes, at most {limit}")
        )
    try:
        return inflate(request.body, inflated_limit)
    except InflatedTooLarge as error:
        message = f"the body inflates to more than {inflated_limit} bytes; send it in parts"
        raise TooLarge(Problem("body_too_large", message)) from error
    except Corrupt as error:
        message = f"the body's compression is damaged: {error}"
        raise Invalid(Problem("malformed_body", message)) from error


def json_body(request: Request, kind: type[_Message]) -> _Message:
    """The body as a message of this type; raises :class:`Invalid` naming the field."""
    body = inflated_body(request, MAX_JSON_BODY_BYTES, MAX_INFLATED_BYTES)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise Invalid(_validation_problem(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(Problem("malformed_json", f"the body is not JSON: {error}")) from error


def _validation_problem(error: msgspec.ValidationError) -> Problem:
    text = str(error)
    where = _AT.search(text)
    field = where[1] if where else ""
    missing = re.search(r"required field `([^`]*)`", text)
    if missing:
        field = f"{field}.{missing[1]}" if field else missing[1]
    what = _AT.sub("", text)
    return Problem("invalid_field", f"{field or 'the body'}: {what}", field or None)
