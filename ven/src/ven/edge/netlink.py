"""Netlink by hand: attributes, messages, dumps and atomic batches over a raw socket.

A general netlink library costs 14 MiB and ten times the time per event, which is more than the
whole agent may use; the part of the protocol that the VEN needs is small. The families that speak
through it (nftables, conntrack, NFLOG, sock_diag, rtnetlink) have modules of their own.

Integers of the netlink header are in host byte order; those inside attributes are in network byte
order for netfilter and in host byte order for rtnetlink and sock_diag.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ven.core.kernel import Drained

# linux/netlink.h
NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NETLINK_XFRM = 6
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTERRUPTED = 0x10
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33

_NLA_TYPE_MASK = 0x3FFF
NLA_F_NESTED = 0x8000

# linux/netfilter/nfnetlink.h
_NFNL_MSG_BATCH_BEGIN = 0x10
_NFNL_MSG_BATCH_END = 0x11
_NFNL_BATCH_GENID = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")

READ_BYTES = 131_072
"""Room for one datagram. The kernel fills a dump's datagrams up to 32 KiB; twice twice that."""


_Item = TypeVar("_Item")


class NetlinkError(OSError):
    """The kernel refused a message. ``sequence`` tells which one of a batch."""

    def __init__(self, number: int, sequence: int, detail: str = "") -> None:
        super().__init__(number, detail or os.strerror(number))
        self.sequence = sequence


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes. The payload may have up to 65,531 bytes."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a zero-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def attributes(
    buffer: bytes, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """The attributes in ``buffer[start:end]``, in order, as (kind without flags, payload)."""
    stop = len(buffer) if end is None else end
    while start + 4 <= stop:
        length, kind = _ATTRIBUTE.unpack_from(buffer, start)
        if length < 4 or start + length > stop:
            return  # cut short: what follows cannot be told apart
        yield kind & _NLA_TYPE_MASK, buffer[start + 4 : start + length]
        start += (length + 3) & ~3


def netfilter_header(family: int = socket.AF_UNSPEC, resource: int = 0) -> bytes:
    """struct nfgenmsg, with which every netfilter message begins."""
    return struct.pack(">BBH", family, 0, resource)


NETFILTER_HEADER_BYTES = 4


class Message:
    """One message as received: ``kind``, ``flags``, ``port`` (who caused it) and ``body``."""

    __slots__ = ("body", "flags", "kind", "port")

    def __init__(self, kind: int, flags: int, port: int, body: bytes) -> None:
        self.kind = kind
        self.flags = flags
        self.port = port
        self.body = body


