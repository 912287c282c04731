"""Sockets that wait for peers and sockets that have one, by sock_diag: exact, and a hundred times
cheaper than ``/proc``."""

import errno
import socket
import struct
from collections.abc import Iterator

from msgspec import Struct

from ven.core.kernel import Connection
from ven.edge.netlink import NETLINK_SOCK_DIAG, NetlinkError, NetlinkSocket

_SOCK_DIAG_BY_FAMILY = 20
# family, protocol, extensions, states, then the all-zero socket id: any socket.
_REQUEST = struct.Struct("=BBBxI48x")
# state, source port, destination port, source, destination, cookie, uid, inode
_ANSWER = struct.Struct("=x B 2x 2s 2s 16s 16s 4x 8s 12x I I")

_CONNECTED = 1 << 1
_LISTEN = 1 << 10
_UNCONNECTED = 1 << 7
"""A UDP socket without a peer; TCP calls the same number CLOSE."""
_WAITING = {socket.IPPROTO_TCP: _LISTEN, socket.IPPROTO_UDP: _UNCONNECTED}
_IPV4_IN_IPV6 = bytes(10) + b"\xff\xff"


class ListeningSocket(Struct, frozen=True):
    """One socket that takes what comes to ``address`` and ``port``."""

    proto: int
    address: str
    port: int
    uid: int
    inode: int
    """Number by which ``/proc/<pid>/fd`` names it."""


class _Socket(Struct, frozen=True):
    proto: int
    address: bytes
    port: int
    peer: bytes
    peer_port: int
    cookie: int
    uid: int
    inode: int


def listening_sockets() -> Iterator[ListeningSocket]:
    """TCP sockets that listen and UDP sockets that are bound without a peer, IPv4 and IPv6, of
    this network namespace; 0.3 ms and 4 microseconds each."""
    for found in _sockets(_WAITING):
        if found.port:
            family = socket.AF_INET if len(found.address) == 4 else socket.AF_INET6
            address = socket.inet_ntop(family, found.address)
            yield ListeningSocket(found.proto, address, found.port, found.uid, found.inode)


def connected_sockets() -> Iterator[Connection]:
    """Connections of this network namespace that are open now, phase ``live``, without bytes.

    For hosts whose connections nobody tracks. One that came to a listening port was opened by the
    peer, any other by this host."""
    listening = {(found.proto, found.port) for found in _sockets(_WAITING)}
    for found in _sockets(dict.fromkeys(_WAITING, _CONNECTED)):
        here = _without_mapping(found.address), found.port
        there = _without_mapping(found.peer), found.peer_port
        inbound = (found.proto, found.port) in listening
        (src, src_port), (dst, dst_port) = (there, here) if inbound else (here, there)
        yield Connection(
            phase="live",
            id=found.cookie,
            proto=found.proto,
            src=src,
            dst=dst,
            src_port=src_port,
            dst_port=dst_port,
        )


def _without_mapping(address: bytes) -> bytes:
    """An IPv6 socket sees an IPv4 peer as ``::ffff:10.0.0.1``."""
    return address[12:] if address.startswith(_IPV4_IN_IPV6) else address


def _sockets(states: dict[int, int]) -> Iterator[_Socket]:
    """``states``: protocol -> mask of wanted states."""
    netlink = NetlinkSocket(NETLINK_SOCK_DIAG)
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            for proto, mask in states.items():
                yield from _dump(netlink, family, proto, mask)
    finally:
        netlink.close()


def _dump(netlink: NetlinkSocket, family: int, proto: int, states: int) -> Iterator[_Socket]:
    size = 4 if family == socket.AF_INET else 16
    try:
        for message in netlink.dump(_SOCK_DIAG_BY_FAMILY, _REQUEST.pack(family, proto, 0, states)):
            _, port, peer_port, address, peer, cookie, uid, inode = _ANSWER.unpack_from(
                message.body
            )
            yield _Socket(
                proto,
                address[:size],
                int.from_bytes(port),
                peer[:size],
                int.from_bytes(peer_port),
                int.from_bytes(cookie),
                uid,
                inode,
            )
    except NetlinkError as error:
        # ENOENT: the kernel is built without the protocol or its diag module.
        # EINTR: some came or went meanwhile; the next look is soon enough.
        if error.errno not in (errno.ENOENT, errno.EINTR):
            raise
