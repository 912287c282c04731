"""Netlink messages: encoded, and decoded from what a kernel really sent."""

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.recorded_netlink import (
    END_TCP,
    END_TCP6,
    FRESH_RULE,
    LOGGED_PING,
    LOGGED_PING6,
    LOGGED_SYN,
    NEW_PING,
    NEW_PING6,
)
from ven.core.address_sets import AddressSet
from ven.core.kernel import Connection, Decision, Drop
from ven.core.mark import epoch_of
from ven.edge import nft_messages as nft
from ven.edge.conntrack import decode_connection
from ven.edge.netlink import (
    NETLINK_ROUTE,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
    messages,
    nested,
    raise_error,
)
from ven.edge.nflog import decode_drop, packet_ends

WEB, DB = socket.inet_aton("10.77.0.1"), socket.inet_aton("10.77.0.2")
WEB6 = socket.inet_pton(socket.AF_INET6, "fd77::1")
DB6 = socket.inet_pton(socket.AF_INET6, "fd77::2")


@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_attributes_come_back_as_they_went(pairs: list[tuple[int, bytes]]) -> None:
    """Kinds, payloads and order survive; padding is not part of a payload."""
    encoded = b"".join(attribute(kind, payload) for kind, payload in pairs)
    assert len(encoded) % 4 == 0
    assert list(attributes(encoded)) == pairs
    assert list(attributes(nested(5, encoded)[4:])) == pairs


