"""The WebSocket API: upgrades, connections and the events that API Gateway makes of them.

Same as on AWS: the upgrade waits for ``$connect``; a connection can be posted to only after that;
10 idle minutes or 2 hours close it with 1001; a message of more than 128 KB closes it with 1009.
Pings do not count as traffic (nothing says that they do on AWS).
"""

import asyncio
import base64
import logging
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import WSCloseCode, WSMsgType, web

from pce_local.config import HostConfig
from pce_local.functions import Functions, HandlerFailed
from pce_local.http_events import HttpResponse, MalformedResult, http_response, message_response
from pce_local.routes import BOLT_ROUTES

MAX_MESSAGE_BYTES = 128 * 1024
"""API Gateway's limit for a message in either direction. (Its limit of 32 KB for one frame is not
kept here: the server library does not show frames.)"""

MAX_UNSENT_BYTES = 128 * 1024
"""A client that leaves more than this unread is busy; on AWS the buffer's size is not published."""

HANDLER_TIMEOUT_S = 29.0
"""API Gateway's integration time-out for WebSocket APIs."""

CLOSE_TIMEOUT_S = 1.0
"""How long a client gets to answer a close frame."""

SEND_TIMEOUT_S = 1.0
"""How long a post waits for a slow client; the message is in the socket's buffer by then."""

PostOutcome = Literal["sent", "gone", "busy"]

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Connection:
    """One open connection."""

    socket: web.WebSocketResponse
    request: web.Request
    connected_at: datetime
    last_active_at: datetime
    timer: asyncio.TimerHandle | None = None
    # Random, and ends with "=" as on AWS: who forgets to quote it in a URL shall fail here too.
    id: str = field(default_factory=lambda: base64.urlsafe_b64encode(os.urandom(11)).decode())


