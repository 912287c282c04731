"""Signed requests to one AWS service over kept-alive connections: what hot functions use instead
of botocore, whose import is half of a cold start and whose call is most of a heartbeat's CPU.

A request may arrive twice. One whose reply was lost is sent again, and nobody knows whether it was
carried out; botocore does the same. So every caller's writes bear a repeat: they set absolute
values, or stand under a condition that a repeat does not meet. See ``store/dynamodb.py``.
"""

import http.client
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from pce.store.endpoint import Endpoint
from pce.store.signature import Signer

CONNECT_TIMEOUT_S = 2
"""Within a region a connection takes milliseconds."""
READ_TIMEOUT_S = 3
"""DynamoDB's slowest ordinary answer, a page of 1 MB, takes well under a second."""
MAX_ATTEMPTS = 4
FIRST_WAIT_S = 0.05
"""Full jitter: a wait is anything up to this, twice this, four times this."""
LAST_START_S = 4
"""No attempt begins later than this after the first: with both time-outs a call ends within 9 s,
before the 10 s that Lambda gives a hot function."""


class Unreachable(Exception):
    """No answer after all attempts."""


class Reply(NamedTuple):
    """An HTTP reply, read to its end."""

    status: int
    body: bytes


class SignedHttp:
    """Sends signed requests, one kept-alive connection a thread. Threads may share it.

    It knows no proxies: a function reaches AWS directly or through a VPC endpoint.
    """

    def __init__(
        self,
        service: str,
        endpoint: Endpoint,
        is_transient: Callable[[Reply], bool] = lambda reply: reply.status >= 500,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``is_transient`` tells which replies from status 400 on are worth another attempt."""
        url = urlsplit(endpoint.url or f"https://{service}.{endpoint.region}.amazonaws.com")
        if url.scheme not in ("http", "https") or not url.hostname or url.path.strip("/"):
            raise ValueError(f"{service}: {endpoint.url!r} should be http[s]://host[:port]")
        self._host = url.hostname
        self._port = url.port
        default = url.port is None or url.port == {"http": 80, "https": 443}[url.scheme]
        name = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        self._host_header = name if default else f"{name}:{url.port}"
        self._tls = _tls_context(endpoint.ca_file) if url.scheme == "https" else None
        self._signer = Signer(endpoint.credentials, service, endpoint.region)
        self._is_transient = is_transient
        self._sleep = sleep
        self._of_thread = threading.local()

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        read_timeout_s: float | None = None,
    ) -> Reply:
        """The service's reply, whatever its status; a transient one only after all attempts.
        ``read_timeout_s``: None for ``READ_TIMEOUT_S``.

        Raises :class:`Unreachable`. At most ``MAX_ATTEMPTS`` requests, each on a new connection
        after one that failed, besides the repeat on a connection that had died while idle.
        """
        headers = {"host": self._host_header, **(headers or {})}
        began = time.monotonic()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            last = attempt == MAX_ATTEMPTS or time.monotonic() - began > LAST_START_S
            try:
                reply = self._exchange(
                    method, path, headers, body, read_timeout_s or READ_TIMEOUT_S
                )
            except (OSError, http.client.HTTPException) as error:
                if last:
                    why = f"{self._host_header} gave no answer in {attempt} attempts: {error!r}"
                    raise Unreachable(f"{why}; is the endpoint right, and reachable?") from error
            else:
                if last or reply.status < 400 or not self._is_transient(reply):
                    return reply
            longest = FIRST_WAIT_S * 2 ** (attempt - 1)
            self._sleep(random.random() * longest)  # noqa: S311 - spreads load, guards nothing
        raise AssertionError("the last attempt returns or raises")

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        read_timeout_s: float,
    ) -> Reply:
        connection = self._connection()
        try:
            if connection.sock is not None:
                connection.sock.settimeout(read_timeout_s)
                try:
                    return self._round_trip(connection, method, path, headers, body)
                except TimeoutError:
                    raise
                except OSError:
                    # Closed while it was idle, most likely: no sign of trouble, so without a wait.
                    connection.close()
            connection.connect()  # sets TCP_NODELAY: without it a call may wait 40 ms for an ACK
            connection.sock.settimeout(read_timeout_s)
            return self._round_trip(connection, method, path, headers, body)
        except BaseException:
            connection.close()  # whatever state it is in; the next request opens it again
            raise

    def _round_trip(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Reply:
        signed = self._signer.signed(method, path, headers, body, time.time())
        connection.request(method, path, body or None, signed)
        reply = connection.getresponse()
        return Reply(reply.status, reply.read())

    def _connection(self) -> http.client.HTTPConnection:
        known: http.client.HTTPConnection | None = getattr(self._of_thread, "connection", None)
        if known is not None:
            return known
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT_S)
            if self._tls is None
            else http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_TIMEOUT_S, context=self._tls
            )
        )
        self._of_thread.connection = connection
        return connection


@lru_cache(maxsize=4)
def _tls_context(ca_file: str) -> ssl.SSLContext:
    """Verifies chain and host name. Kept for all services: reading certificates takes 25 ms."""
    return ssl.create_default_context(cafile=ca_file or None)
