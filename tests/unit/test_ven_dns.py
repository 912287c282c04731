"""What is read out of name servers' answers."""

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ven.core.dns import Answer, Segment, Streams, parse_answer
from ven.edge.answers import dns_messages

A, CNAME, AAAA = 1, 5, 28
FOUR, SIX = bytes([192, 0, 2, 1]), bytes(15) + b"\1"


def encoded(name: str) -> bytes:
    labels = (label.encode() for label in name.split("."))
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner: bytes, kind: int, ttl: int, value: bytes, network: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, network, ttl, len(value)) + value


def message(name: str, records: Iterable[bytes], flags: int = 0x8180, questions: int = 1) -> bytes:
    records = list(records)
    header = struct.pack(">HHHHHH", 7, flags, questions, len(records), 0, 0)
    return header + encoded(name) + struct.pack(">HH", A, 1) + b"".join(records)


ASKED = b"\xc0\x0c"
"""A pointer to the question's name."""


def test_addresses_of_both_families() -> None:
    """By a pointer or written out, in any case."""
    records = [record(ASKED, A, 300, FOUR), record(encoded("WWW.example.com"), AAAA, 60, SIX)]
    found = parse_answer(message("www.Example.COM", records))
    assert found == Answer("www.example.com", ((FOUR, 300), (SIX, 60)))


def test_aliases_are_followed_from_the_question() -> None:
    """The shortest time of the chain counts; an alias is not the name that was asked for, and what
    the chain does not lead to belongs to nobody."""
    records = [
        record(encoded("b.cdn.net"), A, 300, FOUR),
        record(ASKED, CNAME, 20, encoded("a.cdn.net")),
        record(encoded("a.cdn.net"), CNAME, 90, encoded("b.cdn.net")),
        record(encoded("bank.example.com"), A, 300, SIX[:4]),
    ]
    assert parse_answer(message("www.example.com", records)) == Answer(
        "www.example.com", ((FOUR, 20),)
    )


def test_a_ring_of_aliases_ends() -> None:
    """Without an address."""
    records = [
        record(ASKED, CNAME, 20, encoded("b.net")),
        record(encoded("b.net"), CNAME, 20, encoded("a.net")),
    ]
    assert parse_answer(message("a.net", records)) is None


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        message("a.net", [record(ASKED, A, 1, FOUR)])[:20],
        message("a.net", [record(ASKED, A, 1, FOUR)], flags=0x0100),
        message("a.net", [record(ASKED, A, 1, FOUR)], flags=0x8183),
        message("a.net", [record(ASKED, A, 1, FOUR)], questions=2),
        message("a.net", [record(ASKED, A, 1, FOUR)], questions=0),
        message("a.net", [record(ASKED, A, 1, FOUR[:3])]),
        message("a.net", [record(ASKED, A, 1, FOUR, network=3)]),
        message("a.net", [record(b"\xc0\xff", A, 1, FOUR)]),
        message("a.net", [record(b"\xc0\x13", A, 1, FOUR)]),
        message("a.net", [record(encoded("b.net"), A, 1, FOUR)]),
        message("a/b.net", [record(ASKED, A, 1, FOUR)]),
    ],
)
def test_what_is_no_answer_says_nothing(bad: bytes) -> None:
    """Cut short, a question, an error, of another network, with pointers to nowhere, or of a name
    with bytes that no policy can hold."""
    assert parse_answer(bad) is None


def test_a_label_with_a_dot_is_not_two_labels() -> None:
    """Else "x\\.example" in zone "com" would match "*.example.com"."""
    label = b"\x09x.example\x03com\0"
    header = struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 0, 0)
    body = header + label + struct.pack(">HH", A, 1) + record(ASKED, A, 1, FOUR)
    assert parse_answer(body) is None


def test_what_was_read_before_the_end_counts() -> None:
    """A datagram that was cut off still tells its first addresses."""
    whole = message("a.net", [record(ASKED, A, 300, bytes([n, 0, 0, 1])) for n in (8, 9)])
    assert parse_answer(whole[:-1]) == Answer("a.net", ((bytes([8, 0, 0, 1]), 300),))


@given(st.binary(max_size=300), st.integers(0, 100), st.integers(0, 255))
def test_any_bytes_can_be_read(noise: bytes, position: int, value: int) -> None:
    """Nonsense, and one wrong byte in an answer, give an answer or none, never an error."""
    answer = bytearray(message("www.example.com", [record(ASKED, A, 300, FOUR)]))
    answer[position % len(answer)] = value
    header = struct.pack(">HHHHHH", 7, 0x8180, 1, 5, 0, 0)
    for given_bytes in (noise, bytes(answer), header + noise):
        found = parse_answer(given_bytes)
        assert found is None or all(len(address) in (4, 16) for address, _ in found.addresses)
        list(dns_messages(given_bytes, Streams()))


KEY = (b"server", b"host", 40000)


def segment(sequence: int, payload: bytes = b"", syn: bool = False, over: bool = False) -> Segment:
    return Segment(KEY, sequence & 0xFFFFFFFF, syn, over, payload)


@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=5),
    st.lists(st.integers(1, 30), max_size=10),
    st.integers(0, 2**32 - 1),
)
def test_messages_come_back_however_the_stream_is_cut(
    messages: list[bytes], cuts: list[int], start: int
) -> None:
    """Also when segments come twice and numbers go round."""
    stream = b"".join(len(found).to_bytes(2) + found for found in messages)
    streams = Streams()
    assert streams.feed(segment(start, syn=True)) == []
    seen: list[bytes] = []
    position = 0
    for size in [*cuts, len(stream)]:
        part = segment(start + 1 + position, stream[position : position + size])
        seen += streams.feed(part)
        if part.payload:
            assert streams.feed(part) == []
        position += size
    assert seen == messages


def test_bytes_from_the_middle_of_a_stream_are_nothing() -> None:
    """They may look like an answer and be a part of one, chosen by whoever wrote the zone."""
    evil = message("bank.example.com", [record(ASKED, A, 300, FOUR)])
    framed = len(evil).to_bytes(2) + evil
    streams = Streams()
    assert streams.feed(segment(500, framed)) == []
    streams.feed(segment(0, syn=True))
    assert streams.feed(segment(900, framed)) == []
    assert streams.feed(segment(1, framed)) == []


def test_only_so_many_streams_are_followed() -> None:
    """The oldest is given up; an ended one is forgotten."""
    streams = Streams()
    for number in range(Streams.MOST + 1):
        streams.feed(Segment((b"s", b"h", number), 0, True, False, b""))
    assert streams.feed(Segment((b"s", b"h", 0), 1, False, False, b"\0\1x")) == []
    last = (b"s", b"h", Streams.MOST)
    assert streams.feed(Segment(last, 1, False, True, b"\0\1x")) == [b"x"]
    assert streams.feed(Segment(last, 4, False, False, b"\0\1y")) == []
