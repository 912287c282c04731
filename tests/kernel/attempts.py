"""Connection attempts between hosts in namespaces, and what answers them.

An attempt is what a client would send first: a TCP handshake, a datagram, an ICMP query, a packet
of a protocol that nobody knows. None of them blocks; whether it was answered is asked later.
"""

import contextlib
import itertools
import selectors
import socket
import struct
import threading
from collections.abc import Iterable

from pce.policy.traffic import Traffic
from tests.kernel.namespaces import Host

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
UNKNOWN = 253
"""A protocol for experiments: no ports, and nobody knows it."""
_ASKING = b"attempt"
_ECHO_REPLIES = {8: 0, 13: 14, 128: 129}
"""ICMP queries and their answers."""
_IDENTIFIERS = itertools.count(1)


class Attempt:
    """One attempt, under way from the moment that it is made; its socket stays open."""

    def __init__(self, source: Host, target: Host, family: int, traffic: Traffic) -> None:
        self.source, self.target, self.family, self.traffic = source, target, family, traffic
        self._answered = False
        self._identifier = next(_IDENTIFIERS) & 0xFFFF
        domain = socket.AF_INET if family == 4 else socket.AF_INET6
        with source.entered():
            match traffic.proto:
                case 6:
                    self._socket = socket.socket(domain, socket.SOCK_STREAM)
                case 17:
                    self._socket = socket.socket(domain, socket.SOCK_DGRAM)
                case proto:
                    self._socket = socket.socket(domain, socket.SOCK_RAW, proto)
        self._socket.setblocking(False)
        self._socket.connect_ex((target.address(family), traffic.port or 0))
        if traffic.proto != TCP:
            with contextlib.suppress(PermissionError):  # how the output hook says that it dropped
                self._socket.send(self._first_packet())

    @property
    def ends(self) -> tuple[bytes, bytes]:
        """Addresses of source and target in network order."""
        domain = self._socket.family
        return (
            socket.inet_pton(domain, self.source.address(self.family)),
            socket.inet_pton(domain, self.target.address(self.family)),
        )

    def answered(self) -> bool:
        """Whether the target has answered by now."""
        if not self._answered:
            try:
                self._answered = self._look()
            except OSError:  # nothing there, not connected, or refused
                return False
        return self._answered

    def close(self) -> None:
        self._socket.close()

    def _first_packet(self) -> bytes:
        if self.traffic.icmp_type is None:
            return _ASKING
        return icmp_query(self.traffic, self._identifier)

    def _look(self) -> bool:
        if self.traffic.proto == TCP:
            return bool(self._socket.getpeername())
        if self.traffic.icmp_type is None:
            return bool(self._socket.recv(100))
        while True:  # a raw socket hears what every other one of this host hears
            packet = self._socket.recv(200)
            start = (packet[0] & 15) * 4 if self.family == 4 else 0
            kind, _code, _checksum, identifier = struct.unpack_from(">BBHH", packet, start)
            wanted = _ECHO_REPLIES[self.traffic.icmp_type], self._identifier
            if (kind, identifier) == wanted:
                return True


def icmp_query(
    what: Traffic, identifier: int, number: int = 1, payload: bytes = bytes(12)
) -> bytes:
    """An ICMP query of this type and code; the payload has an even number of bytes."""
    head = struct.pack(">BBxx", what.icmp_type or 0, what.icmp_code or 0)
    body = struct.pack(">HH", identifier, number & 0xFFFF) + payload
    words = struct.unpack(f">{(4 + len(body)) // 2}H", head + body)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF  # of IPv6 the kernel writes its own
    return head[:2] + struct.pack(">H", checksum) + body


class Answering:
    """Every host answers on ``ports``, TCP and UDP, and to the unknown protocol, IPv4 and IPv6,
    until the context ends. ICMP is answered by the kernel."""

    def __init__(self, hosts: Iterable[Host], ports: Iterable[int]) -> None:
        self._waiting = selectors.DefaultSelector()
        self._opened = contextlib.ExitStack()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        for host, port in itertools.product(hosts, ports):
            # The kernel completes handshakes; nobody need accept.
            self._open(host, socket.AF_INET6, socket.SOCK_STREAM, port).listen(64)
            self._answer_on(self._open(host, socket.AF_INET6, socket.SOCK_DGRAM, port))
        for host in hosts:
            for domain in (socket.AF_INET, socket.AF_INET6):
                self._answer_on(self._open(host, domain, socket.SOCK_RAW, proto=UNKNOWN))

    def _open(
        self,
        host: Host,
        domain: socket.AddressFamily,
        kind: socket.SocketKind,
        port: int = 0,
        proto: int = 0,
    ) -> socket.socket:
        with host.entered():
            server = self._opened.enter_context(socket.socket(domain, kind, proto))
        server.setblocking(False)
        if port:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.bind(("::", port))
        return server

    def _answer_on(self, server: socket.socket) -> None:
        self._waiting.register(server, selectors.EVENT_READ)

    def __enter__(self) -> "Answering":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._opened.close()
        self._waiting.close()

    def _answer(self) -> None:
        while not self._over.is_set():
            for key, _events in self._waiting.select(0.05):
                with contextlib.suppress(OSError):
                    data, sender = key.fileobj.recvfrom(2000)  # type: ignore[union-attr]
                    if data.endswith(_ASKING):
                        key.fileobj.sendto(b"answer", sender)  # type: ignore[union-attr]