class WebSocketApi:
    """All connections of this host."""

    def __init__(self, config: HostConfig, functions: Functions) -> None:
        self._config = config
        self._functions = functions
        self._open: dict[str, Connection] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection from its upgrade to its end."""
        # Compression off: API Gateway does not offer it.
        socket = web.WebSocketResponse(
            max_msg_size=MAX_MESSAGE_BYTES, compress=False, timeout=CLOSE_TIMEOUT_S
        )
        if not socket.can_prepare(request).ok:
            return _plain(message_response(426, "Upgrade Required"))
        now = datetime.now(UTC)
        connection = Connection(socket, request, connected_at=now, last_active_at=now)
        refusal = await self._admit(connection)
        if refusal is not None:
            return _plain(refusal)
        try:
            await socket.prepare(request)
        except ConnectionError:
            return socket
        self._open[connection.id] = connection
        self._watch(connection)
        try:
            await self._serve(connection)
        finally:
            del self._open[connection.id]
            if connection.timer is not None:
                connection.timer.cancel()
        return socket

    async def post(self, connection_id: str, data: bytes) -> PostOutcome:
        """Send one message. ``sent`` means handed to the socket, not read by the client."""
        connection = self._open.get(connection_id)
        if connection is None or connection.socket.closed:
            return "gone"
        transport = connection.request.transport
        if transport is None or transport.is_closing():
            return "gone"
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            return "busy"
        connection.last_active_at = datetime.now(UTC)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                try:
                    await connection.socket.send_str(data.decode())
                except UnicodeDecodeError:
                    await connection.socket.send_bytes(data)
        except TimeoutError:
            pass  # written, not yet drained
        except ConnectionError:
            return "gone"
        return "sent"

    def describe(self, connection_id: str) -> dict[str, Any] | None:
        """What the management API says of a connection, or None when it is gone."""
        connection = self._open.get(connection_id)
        if connection is None:
            return None
        return {
            "connectedAt": connection.connected_at.isoformat(),
            "lastActiveAt": connection.last_active_at.isoformat(),
            "identity": _identity(connection.request),
        }

    async def close(self, connection_id: str) -> bool:
        """Close a connection; False when there is none."""
        connection = self._open.get(connection_id)
        if connection is None:
            return False
        await connection.socket.close(code=WSCloseCode.OK, drain=False)
        return True

    async def close_all(self) -> None:
        """Close every connection with 1001: this host goes away."""
        await asyncio.gather(*(_go_away(connection) for connection in self._open.values()))

    async def _admit(self, connection: Connection) -> HttpResponse | None:
        """Ask ``$connect``; the response that refuses the upgrade, or None to go on."""
        event = self._event(connection, "$connect", "CONNECT")
        headers: dict[str, list[str]] = {}
        for name, value in connection.request.headers.items():
            headers.setdefault(name, []).append(value)
        event["headers"] = {name: values[-1] for name, values in headers.items()}
        event["multiValueHeaders"] = headers
        query: dict[str, list[str]] = {}
        for name, value in connection.request.query.items():
            query.setdefault(name, []).append(value)
        if query:
            event["queryStringParameters"] = {name: values[-1] for name, values in query.items()}
            event["multiValueQueryStringParameters"] = query
        try:
            result = await self._invoke("$connect", event)
            response = http_response(result)
        except (HandlerFailed, MalformedResult, TimeoutError) as error:
            if isinstance(error, MalformedResult):
                log.error("function %s: %s", BOLT_ROUTES["$connect"], error)
            return message_response(502, "Internal server error")
        return None if 200 <= response.status < 300 else response

    async def _serve(self, connection: Connection) -> None:
        """Hand each message to ``$default``, in order, until the connection ends."""
        async for message in connection.socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            connection.last_active_at = datetime.now(UTC)
            event = self._event(connection, "$default", "MESSAGE")
            event["requestContext"]["messageId"] = event["requestContext"]["requestId"]
            if message.type is WSMsgType.TEXT:
                event["body"] = message.data
            else:
                event["body"] = base64.b64encode(message.data).decode()
                event["isBase64Encoded"] = True
            try:
                await self._invoke("$default", event)
            except (HandlerFailed, TimeoutError):
                error = {
                    "message": "Internal server error",
                    "connectionId": connection.id,
                    "requestId": event["requestContext"]["requestId"],
                }
                if not connection.socket.closed:
                    await connection.socket.send_json(error)

    async def _invoke(self, route: str, event: dict[str, Any]) -> Any:
        return await self._functions.invoke(BOLT_ROUTES[route], event, HANDLER_TIMEOUT_S)

    def _event(self, connection: Connection, route: str, kind: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        request_id = str(uuid.uuid4())
        return {
            "requestContext": {
                "routeKey": route,
                "eventType": kind,
                "extendedRequestId": request_id,
                "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "messageDirection": "IN",
                "stage": "bolts",
                "connectedAt": _millis(connection.connected_at),
                "requestTimeEpoch": _millis(now),
                "identity": _identity(connection.request),
                "requestId": request_id,
                "domainName": connection.request.host,
                "connectionId": connection.id,
                "apiId": "local",
            },
            "isBase64Encoded": False,
        }

    def _watch(self, connection: Connection) -> None:
        """Close the connection when it has been idle or alive for too long, else look again."""
        now = datetime.now(UTC)
        left_s = min(
            self._config.bolt_idle_s - (now - connection.last_active_at).total_seconds(),
            self._config.bolt_life_s - (now - connection.connected_at).total_seconds(),
        )
        loop = asyncio.get_running_loop()
        if left_s <= 0:
            closing = loop.create_task(_go_away(connection))
            connection.timer = None
            closing.add_done_callback(lambda task: task.exception())
        else:
            connection.timer = loop.call_later(left_s, self._watch, connection)


async def _go_away(connection: Connection) -> None:
    await connection.socket.close(code=WSCloseCode.GOING_AWAY, message=b"Going away", drain=False)


def _identity(request: web.Request) -> dict[str, str]:
    return {
        "sourceIp": request.remote or "",
        "userAgent": request.headers.get("user-agent", ""),
    }


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _plain(response: HttpResponse) -> web.Response:
    return web.Response(status=response.status, body=response.body, headers=response.headers)
