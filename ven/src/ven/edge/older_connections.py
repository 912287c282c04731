"""Connections that began when nobody tracked connections.

Conntrack takes the first packet that it sees of one for its beginning. When the server happens to
speak first, the connection stands in the table the wrong way round: it is reported as one that
this host opened to its client's port, and is judged like that for as long as it lives. The host's
sockets know better, so conntrack is told before it sees a packet.
"""

import contextlib
import socket
import struct
from collections.abc import Iterable

from ven.core.kernel import Connection
from ven.edge.netlink import (
    NETLINK_NETFILTER,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NetlinkError,
    NetlinkSocket,
    attribute,
    nested,
    netfilter_header,
)

# linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_common.h, nf_conntrack_tcp.h
_NEW = 1 << 8
_ORIGINAL, _REPLY, _STATUS, _PROTOINFO, _TIMEOUT = 1, 2, 3, 4, 7
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTO_NUMBER, _SOURCE_PORT, _TARGET_PORT = 1, 2, 3
_CONFIRMED_BOTH_WAYS = 2 | 4 | 8
"""Seen reply, assured, confirmed: the kernel takes it for any that it saw itself."""
_TCP, _TCP_STATE, _ESTABLISHED = 1, 1, 3
_FLAGS_ORIGINAL, _FLAGS_REPLY = 4, 5
_LIBERAL = bytes([8, 8])
"""Flag and mask: sequence numbers outside the window are no reason to call a packet invalid."""
_STATE = (
    attribute(_TCP_STATE, bytes([_ESTABLISHED])),
    attribute(_FLAGS_ORIGINAL, _LIBERAL),
    attribute(_FLAGS_REPLY, _LIBERAL),
)

LIFETIME_S = 28_800
"""Until its first packet; what the VEN sets as conntrack's time-out of TCP connections."""


def track(connections: Iterable[Connection]) -> None:
    """Have these TCP connections tracked, as begun by their initiators; each costs 20 microseconds
    of CPU.

    What is tracked already stays as it is, but for the sequence numbers that conntrack expects: the
    connection may have gone on untracked since, and then its packets would be called invalid.

    What cannot be tracked (it is already, under translated addresses; the table is full) is left to
    its next packet.
    """
    netlink = NetlinkSocket(NETLINK_NETFILTER)
    try:
        for connection in connections:
            if connection.proto == socket.IPPROTO_TCP and connection.src != connection.dst:
                with contextlib.suppress(NetlinkError):
                    netlink.request(_NEW, NLM_F_REQUEST | NLM_F_CREATE, _entry(connection))
    finally:
        netlink.close()


def _entry(connection: Connection) -> bytes:
    family = socket.AF_INET if len(connection.src) == 4 else socket.AF_INET6
    source = connection.src, connection.src_port
    target = connection.dst, connection.dst_port
    return (
        netfilter_header(family)
        + _tuple(_ORIGINAL, source, target)
        + _tuple(_REPLY, target, source)
        + attribute(_STATUS, struct.pack(">I", _CONFIRMED_BOTH_WAYS))
        + attribute(_TIMEOUT, struct.pack(">I", LIFETIME_S))
        + nested(_PROTOINFO, nested(_TCP, *_STATE))
    )


def _tuple(kind: int, source: tuple[bytes, int], target: tuple[bytes, int]) -> bytes:
    first = 1 if len(source[0]) == 4 else 3
    return nested(
        kind,
        nested(_TUPLE_IP, attribute(first, source[0]), attribute(first + 1, target[0])),
        nested(
            _TUPLE_PROTO,
            attribute(_PROTO_NUMBER, bytes([socket.IPPROTO_TCP])),
            attribute(_SOURCE_PORT, struct.pack(">H", source[1])),
            attribute(_TARGET_PORT, struct.pack(">H", target[1])),
        ),
    )
