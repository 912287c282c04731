"""Packets that the firewall refused, as the kernel logs them to a netlink group.

The log's prefix says why and of which direction the connection was; the rest is in the packet.
(The kernel can attach the connection itself, but not every distribution builds that in.)
"""

import socket
import struct

from msgspec import Struct
from msgspec.structs import replace

from ven.core.kernel import Decision, Drained, Drop
from ven.core.table import LOG_BATCH, LOG_PREFIXES, NFLOG_GROUP, SNAP_BYTES
from ven.edge.conntrack import PORT_PROTOCOLS
from ven.edge.netlink import (
    NETFILTER_HEADER_BYTES,
    NETLINK_NETFILTER,
    NLM_F_REQUEST,
    Message,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
    netfilter_header,
)

_SUBSYS = 4
PACKET = _SUBSYS << 8
"""Kind of a message that holds a logged packet."""
_CONFIG = _SUBSYS << 8 | 1
_COMMAND, _MODE, _TIMEOUT, _THRESHOLD, _FLAGS = 1, 2, 4, 5, 6
_BIND = 1
_COPY_PACKET = 2
_FLAG_SEQUENCE = 1
_PACKET_HEADER, _PAYLOAD, _PREFIX, _SEQUENCE = 1, 9, 10, 12
_HOOK_IN = 1

FLUSH_CENTISECONDS = 10
"""How long the kernel may gather packets for one read."""
BUFFER_BYTES = 1 << 20
"""Some 2,000 packets: five bursts of the logging rate."""


def open_group(group: int, packet_bytes: int, flush_centiseconds: int, batch: int) -> NetlinkSocket:
    """A socket that gets the packets logged to ``group``, ``packet_bytes`` of each, ``batch`` at a
    time or when the first has waited for so long. Raises OSError with EBUSY when another program
    reads it."""
    netlink = NetlinkSocket(NETLINK_NETFILTER, receive_bytes=BUFFER_BYTES)
    header = netfilter_header(resource=group)
    settings = (
        attribute(_MODE, struct.pack(">IBx", packet_bytes, _COPY_PACKET)),
        attribute(_TIMEOUT, struct.pack(">I", flush_centiseconds)),
        attribute(_THRESHOLD, struct.pack(">I", batch)),
        attribute(_FLAGS, struct.pack(">H", _FLAG_SEQUENCE)),
    )
    try:
        bind = attribute(_COMMAND, struct.pack("B", _BIND))
        netlink.request(_CONFIG, NLM_F_REQUEST, header + bind)
        netlink.request(_CONFIG, NLM_F_REQUEST, header + b"".join(settings))
    except NetlinkError as error:
        netlink.close()
        raise OSError(error.errno, f"NFLOG group {group}: {error.strerror}") from None
    return netlink


def logged_packet(body: bytes) -> bytes:
    """The packet in a logged message, from its IP header on, as far as it was copied."""
    for kind, payload in attributes(body, NETFILTER_HEADER_BYTES):
        if kind == _PAYLOAD:
            return payload
    return b""


class DropLog:
    """Refused packets of this network namespace, from now on, up to the logging rate; what is
    above it is counted (``Firewall.drain_drops``)."""

    def __init__(self, group: int = NFLOG_GROUP) -> None:
        """Raises OSError with EBUSY when another program reads ``group``."""
        self._netlink = open_group(group, SNAP_BYTES, FLUSH_CENTISECONDS, LOG_BATCH)
        self._expected: int | None = None
        self.lost = 0
        """Packets that the kernel logged and could not deliver."""

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._netlink.fileno()

    def drain(self, limit: int = 2000) -> Drained[Drop]:
        """What was refused, in order; 10 microseconds each. Repeated packets (a SYN that is sent
        again) are repeated here."""
        return self._netlink.drain(self._decode, limit)

    def _decode(self, message: Message) -> Drop | None:
        if message.kind != PACKET:
            return None
        self._follow(message.body)
        return decode_drop(message.body)

    def _follow(self, body: bytes) -> None:
        for kind, payload in attributes(body, NETFILTER_HEADER_BYTES):
            if kind == _SEQUENCE:
                number = int.from_bytes(payload)
                if self._expected is not None:
                    self.lost += (number - self._expected) & 0xFFFFFFFF
                self._expected = (number + 1) & 0xFFFFFFFF

    def close(self) -> None:
        """Stop listening; the group is free again."""
        self._netlink.close()