@given(st.binary(max_size=200))
def test_any_bytes_can_be_decoded(data: bytes) -> None:
    """Nonsense gives little or nothing, never an error and never an endless loop."""
    assert len(list(attributes(data))) <= len(data) // 4
    assert len(list(messages(data))) <= len(data) // 16
    decode_connection(b"\x02\0\0\0" + data, "new")
    packet_ends(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_event_is_no_error(position: int, value: int) -> None:
    """One wrong byte in a recorded event never stops the stream."""
    damaged = bytearray(END_TCP)
    damaged[position % len(damaged)] = value
    decode_connection(bytes(damaged), "end")


def test_the_end_of_a_connection() -> None:
    """Both directions' bytes, times, and that FIN was seen (it is in TIME_WAIT)."""
    found = decode_connection(END_TCP, "end")
    assert found is not None
    assert found == Connection(
        phase="end",
        id=found.id,
        proto=6,
        src=WEB,
        dst=DB,
        src_port=found.src_port,
        dst_port=80,
        decision=Decision.ALLOWED,
        bytes_to_dst=1268,
        bytes_to_src=164,
        started=found.started,
        ended=found.ended,
        closed=True,
    )
    assert found.id and found.src_port >= 32768
    assert found.started and found.ended
    assert 0 < found.ended - found.started < 60


def test_the_end_of_an_open_ipv6_connection() -> None:
    """Established when it was forgotten: it was not closed by its peers."""
    found = decode_connection(END_TCP6, "end")
    assert found is not None
    assert (found.src, found.dst, found.dst_port) == (WEB6, DB6, 80)
    assert (found.bytes_to_dst, found.bytes_to_src, found.closed) == (152, 80, False)


@pytest.mark.parametrize(
    ("body", "src", "dst", "proto", "kind"),
    [(NEW_PING, WEB, DB, 1, 8), (NEW_PING6, WEB6, DB6, 58, 128)],
)
def test_a_new_ping(body: bytes, src: bytes, dst: bytes, proto: int, kind: int) -> None:
    """Type and code of the request, no ports, and the decision from the mark."""
    found = decode_connection(body, "new")
    assert found is not None
    assert (found.src, found.dst, found.proto) == (src, dst, proto)
    assert (found.icmp_type, found.icmp_code, found.src_port, found.dst_port) == (kind, 0, 0, 0)
    assert (found.decision, found.started) == (Decision.POTENTIALLY_BLOCKED, None)


def test_refused_packets() -> None:
    """Direction and reason from the prefix, the rest from the packet."""
    ping, ping6, syn = (decode_drop(body) for body in (LOGGED_PING, LOGGED_PING6, LOGGED_SYN))
    assert ping == Drop(direction="I", proto=1, src=WEB, dst=DB, icmp_type=8, icmp_code=0)
    assert ping6 == Drop(direction="I", proto=58, src=WEB6, dst=DB6, icmp_type=128, icmp_code=0)
    assert syn == Drop(direction="I", proto=6, src=WEB, dst=DB, dst_port=81)


def test_an_ipv6_packet_with_extension_headers() -> None:
    """The transport is found behind them."""
    packet = struct.pack(">IHBB16s16s", 6 << 28, 28, 0, 64, WEB6, DB6)
    packet += bytes([60, 0, *bytes(6)])  # hop-by-hop, 8 bytes; destination options follow
    packet += bytes([17, 1, *bytes(14)])  # 16 bytes; UDP follows
    packet += struct.pack(">HH", 5353, 53)
    found = packet_ends(packet)
    assert found
    assert (found.proto, found.src_port, found.dst_port) == (17, 5353, 53)
    assert packet_ends(packet[:58]) is None


def test_an_answer_is_turned_into_its_question() -> None:
    """Of a refused reply, the record names the initiator as source and the echo request."""
    addresses = struct.pack(">BxHHHBBH4s4s", 0x45, 28, 0, 0, 64, 1, 0, DB, WEB)
    answer = packet_ends(addresses + b"\0\0\0\0")
    assert answer
    asked = answer.turned()
    assert (answer.icmp_type, asked.icmp_type) == (0, 8)
    assert (asked.src, asked.dst) == (WEB, DB)


def test_the_kernels_error_text_is_told() -> None:
    """Number, sequence and the extended acknowledgement's text."""
    header = struct.pack("=IHHII", 20, 0, 0, 7, 0)
    body = struct.pack("=i", -errno.ENOENT) + header + attribute(1, b"no such set\0")
    with pytest.raises(NetlinkError, match="no such set") as caught:
        raise_error(body, 0x300, 7)
    assert (caught.value.errno, caught.value.sequence) == (errno.ENOENT, 7)
    raise_error(struct.pack("=i", 0) + header, 0x100, 7)


def keys(contents: AddressSet) -> list[tuple[bytes, bool]]:
    """What the encoded elements of a set say, read with the decoder of dumps."""
    elements = nft.address_elements(contents, sorted(contents.members))
    return [
        (key, ends)
        for _kind, _flags, body in nft.add_elements("s", elements)
        for key, ends, _count in nft.set_elements(body)
    ]


def test_a_range_is_two_elements_unless_it_reaches_the_highest_address() -> None:
    """The kernel keeps the first address and the one after the last."""
    low, high = b"\x0a\0\0\0" + b"\x0a\0\0\xff", b"\xff\0\0\0" + b"\xff" * 4
    assert keys(AddressSet(4, True, frozenset((low, high)))) == [
        (b"\x0a\0\0\0", False),
        (b"\x0a\0\1\0", True),
        (b"\xff\0\0\0", False),
    ]


@given(st.frozensets(st.integers(0, 2**32 - 1), max_size=50))
def test_elements_and_their_digest(numbers: frozenset[int]) -> None:
    """What is sent is what is expected back, in any order; one missing is noticed."""
    contents = AddressSet(4, False, frozenset(n.to_bytes(4) for n in numbers))
    sent = keys(contents)
    expected = nft.elements_digest(nft.expected_keys(contents))
    assert nft.elements_digest(reversed(sent)) == expected
    if sent:
        assert nft.elements_digest(sent[1:]) != expected


def test_many_elements_are_several_messages() -> None:
    """A list must fit into 16 bits of length."""
    contents = AddressSet(6, False, frozenset(n.to_bytes(16) for n in range(5000)))
    parts = list(nft.add_elements("s", nft.address_elements(contents, contents.members)))
    assert len(parts) > 1
    assert all(len(body) < 65_536 for _kind, _flags, body in parts)
    assert len(keys(contents)) == 5000


def test_the_epoch_of_a_rule_is_read_back() -> None:
    """From what a kernel told, and from what we send."""
    assert nft.rule_epoch(FRESH_RULE) == epoch_of(0x00200000)
    for epoch in (1, 0x123, 0xFFF):
        assert nft.rule_epoch(nft.renew_epoch(epoch)[1][2]) == epoch


def test_the_table_of_a_message() -> None:
    """By it a watcher tells our table from others'."""
    assert nft.table_of(FRESH_RULE) == "ven"
    assert nft.table_of(b"\1\0\0\0") == ""


def test_a_closed_socket_is_an_error() -> None:
    """Not an endless wait for its answers."""
    netlink = NetlinkSocket(NETLINK_ROUTE)
    netlink.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        netlink.request(18, 0, b"")
