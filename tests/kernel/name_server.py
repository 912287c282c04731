"""A name server with a few lines, for tests."""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator

from tests.kernel.namespaces import Host

A, AAAA = 1, 28
TTL_S = 60


class NameServer:
    """Answers on port 53 of ``host``, by UDP and TCP, IPv4: ``zone`` is name -> addresses."""

    def __init__(self, host: Host, zone: dict[str, list[str]]) -> None:
        self.zone = zone
        self.asked: list[str] = []
        self._udp = host.listen(53, kind=socket.SOCK_DGRAM)
        self._tcp = host.listen(53)
        self._over, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.close()
        self._thread.join()
        for found in (self._udp, self._tcp, self._over):
            found.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._udp, self._tcp, self._over], [], [])
            if self._over in ready:
                return
            with contextlib.suppress(OSError):
                if self._udp in ready:
                    question, sender = self._udp.recvfrom(2000)
                    self._udp.sendto(self._answer(question), sender)
                if self._tcp in ready:
                    client, _ = self._tcp.accept()
                    with client:
                        size = int.from_bytes(client.recv(2, socket.MSG_WAITALL))
                        answer = self._answer(client.recv(size, socket.MSG_WAITALL))
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        framed = len(answer).to_bytes(2) + answer
                        for part in (framed[:1], framed[1:9], framed[9:]):
                            client.sendall(part)

    def _answer(self, question: bytes) -> bytes:
        labels, position = [], 12
        while question[position]:
            labels.append(question[position + 1 : position + 1 + question[position]].decode())
            position += 1 + question[position]
        name = ".".join(labels).lower()
        self.asked.append(name)
        (kind,) = struct.unpack_from(">H", question, position + 1)
        records = list(_records(self.zone.get(name, []), kind))
        flags = 0x8180 if name in self.zone else 0x8183
        header = struct.pack(">2sHHHHH", question[:2], flags, 1, len(records), 0, 0)
        return header + question[12 : position + 5] + b"".join(records)


def _records(addresses: list[str], kind: int) -> Iterator[bytes]:
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if kind == (AAAA if family == socket.AF_INET6 else A):
            value = socket.inet_pton(family, address)
            yield struct.pack(">HHHIH", 0xC00C, kind, 1, TTL_S, len(value)) + value


def question(name: str, kind: int = A) -> bytes:
    """What a resolver sends."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">HH", kind, 1)
