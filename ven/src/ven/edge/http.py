"""Requests to the PCE: one kept-alive TLS connection, used by one thread at a time.

Trust comes from a verified certificate chain and host name and from nothing else; no switch turns
that off. ``http.client`` is used because it costs 2 MiB where friendlier clients cost 5 to 14.
"""

import contextlib
import errno
import gzip
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ven.configuration import VERSION, Server
from ven_protocol.compression import Corrupt, TooLarge, inflate
from ven_protocol.messages import Problem, SupportReportUpload

CONNECT_TIMEOUT_S = 10
REPLY_TIMEOUT_S = 30
"""API Gateway gives a function 30 seconds; nothing comes after that."""
UPLOAD_TIMEOUT_S = 120
"""For each block of a support report, not for the whole."""

IDLE_LIMIT_S = 50
"""A connection that was idle for longer is replaced before use: load balancers drop idle ones
after 60 seconds, and a request on a dropped connection fails for no fault of the PCE."""

MAX_REPLY_BYTES = 64_000_000
"""A policy of a million addresses; also the cap on what a compressed reply may inflate to."""

DROPPED = (
    *(http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError),
    *(ssl.SSLEOFError, ssl.SSLZeroReturnError),
)
"""How a kept connection that the server has closed shows, before any byte of a reply."""

NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM)
"""No route, or a firewall that says so."""

COMPRESS_FROM_BYTES = 1_400
"""A body that fits one packet is not worth compressing."""


class RequestFailed(Exception):
    """A request did not do what it was for; the subclass says whether repeating may help."""


class Unreachable(RequestFailed):
    """No usable answer: network, TLS, time-out, 429 or 5xx. Trying again later may help."""


class Damaged(Unreachable):
    """The reply came whole and is not what the protocol says: cut short, altered, too large, or
    not the PCE's at all."""


class AuthenticationRefused(RequestFailed):
    """401 ``invalid_agent_token``: the PCE does not know this VEN (any more)."""


class Refused(RequestFailed):
    """Another 4xx: the PCE understood and will not do it."""

    def __init__(self, status: int, text: str, tokens: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.tokens = tuple(tokens)
        """Names of the problems, for programs."""

    @property
    def is_of_content(self) -> bool:
        """Whether what was sent is at fault, so that repeating it cannot help. Other refusals (a
        proxy's 403, say) may pass."""
        return self.status in (400, 406, 413, 422)


class Response(Struct, frozen=True):
    """A complete reply; the body is inflated."""

    status: int
    body: bytes


def trust(ca_file: str = "") -> ssl.SSLContext:
    """Whom to believe: the authority in ``ca_file`` alone, or the host's own when it is empty.

    Raises :class:`Unreachable` when the file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(f"CA file {ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def in_words(error: Exception) -> str:
    """Why there is no connection, for people: what was seen, and what may be behind it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        today = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        hints = {
            10: f"it has expired, or this host's clock ({today}) is ahead",
            9: f"it is not valid yet, or this host's clock ({today}) is behind",
        }
        hint = hints.get(error.verify_code, "is it the right server, and its authority trusted?")
        return f"its certificate is refused: {error.verify_message}; {hint}"
    if isinstance(error, TimeoutError):
        return "no answer in time; is the way to it blocked?"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused); is the PCE running?"
    if isinstance(error, ConnectionResetError | http.client.RemoteDisconnected | ssl.SSLEOFError):
        return "the connection was cut before the answer was there"
    if isinstance(error, OSError) and error.errno in NO_WAY:
        return f"there is no way to it ({error.strerror})"
    return str(error) or type(error).__name__


