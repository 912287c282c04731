"""What the answers of name servers say; pure.

The bytes come from the network and are believed nothing: whatever cannot be read ends the reading,
and what was read until then counts. An answer speaks of the name in its question alone, through
the chain of aliases that begins there.
"""

import re
import struct
from collections.abc import Iterator

from msgspec import Struct

_HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_IS_ANSWER, _NOT_PLAIN = 0x8000, 0x780F
"""Bits of the flags: an answer; neither a query's opcode nor the code for "no error"."""
_A, _CNAME, _AAAA, _INTERNET = 1, 5, 28, 1
_ADDRESS_BYTES = {_A: 4, _AAAA: 16}
_LABEL = re.compile(rb"[A-Za-z0-9_-]{1,63}")
"""Other bytes, a dot among them, are in no name that a policy can hold."""

NAME_CHARACTERS = 253
MOST_RECORDS = 512
"""Read of one answer: more than fit in 8 KB."""
LONGEST_CHAIN = 16
"""Aliases that are followed; resolvers follow 8 to 16."""


class Answer(Struct, frozen=True):
    """What a name server said of a name."""

    name: str
    """Lower case, without a dot at its end."""
    addresses: tuple[tuple[bytes, int], ...]
    """Packed address, and the seconds for which it may be kept."""


class _Unreadable(Exception):
    """The bytes end, or mean nothing."""


def parse_answer(message: bytes) -> Answer | None:
    """Of one DNS message; None when it is no answer or tells no address of the name that was asked
    for. Never raises. 30 microseconds."""
    if len(message) < _HEADER.size:
        return None
    _id, flags, questions, answers, _authorities, _more = _HEADER.unpack_from(message)
    if not flags & _IS_ANSWER or flags & _NOT_PLAIN or questions != 1:
        return None
    try:
        name, position = _name(message, _HEADER.size)
    except _Unreadable:
        return None
    addresses: dict[str, list[tuple[bytes, int]]] = {}
    aliases: dict[str, tuple[str, int]] = {}
    for owner, kind, ttl, value in _records(message, position + 4, min(answers, MOST_RECORDS)):
        if isinstance(value, str):
            aliases.setdefault(owner, (value, ttl))
        elif len(value) == _ADDRESS_BYTES[kind]:
            addresses.setdefault(owner, []).append((value, ttl))
    found = tuple(_along_the_chain(name, aliases, addresses))
    return Answer(name, found) if found else None


def _along_the_chain(
    name: str,
    aliases: dict[str, tuple[str, int]],
    addresses: dict[str, list[tuple[bytes, int]]],
) -> Iterator[tuple[bytes, int]]:
    shortest = 2**31
    for _ in range(LONGEST_CHAIN):
        for address, ttl in addresses.get(name, ()):
            yield address, min(ttl, shortest)
        if name not in aliases:
            return
        name, ttl = aliases[name]
        shortest = min(ttl, shortest)


def _records(
    message: bytes, position: int, count: int
) -> Iterator[tuple[str, int, int, bytes | str]]:
    """(owner, type, seconds, address or alias) of the records that are of use, until one cannot be
    read."""
    try:
        for _ in range(count):
            owner, position = _name(message, position)
            if position + _RECORD.size > len(message):
                return
            kind, network, ttl, length = _RECORD.unpack_from(message, position)
            position += _RECORD.size
            value = message[position : position + length]
            if len(value) < length:
                return
            if network == _INTERNET and kind in _ADDRESS_BYTES:
                yield owner, kind, ttl, value
            elif network == _INTERNET and kind == _CNAME:
                yield owner, kind, ttl, _name(message, position)[0]
            position += length
    except _Unreadable:
        return


def _name(message: bytes, position: int) -> tuple[str, int]:
    """The name at a place, and the place behind it. Pointers go backwards only, so it ends."""
    labels: list[str] = []
    after, before = -1, position
    while True:
        if position >= len(message):
            raise _Unreadable
        length = message[position]
        if length >= 0xC0:
            if position + 2 > len(message):
                raise _Unreadable
            after = position + 2 if after < 0 else after
            position = (length & 0x3F) << 8 | message[position + 1]
            if position >= before:
                raise _Unreadable
            before = position
            continue
        position += 1
        if length == 0:
            break
        label = message[position : position + length]
        if len(label) < length or not _LABEL.fullmatch(label):
            raise _Unreadable
        labels.append(label.decode().lower())
        position += length
        if sum(map(len, labels)) + len(labels) > NAME_CHARACTERS + 1:
            raise _Unreadable
    return ".".join(labels), position if after < 0 else after


class Segment(Struct, frozen=True):
    """One TCP segment from a name server."""

    connection: tuple[bytes, bytes, int]
    """Server, this host's address and port."""
    sequence: int
    syn: bool
    over: bool
    """It ends the connection (FIN or RST)."""
    payload: bytes


class Streams:
    """DNS messages out of TCP segments. Only connections whose beginning was seen, and only what
    arrives in order: bytes from the middle of an answer could be anything."""

    MOST = 64
    """Connections followed at once; the oldest is given up."""

    def __init__(self) -> None:
        self._open: dict[tuple[bytes, bytes, int], tuple[int, bytes]] = {}

    def feed(self, segment: Segment) -> list[bytes]:
        """The messages that this segment completes. Memory: 64 KB a connection at most."""
        key = segment.connection
        if segment.syn:
            self._open.pop(key, None)
            if len(self._open) >= self.MOST:
                del self._open[next(iter(self._open))]
            self._open[key] = (segment.sequence + 1) & 0xFFFFFFFF, b""
            return []
        if key not in self._open:
            return []
        expected, waiting = self._open[key]
        if segment.sequence != expected:
            if (segment.sequence - expected) & 0xFFFFFFFF < 2**31:
                del self._open[key]  # a segment is missing; one that is repeated is not needed
            return []
        messages, waiting = _cut(waiting + segment.payload)
        self._open[key] = (expected + len(segment.payload)) & 0xFFFFFFFF, waiting
        if segment.over:
            del self._open[key]
        return messages


def _cut(stream: bytes) -> tuple[list[bytes], bytes]:
    """Complete messages, each behind its length, and what is left."""
    messages = []
    while len(stream) >= 2 and len(stream) >= (end := 2 + int.from_bytes(stream[:2])):
        messages.append(stream[2:end])
        stream = stream[end:]
    return messages, stream
