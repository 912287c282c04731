"""Elements of the counting sets (``ven.core.counting``) as what they mean."""

import socket
import struct
from typing import TypeVar

from ven.core.kernel import Attempts
from ven.core.mark import EPOCH_SHIFT, OUTBOUND, decision_of

_Kind = TypeVar("_Kind", bound=Attempts)
_ICMP = (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)

Service = tuple[bytes, int, int]
"""Destination, protocol, and port or (ICMP) type x 256 + code."""


def counted_attempts(key: bytes, packets: int | None, kind: type[_Kind]) -> _Kind | None:
    """``key`` is mark, source, destination, protocol, service, each padded to four bytes; None when
    it has another length."""
    size = 4 if len(key) == 20 else 16
    if len(key) != 12 + 2 * size:
        return None
    (mark,) = struct.unpack_from("=I", key)
    proto, service = _service(key, 4 + 2 * size)
    # The epoch is not part of the key: it would only split the counts.
    decision, qualifier = decision_of(mark | 1 << EPOCH_SHIFT)
    icmp = proto in _ICMP
    return kind(
        direction="O" if mark & OUTBOUND else "I",
        proto=proto,
        src=key[4 : 4 + size],
        dst=key[4 + size : 4 + 2 * size],
        dst_port=0 if icmp else service,
        icmp_type=service >> 8 if icmp else None,
        icmp_code=service & 0xFF if icmp else None,
        decision=decision,
        qualifier=qualifier,
        count=packets or 1,
    )


def used_service(key: bytes) -> tuple[Service, int] | None:
    """``key`` is user id, destination, protocol, service; None when it has another length."""
    size = len(key) - 12
    if size not in (4, 16):
        return None
    (uid,) = struct.unpack_from("=I", key)
    return (key[4 : 4 + size], *_service(key, 4 + size)), uid


def _service(key: bytes, start: int) -> tuple[int, int]:
    (service,) = struct.unpack_from(">H", key, start + 4)
    return key[start], service