def decode_drop(body: bytes) -> Drop | None:
    """From the body of a logged packet; None when another program logs to our group, or when the
    packet is cut short."""
    packet = prefix = b""
    hook = -1
    for kind, payload in attributes(body, NETFILTER_HEADER_BYTES):
        if kind == _PACKET_HEADER and len(payload) >= 3:
            hook = payload[2]
        elif kind == _PAYLOAD:
            packet = payload
        elif kind == _PREFIX:
            prefix = payload.rstrip(b"\0")
    reason = LOG_PREFIXES.get(prefix.decode(errors="replace"))
    ends = packet_ends(packet)
    if reason is None or ends is None:
        return None
    direction, qualifier = reason
    # A packet of an inbound connection that goes out is an answer: its source is the responder.
    ends = ends if (hook == _HOOK_IN) == (direction == "in") else ends.turned()
    return Drop(
        direction="I" if direction == "in" else "O",
        proto=ends.proto,
        src=ends.src,
        dst=ends.dst,
        dst_port=ends.dst_port,
        icmp_type=ends.icmp_type,
        icmp_code=ends.icmp_code,
        decision=Decision.BLOCKED,
        qualifier=qualifier,
    )


class PacketEnds(Struct, frozen=True, kw_only=True):
    """Where one packet comes from and goes to."""

    proto: int
    src: bytes
    dst: bytes
    src_port: int = 0
    dst_port: int = 0
    icmp_type: int | None = None
    icmp_code: int | None = None

    def turned(self) -> "PacketEnds":
        """The packet that this one answers."""
        return PacketEnds(
            proto=self.proto,
            src=self.dst,
            dst=self.src,
            src_port=self.dst_port,
            dst_port=self.src_port,
            icmp_type=_ASKED.get(self.icmp_type or 0, self.icmp_type) if _is_icmp(self) else None,
            icmp_code=self.icmp_code,
        )


_ASKED = {0: 8, 14: 13, 129: 128}
"""ICMP and ICMPv6 answers (echo, timestamp) to what was asked."""
_EXTENSIONS = frozenset((0, 43, 44, 60))
"""IPv6 headers that stand before the transport: hop-by-hop, routing, fragment, destination."""


def _is_icmp(ends: PacketEnds) -> bool:
    return ends.proto in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)


def transport(packet: bytes) -> tuple[int, int, bytes, bytes] | None:
    """Of an IP packet: protocol, where its header begins, source and destination; None when the
    packet is too short to tell."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        return packet[9], (packet[0] & 0xF) * 4, packet[12:16], packet[16:20]
    if len(packet) < 40 or packet[0] >> 4 != 6:
        return None
    proto, start = packet[6], 40
    while proto in _EXTENSIONS:
        if len(packet) < start + 8:
            return None
        length = 8 if proto == 44 else 8 + packet[start + 1] * 8
        proto, start = packet[start], start + length
    return proto, start, packet[8:24], packet[24:40]


def packet_ends(packet: bytes) -> PacketEnds | None:
    """Of the beginning of an IP packet; None when it is too short to tell."""
    found = transport(packet)
    if found is None:
        return None
    proto, start, src, dst = found
    if proto in PORT_PROTOCOLS:
        if len(packet) < start + 4:
            return None
        src_port, dst_port = struct.unpack_from(">HH", packet, start)
        return PacketEnds(proto=proto, src=src, dst=dst, src_port=src_port, dst_port=dst_port)
    ends = PacketEnds(proto=proto, src=src, dst=dst)
    if _is_icmp(ends):
        if len(packet) < start + 2:
            return None
        return replace(ends, icmp_type=packet[start], icmp_code=packet[start + 1])
    return ends
