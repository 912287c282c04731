"""Answers of name servers, as the kernel logs the packets that bring them, and the host's own
resolver."""

import socket
import struct
from collections.abc import Iterator

from ven.core.dns import Answer, Segment, Streams, parse_answer
from ven.core.kernel import Drained
from ven.core.table import ANSWER_BYTES
from ven.edge.netlink import Message
from ven.edge.nflog import PACKET, logged_packet, open_group, transport

_UDP_HEADER_BYTES = 8
_FIN_OR_RST, _SYN = 0x05, 0x02
_TCP = struct.Struct(">HHIIBB")

NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)


class ResolutionFailed(Exception):
    """No name server could say what a name means. Later it may."""


def resolve(name: str) -> tuple[bytes, ...]:
    """Packed addresses that the host's resolver gives for a name, none when it does not exist.

    Raises :class:`ResolutionFailed`. May take many seconds, so it has a thread of its own.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in NO_SUCH_NAME:
            return ()
        raise ResolutionFailed(f"{name}: {error.strerror}") from None
    except (OSError, UnicodeError) as error:
        raise ResolutionFailed(f"{name}: {error}") from None
    return tuple(
        sorted({socket.inet_pton(family, str(at[0]).partition("%")[0]) for family, *_, at in found})
    )


class AnswerLog:
    """What name servers answer this host, from now on. Each at once and not in batches: whoever
    asked is about to connect."""

    def __init__(self, group: int) -> None:
        """Raises OSError with EBUSY when another program reads ``group``."""
        self._netlink = open_group(group, ANSWER_BYTES, flush_centiseconds=1, batch=1)
        self._streams = Streams()

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._netlink.fileno()

    def drain(self, limit: int = 2000) -> Drained[Answer]:
        """What was answered, in order; 30 microseconds each."""
        drained = self._netlink.drain(self._messages, limit)
        parsed = (parse_answer(message) for found in drained.items for message in found)
        return Drained([a for a in parsed if a is not None], drained.lost, drained.more)

    def close(self) -> None:
        """Stop listening; the group is free again."""
        self._netlink.close()

    def _messages(self, message: Message) -> list[bytes] | None:
        if message.kind != PACKET:
            return None
        return list(dns_messages(logged_packet(message.body), self._streams)) or None


def dns_messages(packet: bytes, streams: Streams) -> Iterator[bytes]:
    """The DNS messages that an IP packet brings or completes."""
    found = transport(packet)
    if found is None:
        return
    proto, start, src, dst = found
    if proto == socket.IPPROTO_UDP:
        yield packet[start + _UDP_HEADER_BYTES :]
    elif proto == socket.IPPROTO_TCP and len(packet) >= start + _TCP.size:
        _src_port, port, sequence, _acknowledged, offset, flags = _TCP.unpack_from(packet, start)
        yield from streams.feed(
            Segment(
                connection=(src, dst, port),
                sequence=sequence,
                syn=bool(flags & _SYN),
                over=bool(flags & _FIN_OR_RST),
                payload=packet[start + (offset >> 4) * 4 :],
            )
        )
