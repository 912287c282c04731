"""The bolt channel's WebSocket connection. When to connect is decided in ``ven.core.bolts``.

The protocol's own pings are off: the keep-alive message does their work and the channel is paid
by the message. TCP keep-alive, which costs nothing, finds a peer that vanished.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from ven.configuration import VERSION
from ven.edge.http import Unreachable, in_words, resolve
from ven_protocol.bolts import Bolt, KeepAlive
from ven_protocol.limits import MAX_BOLT_BYTES

OPEN_TIMEOUT_S = 15
CLOSE_TIMEOUT_S = 2

PROBE_AFTER_S, PROBE_EVERY_S, PROBES = 60, 20, 3
"""TCP keep-alive: a peer that vanished is noticed after two minutes."""

BUSY = (429, 503)
"""How API Gateway refuses a connection beyond its quota."""

_KEEPALIVE = msgspec.json.encode(KeepAlive())
_log = logging.getLogger("ven.bolts")


class Busy(Unreachable):
    """The PCE is there and takes no more connections now."""


class BoltConnection:
    """At most one connection that counts; :meth:`open` replaces it.

    ``on_bolt`` is called for each message, ``on_lost`` when the connection that counts ends by
    itself. ``before_connect`` is called in a worker thread with the addresses about to be used.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        token: str,
        on_bolt: Callable[[Bolt], None],
        on_lost: Callable[[], None],
        before_connect: Callable[[Sequence[tuple[str, int]]], None] | None = None,
    ) -> None:
        self._context = context
        self._token = token
        self._on_bolt = on_bolt
        self._on_lost = on_lost
        self._before_connect = before_connect
        self._current: ClientConnection | None = None
        self._readers: set[asyncio.Task[None]] = set()

    def use_token(self, token: str) -> None:
        """From the next connection on."""
        self._token = token

    async def open(self, url: str) -> None:
        """Connect to ``url`` and close the connection that counted before.

        Raises :class:`Unreachable` (:class:`Busy` when told so) and leaves things as they were when
        it cannot.
        """
        fresh = await self._connect(url)
        old, self._current = self._current, fresh
        reader = asyncio.get_running_loop().create_task(self._read(fresh))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        if old is not None:
            await old.close()

    async def keep_alive(self) -> None:
        """Send the keep-alive message; a failure shows as the end of the connection."""
        if self._current is not None:
            with contextlib.suppress(WebSocketException):
                await self._current.send(_KEEPALIVE, text=True)

    async def close(self) -> None:
        """Close; ``on_lost`` is not called."""
        old, self._current = self._current, None
        if old is not None:
            await old.close()

    async def _connect(self, url: str) -> ClientConnection:
        address = urlsplit(url)
        if address.scheme != "wss" or not address.hostname:
            raise Unreachable(f"bolt address {url!r} is not wss://")
        try:
            if self._before_connect is not None:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(
                    None, self._prepare, address.hostname, address.port or 443
                )
            connection = await connect(
                url,
                ssl=self._context,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                user_agent_header=f"ven/{VERSION}",
                compression=None,
                proxy=None,
                ping_interval=None,
                max_size=MAX_BOLT_BYTES,
                max_queue=16,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status in BUSY:
                raise Busy(f"{url}: {status}, the PCE has too much to do") from error
            raise Unreachable(f"{url}: {error}") from error
        except (OSError, WebSocketException, ValueError) as error:
            raise Unreachable(f"{url}: {in_words(error)}") from error
        _probe(connection)
        return connection

    def _prepare(self, host: str, port: int) -> None:
        found = resolve(host, port)
        if self._before_connect is not None:
            self._before_connect(found)

    async def _read(self, connection: ClientConnection) -> None:
        try:
            async for message in connection:
                self._deliver(message)
        except WebSocketException as error:
            _log.info("bolt connection ended: %s", error)
        if connection is self._current:
            self._current = None
            self._on_lost()

    def _deliver(self, message: str | bytes) -> None:
        try:
            bolt = msgspec.json.decode(message, type=Bolt)
        except msgspec.MsgspecError as error:
            _log.warning("bolt ignored: %s", error)
            return
        self._on_bolt(bolt)


def _probe(connection: ClientConnection) -> None:
    found = connection.transport.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, PROBE_AFTER_S),
        (socket.TCP_KEEPINTVL, PROBE_EVERY_S),
        (socket.TCP_KEEPCNT, PROBES),
    ):
        found.setsockopt(socket.IPPROTO_TCP, option, value)