def resolve(host: str, port: int) -> tuple[tuple[str, int], ...]:
    """Addresses of a host, sorted; raises :class:`Unreachable`. May take seconds."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        text = f"the name {host} cannot be resolved ({error}); does this host's DNS work?"
        raise Unreachable(text) from error
    return tuple(sorted({(str(address[0]), port) for *_, address in found}))


class PceConnection:
    """One connection to one PCE. Blocking; not for two threads at once.

    ``before_connect`` is called with the addresses about to be used, so that the firewall can let
    them through first.
    """

    def __init__(
        self,
        server: Server,
        context: ssl.SSLContext,
        token: str = "",
        before_connect: Callable[[Sequence[tuple[str, int]]], None] | None = None,
    ) -> None:
        self._server = server
        self._context = context
        self._token = token
        self._before_connect = before_connect
        self._connection: http.client.HTTPSConnection | None = None
        self._used_at = 0.0
        self._aborted = False
        self.local_address = ""
        """The host's own address towards the PCE, once connected."""

    @property
    def token(self) -> str:
        """The agent token that requests carry; empty before the activation."""
        return self._token

    def use_token(self, token: str) -> None:
        """From the next request on."""
        self._token = token

    def abort(self) -> None:
        """From another thread: make the request under way, and all that follow, fail at once."""
        self._aborted = True
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        inflated: bool = True,
    ) -> Response:
        """Send and receive; raises :class:`RequestFailed`, always as one of its kinds.

        ``inflated``: False for a body that is to stay as it is, whatever its first bytes are.
        At most CONNECT_TIMEOUT_S + REPLY_TIMEOUT_S of silence, twice when a kept connection turns
        out to be dead.
        """
        sent = {"user-agent": f"ven/{VERSION}", **(headers or {})}
        if inflated:
            sent["accept-encoding"] = "gzip"
        if self._token:
            sent.setdefault("authorization", f"Bearer {self._token}")
        if body is not None:
            sent["content-type"] = content_type
            if len(body) >= COMPRESS_FROM_BYTES:
                body = gzip.compress(body, 6)
                # Under a type of text a gateway hands bytes on as text, and damages them.
                sent["content-type"] = "application/octet-stream"
                sent["content-encoding"] = "gzip"
        response = self._exchange(method, path, body, sent, inflated)
        if response.status < 400:
            return response
        problems = _problems(response.body)
        said = "; ".join(f"{problem.token}: {problem.message}" for problem in problems)
        text = f"{method} {path}: {response.status} {said}"
        if response.status == 401 and any(p.token == "invalid_agent_token" for p in problems):  # noqa: S105
            raise AuthenticationRefused(text)
        if response.status in (408, 429) or response.status >= 500:
            raise Unreachable(text)
        raise Refused(response.status, text, [problem.token for problem in problems])

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        inflated: bool,
    ) -> Response:
        kept = self._connection is not None and time.monotonic() - self._used_at < IDLE_LIMIT_S
        if not kept:
            self.close()
        try:
            try:
                return self._send(method, path, body, headers, inflated)
            except DROPPED:
                # The server closed a kept connection while we were about to use it: it has not
                # seen the request.
                if not kept:
                    raise
                self.close()
                return self._send(method, path, body, headers, inflated)
        except (Corrupt, TooLarge) as error:
            self.close()
            raise Damaged(f"{method} https://{self._server}{path}: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"the PCE at {self._server}: {in_words(error)}") from error

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        inflated: bool,
    ) -> Response:
        connection = self._connection or self._connect()
        connection.request(method, path, body=body, headers=dict(headers))
        reply = connection.getresponse()
        content = reply.read(MAX_REPLY_BYTES + 1)
        if len(content) > MAX_REPLY_BYTES:
            raise TooLarge(MAX_REPLY_BYTES)
        self._used_at = time.monotonic()
        if reply.will_close:
            self.close()
        # An error's body may be packed, whatever was asked for.
        inflated = inflated or reply.status >= 400
        return Response(reply.status, inflate(content, MAX_REPLY_BYTES) if inflated else content)

    def _connect(self) -> http.client.HTTPSConnection:
        server = self._server
        if self._aborted:
            raise Unreachable(f"https://{server}: not asked, because the VEN stops")
        if self._before_connect is not None:
            self._before_connect(resolve(server.host, server.port))
        connection = http.client.HTTPSConnection(
            server.host, server.port, timeout=CONNECT_TIMEOUT_S, context=self._context
        )
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.sock.settimeout(REPLY_TIMEOUT_S)
        self.local_address = str(connection.sock.getsockname()[0])
        self._connection = connection
        return connection


def upload(where: SupportReportUpload, file: Path, ca_file: str = "") -> None:
    """PUT a file to a presigned address, which may be another host than the PCE.

    Trusts the host's authorities and ``ca_file``. Raises :class:`Unreachable` and
    :class:`Refused`. The file is streamed.
    """
    address = urlsplit(where.url)
    if address.scheme != "https" or not address.hostname:
        raise Refused(0, "the upload address is not https")
    context = trust()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    connection = http.client.HTTPSConnection(
        address.hostname, address.port, timeout=UPLOAD_TIMEOUT_S, context=context
    )
    path = address.path + (f"?{address.query}" if address.query else "")
    headers = {**where.headers, "content-length": str(file.stat().st_size)}
    try:
        with file.open("rb") as content:
            connection.request("PUT", path, body=content, headers=headers)
        reply = connection.getresponse()
        reply.read(MAX_REPLY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"upload to {address.hostname}: {error}") from error
    finally:
        connection.close()
    if reply.status >= 300:
        raise Refused(reply.status, f"upload to {address.hostname}: {reply.status}")


def _problems(body: bytes) -> list[Problem]:
    """What an error body says; empty when it is not the PCE's."""
    try:
        return msgspec.json.decode(body, type=list[Problem])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
