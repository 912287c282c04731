"""Tracked connections: events as they begin and end, and the table of those that live.

Only NEW and DESTROY are read. An UPDATE carries nothing that a flow record needs and is 70 % of
all events. Byte counts are in DESTROY and in a dump; NEW has none. A connection that a rule drops
is never confirmed, so it never appears here.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Literal

from ven.core.kernel import Connection, Drained
from ven.core.mark import decision_of
from ven.edge.netlink import (
    NETFILTER_HEADER_BYTES,
    NETLINK_NETFILTER,
    NLM_F_CREATE,
    NetlinkSocket,
    attributes,
    messages,
    netfilter_header,
)

_SUBSYS = 1
_NEW = _SUBSYS << 8
_GET = _SUBSYS << 8 | 1
_DESTROY = _SUBSYS << 8 | 2
_GROUP_NEW, _GROUP_DESTROY = 1, 3

EVENT_BUFFER_BYTES = 4 << 20
"""6,500 events that were not read yet; kernel memory, used only while they wait."""

# linux/netfilter/nfnetlink_conntrack.h
_ORIGINAL, _REPLY, _PROTOINFO, _MARK = 1, 2, 4, 8
_COUNTERS_ORIGINAL, _COUNTERS_REPLY, _ID, _TIMESTAMP = 9, 10, 12, 20

# A tuple with ports has a fixed layout; one unpack instead of nine steps through attributes.
# Outer nest: addresses (type 1), protocol (type 2) with number, source port, destination port.
_TUPLE4 = struct.Struct(">4x 4x4s 4x4s 4x 4xB3x 4xH2x 4xH2x")
_TUPLE6 = struct.Struct(">4x 4x16s 4x16s 4x 4xB3x 4xH2x 4xH2x")
_COUNTS = struct.Struct(">4xQ 4xQ")
PORT_PROTOCOLS = frozenset((6, 17, 33, 132, 136))
_ICMP_PROTOCOLS = frozenset((1, 58))

_TCP_CLOSING = frozenset((4, 5, 6, 7, 8))
"""FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE: a FIN or RST was seen."""


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
        items: list[Connection] = []
        lost = False
        while len(items) < limit:
            try:
                datagram = self._netlink.receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            if datagram is None:
                return Drained(items, lost=lost)
            for message in messages(datagram):
                if message.kind == _DESTROY:
                    connection = decode_connection(message.body, "end")
                elif message.kind == _NEW and message.flags & NLM_F_CREATE:
                    connection = decode_connection(message.body, "new")
                else:
                    continue
                if connection is not None:
                    items.append(connection)
        return Drained(items, lost=lost, more=True)

    def close(self) -> None:
        """Stop listening."""
        self._netlink.close()


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


class Endpoints:
    """One direction of a connection, from a tuple attribute."""

    __slots__ = ("dst", "dst_port", "icmp_code", "icmp_type", "proto", "src", "src_port")

    def __init__(self, payload: bytes) -> None:
        """Raises KeyError, IndexError or struct.error when ``payload`` is no tuple."""
        self.icmp_type: int | None = None
        self.icmp_code: int | None = None
        layout = {_TUPLE4.size: _TUPLE4, _TUPLE6.size: _TUPLE6}.get(len(payload))
        if layout is not None:
            self.src, self.dst, self.proto, self.src_port, self.dst_port = layout.unpack(payload)
            if self.proto in PORT_PROTOCOLS:
                return
        # Another protocol: walk.
        parts = dict(attributes(payload))
        addresses = dict(attributes(parts[1]))
        self.src = addresses.get(1) or addresses[3]
        self.dst = addresses.get(2) or addresses[4]
        protocol = dict(attributes(parts[2]))
        self.proto = protocol[1][0]
        self.src_port = self.dst_port = 0
        if self.proto in _ICMP_PROTOCOLS:
            kind, code = (5, 6) if self.proto == 1 else (8, 9)
            self.icmp_type, self.icmp_code = protocol[kind][0], protocol[code][0]


def decode_connection(body: bytes, phase: Literal["new", "end", "live"]) -> Connection | None:
    """From the body of a message; None when it is not what every connection looks like."""
    try:
        return _connection(body, phase)
    except (KeyError, IndexError, struct.error, ValueError):
        return None


def _connection(body: bytes, phase: Literal["new", "end", "live"]) -> Connection:
    original = reply = b""
    mark = identifier = 0
    to_dst = to_src = 0
    started: float | None = None
    ended: float | None = None
    closed = False
    for kind, payload in attributes(body, NETFILTER_HEADER_BYTES):
        if kind == _ORIGINAL:
            original = payload
        elif kind == _REPLY:
            reply = payload
        elif kind == _MARK:
            mark = int.from_bytes(payload)
        elif kind == _ID:
            identifier = int.from_bytes(payload)
        elif kind == _COUNTERS_ORIGINAL:
            _, to_dst = _COUNTS.unpack_from(payload)
        elif kind == _COUNTERS_REPLY:
            _, to_src = _COUNTS.unpack_from(payload)
        elif kind == _TIMESTAMP:
            times = dict(attributes(payload))
            started = int.from_bytes(times[1]) / 1e9 if 1 in times else None
            ended = int.from_bytes(times[2]) / 1e9 if 2 in times and phase == "end" else None
        elif kind == _PROTOINFO and phase != "new":
            closed = _said_goodbye(payload)
    opened, answered = Endpoints(original), Endpoints(reply)
    decision, qualifier = decision_of(mark)
    return Connection(
        phase=phase,
        id=identifier,
        proto=opened.proto,
        src=opened.src,
        # Behind destination NAT the responder is the one that answers.
        dst=answered.src,
        src_port=opened.src_port,
        dst_port=answered.src_port,
        icmp_type=opened.icmp_type,
        icmp_code=opened.icmp_code,
        decision=decision,
        qualifier=qualifier,
        bytes_to_dst=to_dst,
        bytes_to_src=to_src,
        started=started,
        ended=ended,
        closed=closed,
    )


def _said_goodbye(protoinfo: bytes) -> bool:
    for protocol, payload in attributes(protoinfo):
        if protocol == 1:  # TCP
            for kind, value in attributes(payload):
                if kind == 1:
                    return value[0] in _TCP_CLOSING
    return False
