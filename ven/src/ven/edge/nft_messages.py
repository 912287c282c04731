"""nftables messages as bytes: sets and their elements, the rules that name an epoch, dumps.

Only what changes often is encoded here, because netlink changes one element in 20 microseconds
where the ``nft`` program needs 3 to 30 milliseconds (and reads an interval set whole first). The
rest of the table is text, see ``ven.core.table``.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator

from ven.core.address_sets import AddressSet
from ven.core.mark import EPOCH_MASK, EPOCH_SHIFT
from ven.core.table import TABLE
from ven.edge.netlink import (
    NETFILTER_HEADER_BYTES,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    attribute,
    attributes,
    nested,
    netfilter_header,
    text,
)

Part = tuple[int, int, bytes]
"""(message kind, flags, body) of one message of a batch."""

NFNL_SUBSYS_NFTABLES = 10
NFNLGRP_NFTABLES = 7


def kind(number: int) -> int:
    """Message kind of the nftables subsystem."""
    return NFNL_SUBSYS_NFTABLES << 8 | number


# linux/netfilter/nf_tables.h
NEWTABLE, DELTABLE, GETCHAIN, NEWRULE, GETRULE, DELRULE = map(kind, (0, 2, 4, 6, 7, 8))
NEWSET, GETSET, DELSET = map(kind, (9, 10, 11))
NEWSETELEM, GETSETELEM, DELSETELEM, NEWGEN, GETGEN = map(kind, (12, 13, 14, 15, 16))

FAMILY_INET = 1
_HEADER = netfilter_header(FAMILY_INET)
_TABLE = text(1, TABLE)  # NFTA_*_TABLE is 1 in every message

_ELEMENT_FLAGS_INTERVAL_END = attribute(3, struct.pack(">I", 1))
_SET_ANONYMOUS, _SET_INTERVAL, _SET_MAP = 1, 4, 8
_TYPE_IPV4, _TYPE_IPV6 = 7, 8
"""How nft calls the key's type when it lists a set."""
_LIST_BYTES = 60_000
"""Attribute lengths have 16 bits, so a long list goes in several messages of one batch."""

_REGISTER_VERDICT, _REGISTER_1 = 0, 1
_CT_MARK = 3
_GOTO, _JUMP = -4, -3


def address_elements(contents: AddressSet, members: Iterable[bytes]) -> Iterator[bytes]:
    """Encoded elements of members. A range is two: its first address, and the one after its last
    with a flag; the range that ends at the highest address has no end."""
    size = 4 if contents.family == 4 else 16
    start, _ = _around_key(size)
    if not contents.ranges:
        for member in members:
            yield start + member
        return
    end_start, end_rest = _around_key(size, _ELEMENT_FLAGS_INTERVAL_END)
    highest = b"\xff" * size
    for member in members:
        yield start + member[:size]
        last = member[size:]
        if last != highest:
            yield end_start + (int.from_bytes(last) + 1).to_bytes(size) + end_rest


def _around_key(size: int, more: bytes = b"") -> tuple[bytes, bytes]:
    """An encoded element without its key of ``size`` bytes: there may be 100,000 of them."""
    element = nested(1, nested(1, attribute(1, bytes(size))), more)
    key = 12  # behind three headers
    return element[:key], element[key + size :]


def add_elements(set_name: str, elements: Iterable[bytes]) -> Iterator[Part]:
    """Messages that add encoded elements; one that is there already stays."""
    for body in _element_lists(set_name, elements):
        yield NEWSETELEM, NLM_F_CREATE, body


def delete_elements(set_name: str, elements: Iterable[bytes]) -> Iterator[Part]:
    """Messages that delete encoded elements; one that is missing fails the batch."""
    for body in _element_lists(set_name, elements):
        yield DELSETELEM, 0, body


def new_table() -> Part:
    """Creates the table when it is not there."""
    return NEWTABLE, NLM_F_CREATE, _HEADER + _TABLE


def new_set(set_name: str, contents: AddressSet) -> Iterator[Part]:
    """Creates a set with its members; refused when the name is taken."""
    body = (
        set_reference(set_name)
        + attribute(3, _u32(_SET_INTERVAL if contents.ranges else 0))
        + attribute(4, _u32(_TYPE_IPV4 if contents.family == 4 else _TYPE_IPV6))
        + attribute(5, _u32(4 if contents.family == 4 else 16))
        + attribute(10, _u32(1))  # an id within the batch; nothing refers to it
    )
    yield NEWSET, NLM_F_CREATE | NLM_F_EXCL, body
    yield from add_elements(set_name, address_elements(contents, sorted(contents.members)))


