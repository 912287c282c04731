"""HTTP requests as the events that API Gateway makes of them, and results as HTTP responses.

Payload format 2.0 of HTTP APIs on the ``$default`` stage (AWS: "Working with AWS Lambda proxy
integrations for HTTP APIs"). Pure: no sockets, no clock.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from pce_local.config import ACCOUNT
from pce_local.routes import Match

MAX_BODY_BYTES = 10 * 1024 * 1024
"""API Gateway's payload limit."""

MAX_HEADER_BYTES = 10_240
"""API Gateway's limit for the request line and all headers together."""

MAX_LAMBDA_BYTES = 6 * 1024 * 1024
"""Lambda's limit for an event and for a result, as JSON: a binary body may be 4.5 MB."""

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "transfer-encoding", "upgrade"})
_API_ID = "local"


class MalformedResult(Exception):
    """A handler returned what API Gateway would refuse; the message says what."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came over the wire."""

    method: str
    raw_path: str
    """Percent-encoded, without the query."""
    raw_query: str
    headers: tuple[tuple[str, str], ...]
    """In order of arrival; names may repeat."""
    body: bytes
    source_ip: str
    port: int
    """The port it came in on."""
    received: datetime
    request_id: str


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response to put on the wire."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=(("content-type", "text/plain"),))


def message_response(status: int, message: str) -> HttpResponse:
    """A response in the form of API Gateway's own errors, for example a 404."""
    body = json.dumps({"message": message}, separators=(",", ":")).encode()
    return HttpResponse(status, body, (("content-type", "application/json"),))


def is_text(content_type: str) -> bool:
    """Whether API Gateway passes a body of this type as text; every other comes as base64."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in (
        "application/json",
        "application/xml",
        "application/javascript",
    )


def http_event(request: HttpRequest, match: Match) -> dict[str, Any]:
    """The payload-2.0 event for a request on a route."""
    headers, cookies = _headers(request)
    domain = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    path = unquote(request.raw_path)  # HTTP APIs hand the path over decoded, unlike REST APIs
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": match.route.key,
        "rawPath": path,
        "rawQueryString": request.raw_query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": _API_ID,
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request.request_id,
            "routeKey": match.route.key,
            "stage": "$default",
            "time": request.received.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(request.received.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if request.raw_query:
        event["queryStringParameters"] = _joined(
            parse_qsl(request.raw_query, keep_blank_values=True)
        )
    if match.parameters:
        event["pathParameters"] = match.parameters
    if request.body:
        if is_text(headers.get("content-type", "")):
            event["body"] = request.body.decode(errors="replace")
        else:
            event["body"] = base64.b64encode(request.body).decode()
            event["isBase64Encoded"] = True
    return event


def fits_lambda(event: dict[str, Any]) -> bool:
    """Whether Lambda would take the event; without its body an event is far below the limit."""
    body = event.get("body", "")
    if len(body) + 2 * MAX_HEADER_BYTES < MAX_LAMBDA_BYTES // 6:
        return True  # even if each character became an escape of six
    return len(json.dumps(event)) <= MAX_LAMBDA_BYTES


def http_response(result: Any) -> HttpResponse:
    """The response for what a handler returned.

    Raises:
        MalformedResult: the result is not JSON, too large, or not of the response's shape.
    """
    try:
        size = len(json.dumps(result))
    except (TypeError, ValueError) as error:
        raise MalformedResult(f"the result is not JSON: {error}") from error
    if size > MAX_LAMBDA_BYTES:
        raise MalformedResult(f"the result is {size} bytes, Lambda takes {MAX_LAMBDA_BYTES}")
    if not isinstance(result, dict) or "statusCode" not in result:
        # Without a statusCode the result itself is the body (AWS: "inferred" format).
        return HttpResponse(
            200, json.dumps(result).encode(), (("content-type", "application/json"),)
        )
    status = result["statusCode"]
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise MalformedResult(f"statusCode {status!r} is not an HTTP status")
    text = result.get("body") or ""
    if not isinstance(text, str):
        raise MalformedResult(f"body is {type(text).__name__}, not text")
    try:
        body = base64.b64decode(text, validate=True) if result.get("isBase64Encoded") else None
    except ValueError as error:
        raise MalformedResult(f"isBase64Encoded, but the body is not base64: {error}") from error
    headers = [(str(k).lower(), str(v)) for k, v in (result.get("headers") or {}).items()]
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    headers += [("set-cookie", str(cookie)) for cookie in result.get("cookies") or ()]
    if any("\r" in v or "\n" in v for _, v in headers):
        raise MalformedResult("a header value contains a line break")
    return HttpResponse(status, text.encode() if body is None else body, tuple(headers))


def _headers(request: HttpRequest) -> tuple[dict[str, str], list[str]]:
    """Headers with lower-case names, repeats joined by commas; cookies apart, as AWS has them."""
    cookies: list[str] = []
    pairs: list[tuple[str, str]] = []
    for name, value in request.headers:
        name = name.lower()
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";") if cookie.strip()]
        elif name not in _HOP_BY_HOP:
            pairs.append((name, value))
    pairs.append(("x-forwarded-for", request.source_ip))
    headers = _joined(pairs)
    headers["x-forwarded-port"] = str(request.port)
    headers["x-forwarded-proto"] = "https"
    return headers, cookies


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined
