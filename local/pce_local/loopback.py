"""The private loopback port: what API Gateway, Firehose and SQS offer to the functions.

``/@connections/{id}`` is API Gateway's management API for WebSocket connections. What has Firehose
as its target is a batch of records for the archive. Everything else is SQS, passed on to the store:
a message that is sent rings the bell of its queue, so that the poller comes at once (the store
itself looks for messages only every 100 ms).

Other users of this machine can reach the port too, so each request must be signed with this
instance's key.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from pce_local import firehose
from pce_local.firehose import Firehose
from pce_local.signatures import AwsKey, SignatureRefused, SignedRequest, check_header_signature
from pce_local.store_forwarding import StoreForwarder
from pce_local.websocket_api import MAX_MESSAGE_BYTES, WebSocketApi

MAX_BODY_BYTES = 6 * 1024 * 1024
"""A batch of records for Firehose is at most 4 MiB, and base64 adds a third; one of SQS messages is
smaller."""

STORE_CLOCK_S = 0.05
"""The store counts a delay from a little later than we do."""

_CONNECTIONS = "/@connections/"


class Loopback:
    """Answers the functions' own calls."""

    def __init__(
        self,
        bolts: WebSocketApi,
        forwarder: StoreForwarder,
        key: AwsKey,
        ring: Callable[[str], None],
        archive: Firehose,
    ) -> None:
        """``ring`` is told the name of a queue to which something was sent."""
        self._bolts = bolts
        self._forwarder = forwarder
        self._key = key
        self._ring = ring
        self._archive = archive

    def application(self) -> web.Application:
        """What the loopback port serves."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = request.raw_path.partition("?")[0]
        # The id arrives quoted; the router's own path has lost that, the raw one has not.
        to_connections = unquote(path).startswith(_CONNECTIONS)
        signed = SignedRequest(
            request.method,
            f"http://{request.host}{request.raw_path}",
            request.headers.items(),
            body,
        )
        to_firehose = request.headers.get("x-amz-target", "").startswith(firehose.TARGET)
        service = "execute-api" if to_connections else "firehose" if to_firehose else "sqs"
        try:
            check_header_signature(signed, self._key, service, datetime.now(UTC))
        except SignatureRefused as refused:
            return _error(403, "ForbiddenException", str(refused))
        if to_connections:
            connection_id = unquote(path).removeprefix(_CONNECTIONS)
            return await self._connection(request.method, connection_id, body)
        if to_firehose:
            return await self._archive.put_record_batch(body)
        return await self._queue(request, body)

    async def _connection(self, method: str, connection_id: str, body: bytes) -> web.Response:
        if method == "POST":
            if len(body) > MAX_MESSAGE_BYTES:
                return _error(413, "PayloadTooLargeException", "at most 128 KB")
            outcome = await self._bolts.post(connection_id, body)
            if outcome == "busy":
                return _error(429, "LimitExceededException", "the client's buffer is full")
            return web.Response(status=200) if outcome == "sent" else _gone()
        if method == "GET":
            found = self._bolts.describe(connection_id)
            return web.json_response(found) if found is not None else _gone()
        if method == "DELETE":
            return web.Response(status=204) if await self._bolts.close(connection_id) else _gone()
        return _error(405, "BadRequestException", f"no {method} on connections")

    async def _queue(self, request: web.Request, body: bytes) -> web.Response:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "content-length", "connection", "expect")
        }
        async with self._forwarder.send(request.method, request.raw_path, headers, body) as reply:
            answer = await reply.read()
        target = request.headers.get("x-amz-target", "")
        if target.startswith("AmazonSQS.SendMessage") and reply.status == 200:
            self._ring_when_due(json.loads(body))
        return web.Response(
            status=reply.status, body=answer, headers={"content-type": reply.content_type}
        )

    def _ring_when_due(self, sent: dict[str, Any]) -> None:
        """Ring now, and again when a message that was sent with a delay can be received."""
        queue = sent.get("QueueUrl", "").rpartition("/")[2]
        messages = sent.get("Entries", [sent])
        for delay_s in {message.get("DelaySeconds", 0) for message in messages}:
            due_s = delay_s + STORE_CLOCK_S if delay_s else 0
            asyncio.get_running_loop().call_later(due_s, self._ring, queue)


def _gone() -> web.Response:
    return _error(410, "GoneException", "the connection does not exist any more")


def _error(status: int, kind: str, message: str) -> web.Response:
    return web.json_response(
        {"message": message}, status=status, headers={"x-amzn-errortype": kind}
    )