def delete_set(set_name: str) -> Part:
    """Deletes a set that no rule uses."""
    return DELSET, 0, set_reference(set_name)


def flush_set(set_name: str) -> Part:
    """Deletes all elements."""
    return DELSETELEM, 0, set_reference(set_name)


def set_reference(set_name: str) -> bytes:
    """Body that names a set, also for a dump of its elements."""
    return _HEADER + _TABLE + text(2, set_name)


def _element_lists(set_name: str, elements: Iterable[bytes]) -> Iterator[bytes]:
    reference = set_reference(set_name)
    parts: list[bytes] = []
    size = 0
    for element in elements:
        if size + len(element) > _LIST_BYTES:
            yield reference + nested(3, *parts)
            parts, size = [], 0
        parts.append(element)
        size += len(element)
    if parts:
        yield reference + nested(3, *parts)


def remove_table() -> list[Part]:
    """Deletes the table, also when it is not there."""
    return [new_table(), (DELTABLE, 0, _HEADER + _TABLE)]


def renew_epoch(epoch: int) -> list[Part]:
    """Replaces the rules of ``fresh`` and ``stamp``: the same as their text in
    ``ven.core.table``."""
    value = struct.pack("=I", epoch << EPOCH_SHIFT)
    load = _expression("ct", attribute(1, _u32(_REGISTER_1)), attribute(2, _u32(_CT_MARK)))
    store = _expression("ct", attribute(2, _u32(_CT_MARK)), attribute(4, _u32(_REGISTER_1)))
    equal = _expression(
        "cmp", attribute(1, _u32(_REGISTER_1)), attribute(2, _u32(0)), _data(3, value)
    )
    fresh = (load, _bitwise(EPOCH_MASK, 0), equal, _branch(_GOTO, "decided"))
    stamp = (load, _bitwise(0xFFFFFFFF ^ EPOCH_MASK, epoch << EPOCH_SHIFT), store)
    return [*_replace_chain("fresh", fresh), *_replace_chain("stamp", stamp)]


def count_drops_into(side: str) -> list[Part]:
    """Replaces the rule of ``count``, which says which sets are filled with refused packets."""
    return _replace_chain("count", (_branch(_JUMP, f"drops_{side}"),))


def count_begun_into(side: str) -> list[Part]:
    """Replaces the rule of ``sample``, which says which sets are filled with connections that are
    untold; with no ``side`` all are told."""
    if not side:
        return [(DELRULE, 0, _HEADER + _TABLE + text(2, "sample"))]
    return _replace_chain("sample", (_branch(_JUMP, f"begun_{side}"),))


def _replace_chain(chain: str, expressions: Iterable[bytes]) -> list[Part]:
    reference = _HEADER + _TABLE + text(2, chain)
    return [
        (DELRULE, 0, reference),
        (NEWRULE, NLM_F_CREATE | NLM_F_APPEND, reference + nested(4, *expressions)),
    ]


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)


def _expression(name: str, *attributes_: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes_))


def _data(attribute_kind: int, value: bytes) -> bytes:
    return nested(attribute_kind, attribute(1, value))


def _bitwise(mask: int, xor: int) -> bytes:
    return _expression(
        "bitwise",
        attribute(1, _u32(_REGISTER_1)),
        attribute(2, _u32(_REGISTER_1)),
        attribute(3, _u32(4)),
        # Registers hold marks in host byte order.
        _data(4, struct.pack("=I", mask)),
        _data(5, struct.pack("=I", xor)),
    )


def _branch(code: int, chain: str) -> bytes:
    verdict = nested(2, attribute(1, struct.pack(">i", code)), text(2, chain))
    return _expression("immediate", attribute(1, _u32(_REGISTER_VERDICT)), nested(2, verdict))


# --- reading


def sets_of_table() -> bytes:
    """Body of a GETSET dump."""
    return _HEADER + _TABLE


def set_name(body: bytes) -> str:
    """Of a set message: its name, or nothing when it is a map or belongs to one rule."""
    found = dict(attributes(body, NETFILTER_HEADER_BYTES))
    (flags,) = struct.unpack(">I", found.get(3, bytes(4)))
    return "" if flags & (_SET_ANONYMOUS | _SET_MAP) else _string(found.get(2, b""))


