"""Tracked connections: events as they begin and end, and the table of those that live.

Only NEW and DESTROY are read. An UPDATE carries nothing that a flow record needs and is 70 % of
all events. Byte counts are in DESTROY and in a dump; NEW has none. A connection that a rule drops
is never confirmed, so it never appears here.
"""

import socket
import struct
from collections.abc import Iterator
from typing import Literal

from ven.core.kernel import Connection, Drained
from ven.core.mark import UNTOLD, decision_of
from ven.edge.netlink import (
    NETFILTER_HEADER_BYTES,
    NETLINK_NETFILTER,
    NLM_F_CREATE,
    Message,
    NetlinkSocket,
    attributes,
    netfilter_header,
)

_SUBSYS = 1
_NEW = _SUBSYS << 8
_GET = _SUBSYS << 8 | 1
_DESTROY = _SUBSYS << 8 | 2
_GROUP_NEW, _GROUP_DESTROY = 1, 3

EVENT_BUFFER_BYTES = 32 << 20
"""52,000 events that were not read yet: two seconds of 13,000 short connections, so that none is
lost before sampling mode begins. Kernel memory, used only while they wait."""

# linux/netfilter/nfnetlink_conntrack.h
_ORIGINAL, _REPLY, _PROTOINFO, _MARK = 1, 2, 4, 8
_COUNTERS_ORIGINAL, _COUNTERS_REPLY, _ID, _TIMESTAMP = 9, 10, 12, 20

# A tuple with ports has a fixed layout; one unpack instead of nine steps through attributes.
# Outer nest: addresses (type 1), protocol (type 2) with number, source port, destination port.
_TUPLE4 = struct.Struct(">4x 4x4s 4x4s 4x 4xB3x 4xH2x 4xH2x")
_TUPLE6 = struct.Struct(">4x 4x16s 4x16s 4x 4xB3x 4xH2x 4xH2x")
_TUPLES = {_TUPLE4.size: _TUPLE4, _TUPLE6.size: _TUPLE6}
_ATTRIBUTE = struct.Struct("=HH")
_KIND_MASK = 0x3FFF
_NUMBER = struct.Struct(">I")
_TIME = struct.Struct(">4xQ")
_PAIR = struct.Struct(">4xQ 4xQ")
_TCP_STATE = struct.Struct("=2xH 2xH B")
_PROTOINFO_TCP, _PROTOINFO_TCP_STATE = 1, 1
PORT_PROTOCOLS = frozenset((6, 17, 33, 132, 136))
_ICMP_PROTOCOLS = frozenset((1, 58))

_TCP_OVER = {
    # A connection that one side has closed may still carry data the other way while it lives.
    "live": frozenset((7, 8)),  # TIME_WAIT, CLOSE
    "end": frozenset((4, 5, 6, 7, 8)),  # FIN_WAIT, CLOSE_WAIT, LAST_ACK: a FIN was seen
    "new": frozenset(),
}


class ConnectionEvents:
    """Beginnings and ends of connections of this network namespace, from now on.

    Connections that are alive already send no end unless ``nf_conntrack_events`` is 1: look for
    them in :func:`dump`.
    """

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(
            NETLINK_NETFILTER,
            groups=(_GROUP_NEW, _GROUP_DESTROY),
            receive_bytes=EVENT_BUFFER_BYTES,
        )

    def fileno(self) -> int:
        """Descriptor to wait on. Read 20 ms after it becomes readable: draining many events at
        once costs half as much as waking up for each."""
        return self._netlink.fileno()

    def drain(self, limit: int = 2000) -> Drained[Connection]:
        """What happened, in order; 5 microseconds each."""
        return self._netlink.drain(_event, limit)

    def close(self) -> None:
        """Stop listening."""
        self._netlink.close()


def _event(message: Message) -> Connection | None:
    if message.kind == _DESTROY:
        return decode_connection(message.body, "end")
    if message.kind == _NEW and message.flags & NLM_F_CREATE:
        return decode_connection(message.body, "new")
    return None


def dump() -> Iterator[Connection]:
    """All live connections of this network namespace; 5 microseconds each, in constant memory.

    Raises NetlinkError with EINTR at the end when the table was changed so that some may be
    missing."""
    for body in _dump_bodies():
        connection = decode_connection(body, "live")
        if connection is not None:
            yield connection


