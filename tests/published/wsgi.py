"""The management API's handler behind WSGI, so that tools for HTTP reach it in this process."""

import base64
import gzip
import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from http.client import responses
from typing import Any
from unittest import mock

from functions.api import handler as api_handler
from tests.published.known_objects import KnownObjects

SECONDS_A_REQUEST = 0.25
"""How far the clock goes with each request: 240 a minute, so that a key's limit of 500 does not
answer for everything else."""


class Application:
    """Makes an event of each request, as API Gateway does, counts the answers by status, and learns
    from them what exists."""

    def __init__(self, now: float, known: KnownObjects) -> None:
        self.now = now
        self.known = known
        self.statuses: Counter[int] = Counter()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.now += SECONDS_A_REQUEST
        with mock.patch.object(api_handler, "now", lambda: self.now):
            reply = _reply(environ)
        status = int(reply["statusCode"])
        self.statuses[status] += 1
        text, headers = reply["body"], dict(reply["headers"])
        body = base64.b64decode(text) if reply.get("isBase64Encoded") else text.encode()
        if headers.get("content-encoding") == "gzip":  # werkzeug's client, unlike others, keeps it
            del headers["content-encoding"]
            body = gzip.decompress(body)
        if status in (200, 201) and headers.get("content-type") == "application/json":
            self.known.learn(json.loads(body))
        start(f"{status} {responses.get(status, '')}", list(headers.items()))
        return [body]


def _reply(environ: dict[str, Any]) -> dict[str, Any]:
    """What is not a ``PceError`` becomes a 500 at API Gateway."""
    try:
        return api_handler.handler(_event(environ), None)
    except Exception:
        body = json.dumps([{"token": "raised", "message": traceback.format_exc()[-1500:]}])
        return {"statusCode": 500, "headers": {"content-type": "application/json"}, "body": body}


def _event(environ: dict[str, Any]) -> dict[str, Any]:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return {
        "requestContext": {
            "http": {"method": environ["REQUEST_METHOD"], "sourceIp": "192.0.2.1"},
        },
        # WSGI hands over the bytes of a path as if they were Latin-1.
        "rawPath": environ["PATH_INFO"].encode("latin-1").decode(errors="replace"),
        "rawQueryString": environ.get("QUERY_STRING", ""),
        "headers": headers,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
