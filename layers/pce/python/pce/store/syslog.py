"""Sends syslog messages over UDP, TCP and TLS, and finds out whether they arrived.

Syslog has no acknowledgements. Over TCP and TLS this is the nearest thing: when everything is
written, our side of the connection is closed, and the receiver's must be closed too, without a
reset. A receiver closes when it has read to the end, so what it closed cleanly it has read. One
that stays open counts as served when its kernel has acknowledged every byte. Over UDP nothing is
known but that nobody listens, when the receiver's host says so.
"""

import contextlib
import fcntl
import ipaddress
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pce.store.delivery import Undelivered
from pce.streaming.syslog_message import Framing, framed

TCP, UDP = 6, 17

CONNECT_TIMEOUT_S = 5
SEND_TIMEOUT_S = 20
"""For all messages of one call: a step has 4 MB, and who reads less than 200 kB/s falls behind
anyway."""
CLOSE_TIMEOUT_S = 5
"""How long a receiver may take to read the last bytes and close."""
PIECE_BYTES = 65_536
"""Written at once; between two pieces the clock is looked at."""
REFUSAL_WAIT_S = 0.2
"""How long a host may take to say that nobody listens on a UDP port."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where messages go."""

    address: str
    """Host name or IP address; with TLS the certificate must be for it."""
    port: int
    protocol: int = TCP
    tls: bool = False
    ca_bundle: str = ""
    """PEM: the only authorities trusted; empty for the system's."""
    framing: Framing = "octet_counting"

    def __str__(self) -> str:
        kind = "TLS" if self.tls else "TCP" if self.protocol == TCP else "UDP"
        return f"syslog {kind} {self.address}:{self.port}"


def send(receiver: Receiver, messages: Sequence[bytes]) -> None:
    """Send all messages, in order, on one connection. Raises :class:`Undelivered`.

    Takes at most ``CONNECT_TIMEOUT_S`` an address, ``SEND_TIMEOUT_S`` and ``CLOSE_TIMEOUT_S``.
    """
    try:
        if receiver.protocol == UDP:
            _send_datagrams(receiver, messages)
        else:
            _send_stream(receiver, framed(messages, receiver.framing))
    except ssl.SSLCertVerificationError as error:
        why = f"{receiver}: its certificate is not trusted: {error.verify_message}"
        raise Undelivered(f"{why}; give its authority in tls_ca_bundle") from error
    except TimeoutError as error:
        raise Undelivered(f"{receiver}: no progress in time ({error})") from error
    except OSError as error:
        raise Undelivered(f"{receiver}: {error}") from error


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """A context that verifies chain and host name. Raises ValueError for a bundle that holds no
    certificate."""
    pem = ca_bundle.encode("ascii", "replace").decode()  # comments between certificates may be any
    try:
        context = ssl.create_default_context(cadata=pem or None)
    except ssl.SSLError as error:
        raise ValueError(f"no certificates in PEM form: {error.reason or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _send_datagrams(receiver: Receiver, messages: Sequence[bytes]) -> None:
    family, address = _addresses(receiver, socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(REFUSAL_WAIT_S)
        udp.connect(address)
        for message in messages:
            udp.send(message)
        with contextlib.suppress(TimeoutError):
            udp.recv(1)  # raises when the host refused one


def _send_stream(receiver: Receiver, stream: bytes) -> None:
    with _connected(receiver) as connection:
        until = time.monotonic() + SEND_TIMEOUT_S
        view = memoryview(stream)
        for at in range(0, len(view), PIECE_BYTES):
            connection.settimeout(max(until - time.monotonic(), 0.001))
            connection.sendall(view[at : at + PIECE_BYTES])
        _wait_until_read(connection)


@contextlib.contextmanager
def _connected(receiver: Receiver) -> Iterator[socket.socket]:
    context = tls_context(receiver.ca_bundle) if receiver.tls else None
    error: OSError | None = None
    for family, address in _addresses(receiver, socket.SOCK_STREAM):
        tcp = socket.socket(family, socket.SOCK_STREAM)
        with tcp:
            tcp.settimeout(CONNECT_TIMEOUT_S)
            try:
                tcp.connect(address)
            except OSError as failure:
                error = failure
                continue
            if context is None:
                yield tcp
            else:
                with context.wrap_socket(tcp, server_hostname=receiver.address) as tls:
                    yield tls
            return
    raise error or OSError("it has no address")


def _wait_until_read(connection: socket.socket) -> None:
    """Close our side and wait for the receiver's. Raises OSError after a reset, and when bytes
    are left that its kernel has not acknowledged."""
    until = time.monotonic() + CLOSE_TIMEOUT_S
    connection.settimeout(CLOSE_TIMEOUT_S)
    try:
        if isinstance(connection, ssl.SSLSocket):
            with contextlib.suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
                connection.unwrap().close()
            return
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(PIECE_BYTES):  # whatever it says: syslog has no replies
            if time.monotonic() > until:
                raise TimeoutError("it talks and does not close")
    except TimeoutError:
        left = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        if struct.unpack("i", left)[0]:
            raise


def _addresses(receiver: Receiver, kind: int) -> list[tuple[int, tuple[str, int]]]:
    """Families and socket addresses. Raises OSError for an address that no receiver can have.

    A link-local address is the machine's own network, with the cloud's metadata service on it.
    (Loopback may be: it is where the local host's operator has a receiver, and in Lambda nothing
    listens there that reads syslog.)
    """
    found = socket.getaddrinfo(receiver.address, receiver.port, type=kind)
    addresses = []
    for family, _, _, _, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified or int(ip) == 2**32 - 1:
            raise OSError(f"{ip} is no address of a receiver; give a unicast address beyond this")
        addresses.append((family, address))
    return addresses  # type: ignore[return-value]  # of IPv6 with two more parts