def chain_name(body: bytes) -> str:
    """Of a chain message."""
    return _string(dict(attributes(body, NETFILTER_HEADER_BYTES)).get(3, b""))


def rules_of(chain: str = "") -> bytes:
    """Body of a GETRULE dump: of one chain, or of the whole table."""
    return _HEADER + _TABLE + (text(2, chain) if chain else b"")


def chains_of_family() -> bytes:
    """Body of a GETCHAIN dump; the kernel gives the chains of all tables of the family."""
    return _HEADER


def table_of(body: bytes) -> str:
    """Name of the table that a table, chain, rule, set or element message is about."""
    for number, payload in attributes(body, NETFILTER_HEADER_BYTES):
        if number == 1:
            return _string(payload)
    return ""


def drops_by_default(body: bytes) -> bool:
    """Whether a chain message is about a base chain whose policy is to drop."""
    found = dict(attributes(body, NETFILTER_HEADER_BYTES))
    return 4 in found and found.get(5) == b"\0\0\0\0"  # NFTA_CHAIN_HOOK, _POLICY, NF_DROP


def expressions_of(body: bytes) -> list[str]:
    """Names of the expressions of a rule message, in their order."""
    found = dict(attributes(body, NETFILTER_HEADER_BYTES))
    return [
        _string(dict(attributes(expression)).get(1, b""))
        for _, expression in attributes(found.get(4, b""))
    ]


def _string(payload: bytes) -> str:
    return payload.split(b"\0", 1)[0].decode(errors="replace")


def rule_epoch(body: bytes) -> int | None:
    """The epoch that a rule of chain ``fresh`` compares with, or None."""
    for number, expressions in attributes(body, NETFILTER_HEADER_BYTES):
        if number == 4:
            for _, expression in attributes(expressions):
                parts = dict(attributes(expression))
                if _string(parts.get(1, b"")) == "cmp":
                    value = dict(attributes(dict(attributes(parts[2]))[3]))[1]
                    return int(struct.unpack("=I", value)[0]) >> EPOCH_SHIFT
    return None


def set_elements(body: bytes) -> Iterator[tuple[bytes, bool, int | None]]:
    """Of one message of an element dump: (key, ends an interval, packets counted)."""
    for number, elements in attributes(body, NETFILTER_HEADER_BYTES):
        if number != 3:
            continue
        for _, element in attributes(elements):
            key, ends, packets = b"", False, None
            for part, payload in attributes(element):
                if part == 1:
                    key = payload[4:]  # the only attribute within is the value
                elif part == 3:
                    ends = payload == b"\0\0\0\1"
                elif part == 7:
                    packets = _counted(payload)
            yield key, ends, packets


def _counted(expression: bytes) -> int | None:
    parts = dict(attributes(expression))
    if _string(parts.get(1, b"")) != "counter":
        return None
    (packets,) = struct.unpack(">Q", dict(attributes(parts[2]))[2])
    return int(packets)


def generation(body: bytes) -> tuple[int, int, str]:
    """Of a NEWGEN message: (generation, process id, process name) of a commit."""
    found = dict(attributes(body, NETFILTER_HEADER_BYTES))
    (number,) = struct.unpack(">I", found[1])
    (process,) = struct.unpack(">I", found.get(2, b"\0\0\0\0"))
    return number, process, _string(found.get(3, b""))


def elements_digest(keys: Iterable[tuple[bytes, bool]]) -> int:
    """A number that tells two sets of elements apart, whatever their order; needs no memory."""
    total = 0
    digest: Callable[..., hashlib.blake2b] = hashlib.blake2b
    for key, ends in keys:
        total += int.from_bytes(digest(key + (b"\1" if ends else b"\0"), digest_size=16).digest())
    return total % (1 << 128)


def expected_keys(contents: AddressSet) -> Iterator[tuple[bytes, bool]]:
    """(key, ends an interval) of every element that a set must have."""
    size = 4 if contents.family == 4 else 16
    highest = b"\xff" * size
    for member in contents.members:
        yield member[:size], False
        if contents.ranges and member[size:] != highest:
            yield (int.from_bytes(member[size:]) + 1).to_bytes(size), True