def messages(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram."""
    start, end = 0, len(datagram)
    while start + 16 <= end:
        length, kind, flags, _sequence, port = _HEADER.unpack_from(datagram, start)
        if length < 16 or start + length > end:
            return
        yield Message(kind, flags, port, datagram[start + 16 : start + length])
        start += (length + 3) & ~3


class NetlinkSocket:
    """A netlink socket of the calling thread's network namespace, for requests or for events.

    One request at a time: an answer is known by its sequence number, and what nobody waits for any
    more is dropped.
    """

    def __init__(
        self,
        protocol: int,
        *,
        groups: Iterable[int] = (),
        receive_bytes: int = 1 << 20,
    ) -> None:
        """``groups``: numbers of multicast groups to join. ``receive_bytes``: kernel memory for
        what was not read yet."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._sequence = 0
        try:
            self._resize(_SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_bytes)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            self._socket.bind((0, 0))
            for group in groups:
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        except BaseException:
            self._socket.close()
            raise

    def _resize(self, forced: int, polite: int, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
        except PermissionError:  # without CAP_NET_ADMIN the system's maximum holds
            self._socket.setsockopt(socket.SOL_SOCKET, polite, size)

    @property
    def port(self) -> int:
        """The address of this socket, by which others' messages name who caused them."""
        return int(self._socket.getsockname()[0])

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()

    def receive(self) -> bytes | None:
        """One datagram that is there now, or None. Raises OSError with ENOBUFS once after the
        kernel had to throw messages away."""
        try:
            return self._socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def drain(self, decode: Callable[[Message], _Item | None], limit: int) -> Drained[_Item]:
        """What the messages that are there now say, in order, until about ``limit`` items; those
        of which ``decode`` makes nothing are left out."""
        items: list[_Item] = []
        lost = False
        while len(items) < limit:
            try:
                datagram = self.receive()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            if datagram is None:
                return Drained(items, lost=lost)
            for message in messages(datagram):
                item = decode(message)
                if item is not None:
                    items.append(item)
        return Drained(items, lost=lost, more=True)

    def request(self, kind: int, flags: int, body: bytes) -> Message | None:
        """Send one message, wait for its answer; None when it is only acknowledged.

        Raises NetlinkError when the kernel refuses."""
        self._send(kind, flags | NLM_F_ACK, body)
        answer = None
        for message in self._answers():
            answer = message
        return answer

    def dump(self, kind: int, body: bytes) -> Iterator[Message]:
        """All objects of a kind, streamed. Raises NetlinkError with EINTR at the end when the
        objects changed meanwhile, so that some may be missing or doubled."""
        self._send(kind, NLM_F_DUMP, body)
        interrupted = False
        for message in self._answers():
            interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTERRUPTED)
            yield message
        if interrupted:
            raise NetlinkError(errno.EINTR, self._sequence, "changed while it was read")

    def commit(self, subsystem: int, batch: list[tuple[int, int, bytes]], generation: int) -> None:
        """Send ``(kind, flags, body)`` messages as one transaction: all take effect or none.

        Refused with ERESTART when ``generation`` is not 0 and somebody committed since it was
        read. A NetlinkError's ``sequence`` is the index in ``batch`` of the message at fault.
        """
        expected = (
            attribute(_NFNL_BATCH_GENID, struct.pack(">I", generation)) if generation else b""
        )
        limits = netfilter_header(resource=subsystem)
        parts = [_message(_NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, limits + expected)]
        last = len(batch) - 1
        for index, (kind, flags, body) in enumerate(batch):
            # Errors come for any message; one acknowledgement is enough for all.
            flags |= NLM_F_REQUEST | (NLM_F_ACK if index == last else 0)
            parts.append(_message(kind, flags, index, body))
        parts.append(_message(_NFNL_MSG_BATCH_END, NLM_F_REQUEST, last + 1, limits))
        data = b"".join(parts)
        del parts
        self._discard()
        # The whole batch must fit in the send buffer: it is one datagram.
        self._resize(_SO_SNDBUFFORCE, socket.SO_SNDBUF, len(data) + 65_536)
        self._socket.send(data)
        self._collect(last)

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._discard()
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        self._socket.send(_message(kind, flags | NLM_F_REQUEST, self._sequence, body))

    def _discard(self) -> None:
        # What an abandoned dump or a failed batch left behind is nobody's answer.
        while True:
            try:
                if self.receive() is None:
                    return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def _answers(self) -> Iterator[Message]:
        """Messages until the kernel says that it was all. Raises NetlinkError."""
        while True:
            datagram = self._socket.recv(READ_BYTES)
            start, end = 0, len(datagram)
            while start + 16 <= end:
                length, kind, flags, sequence, port = _HEADER.unpack_from(datagram, start)
                body = datagram[start + 16 : start + length]
                start += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    raise_error(body, flags, sequence)
                    return
                yield Message(kind, flags, port, body)

    def _collect(self, last: int) -> None:
        """Errors of a batch; ends at the acknowledgement of message ``last`` or at the first error
        (the kernel answers a failed batch in one go, before ``send`` returns)."""
        while True:
            datagram = self._socket.recv(READ_BYTES)
            start, end = 0, len(datagram)
            while start + 16 <= end:
                length, kind, flags, sequence, _port = _HEADER.unpack_from(datagram, start)
                body = datagram[start + 16 : start + length]
                start += (length + 3) & ~3
                if kind != _NLMSG_ERROR:
                    continue
                raise_error(body, flags, sequence)
                if sequence == last:
                    return


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body


def raise_error(body: bytes, flags: int, sequence: int) -> None:
    """Raise what NLMSG_ERROR or NLMSG_DONE carries; an error number of 0 is an acknowledgement."""
    (number,) = struct.unpack_from("=i", body) if len(body) >= 4 else (0,)
    if number == 0:
        return
    detail = ""
    if flags & _NLM_F_ACK_TLVS and len(body) >= 20:
        # The refused message's header follows the number, and its body unless it was capped.
        (length,) = struct.unpack_from("=I", body, 4)
        start = 20 if flags & _NLM_F_CAPPED else 4 + length
        for kind, payload in attributes(body, start):
            if kind == _NLMSGERR_ATTR_MSG:
                detail = payload.rstrip(b"\0").decode(errors="replace")
    raise NetlinkError(-number, sequence, detail)