def live_marks() -> Iterator[int]:
    """The marks of all live connections, zeroes left out."""
    for body in _dump_bodies():
        for kind, payload in attributes(body, NETFILTER_HEADER_BYTES):
            if kind == _MARK:
                (mark,) = struct.unpack(">I", payload)
                if mark:
                    yield mark
                break


def _dump_bodies() -> Iterator[bytes]:
    netlink = NetlinkSocket(NETLINK_NETFILTER)
    try:
        for message in netlink.dump(_GET, netfilter_header(socket.AF_UNSPEC)):
            yield message.body
    finally:
        netlink.close()


def decode_connection(body: bytes, phase: Literal["new", "end", "live"]) -> Connection | None:
    """From the body of a message; None when it is not what every connection looks like."""
    try:
        return _connection(body, phase)
    except (KeyError, IndexError, struct.error, ValueError):
        return None


def _connection(body: bytes, phase: Literal["new", "end", "live"]) -> Connection:
    # A busy host spends its time here: attributes are walked in place, and what has a fixed layout
    # is unpacked at once.
    original = reply = b""
    mark = identifier = 0
    to_dst = to_src = 0
    started: float | None = None
    ended: float | None = None
    closed = False
    start, end = NETFILTER_HEADER_BYTES, len(body)
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        if length < 4 or start + length > end:
            break
        kind &= _KIND_MASK
        if kind == _ORIGINAL:
            original = body[start + 4 : start + length]
        elif kind == _REPLY:
            reply = body[start + 4 : start + length]
        elif kind == _MARK:
            (mark,) = _NUMBER.unpack_from(body, start + 4)
        elif kind == _ID:
            (identifier,) = _NUMBER.unpack_from(body, start + 4)
        elif kind == _COUNTERS_ORIGINAL:
            _, to_dst = _PAIR.unpack_from(body, start + 4)
        elif kind == _COUNTERS_REPLY:
            _, to_src = _PAIR.unpack_from(body, start + 4)
        elif kind == _TIMESTAMP:
            (nanoseconds,) = _TIME.unpack_from(body, start + 4)
            started = nanoseconds / 1e9
            if phase == "end" and length >= 4 + _PAIR.size:
                ended = _PAIR.unpack_from(body, start + 4)[1] / 1e9
        elif kind == _PROTOINFO:
            closed = _tcp_state(body[start + 4 : start + length]) in _TCP_OVER[phase]
        start += (length + 3) & ~3
    src, dst, proto, src_port, dst_port, icmp_type, icmp_code = _ends(original)
    # Behind destination NAT the responder is the one that answers.
    dst, _, _, dst_port, _, _, _ = _ends(reply)
    decision, qualifier = decision_of(mark)
    return Connection(
        phase=phase,
        id=identifier,
        proto=proto,
        src=src,
        dst=dst,
        src_port=src_port,
        dst_port=dst_port,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
        decision=decision,
        qualifier=qualifier,
        bytes_to_dst=to_dst,
        bytes_to_src=to_src,
        started=started,
        ended=ended,
        closed=closed,
        untold=bool(mark & UNTOLD),
    )


_Ends = tuple[bytes, bytes, int, int, int, int | None, int | None]


def _ends(payload: bytes) -> _Ends:
    """Of a tuple attribute: source, destination, protocol, ports, ICMP type and code."""
    layout = _TUPLES.get(len(payload))
    if layout is not None:
        src, dst, proto, src_port, dst_port = layout.unpack(payload)
        if proto in PORT_PROTOCOLS:
            return src, dst, proto, src_port, dst_port, None, None
    parts = dict(attributes(payload))
    addresses, protocol = dict(attributes(parts[1])), dict(attributes(parts[2]))
    src, dst = addresses.get(1) or addresses[3], addresses.get(2) or addresses[4]
    proto = protocol[1][0]
    if proto not in _ICMP_PROTOCOLS:
        return src, dst, proto, 0, 0, None, None
    kind, code = (5, 6) if proto == socket.IPPROTO_ICMP else (8, 9)
    return src, dst, proto, 0, 0, protocol[kind][0], protocol[code][0]


def _tcp_state(protoinfo: bytes) -> int:
    """It is the first attribute of the first nest; -1 for other protocols."""
    if len(protoinfo) < _TCP_STATE.size:
        return -1
    protocol, kind, state = _TCP_STATE.unpack_from(protoinfo)
    known = protocol & _KIND_MASK == _PROTOINFO_TCP and kind == _PROTOINFO_TCP_STATE
    return int(state) if known else -1
