"""Wire form and stored form hold every summary, whatever it looks like."""

import uuid
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pce.flows.batch import pack, pack_parts, to_summaries, unpack
from pce.flows.columns import SheetReader, SheetWriter
from pce.flows.directory import addresses_of, canonical
from tests.property.flow_batches import (
    END,
    HEARTBEAT,
    REPORTER,
    START,
    directories,
    flow_summaries,
)
from ven_protocol import flows as wire
from ven_protocol.flow_columns import FlowBatchError
from ven_protocol.flows import FlowBatch, FlowSummary, decode_batch, encode_batch

batches = st.lists(flow_summaries(), max_size=30)


def decoded(flows: list[FlowSummary], seq: int = 7) -> FlowBatch:
    return decode_batch(encode_batch(seq, START, END, HEARTBEAT, flows))


def as_stored(flow: FlowSummary) -> FlowSummary:
    """What the store keeps of a summary: all of it, under canonical addresses."""
    return msgspec.structs.replace(
        flow, src_ip=canonical(flow.src_ip), dst_ip=canonical(flow.dst_ip)
    )


@given(batches, st.integers(0, 2**53 - 1))
def test_the_wire_gives_back_what_it_was_given(flows, seq):
    """Same summaries, same order, same window, same heartbeat."""
    batch = decoded(flows, seq)
    assert wire.to_summaries(batch) == flows
    assert (batch.seq, batch.start, batch.end, batch.heartbeat) == (seq, START, END, HEARTBEAT)
    assert len(batch) == len(flows)


@given(batches, directories())
def test_the_store_gives_back_what_it_was_given(flows, directory):
    """The same summaries, in an order of its own, and who was behind each address."""
    stored = unpack(pack(decoded(flows), REPORTER, directory))
    assert Counter(to_summaries(stored)) == Counter(map(as_stored, flows))
    assert (stored.reporter, stored.seq, stored.start, stored.end) == (REPORTER, 7, START, END)
    assert len(stored) == len(flows)
    ends = {canonical(end) for flow in flows for end in (flow.src_ip, flow.dst_ip)}
    assert dict(zip(stored.addresses, stored.workloads, strict=True)) == {
        end: directory.get(end) for end in ends
    }


@given(batches, directories())
def test_only_addresses_of_the_batch_are_looked_up(flows, directory):
    """A directory that was asked for ``addresses_of`` and no more gives the same bytes."""
    batch = decoded(flows)
    asked = {key: value for key, value in directory.items() if key in addresses_of(batch)}
    assert pack(batch, REPORTER, asked) == pack(batch, REPORTER, directory)


@given(batches, directories(), st.integers(200, 2000))
def test_parts_hold_the_whole(flows, directory, limit):
    """Together the parts have every summary, and a part that could be halved keeps the limit."""
    parts = pack_parts(decoded(flows), REPORTER, directory, limit)
    unpacked = list(map(unpack, parts))
    together = Counter(flow for part in unpacked for flow in to_summaries(part))
    assert together == Counter(map(as_stored, flows))
    for body, part in zip(parts, unpacked, strict=True):
        assert len(body) <= limit or len(part) <= 1


def obvious_rows(flows, known) -> Counter[bytes]:
    """The stored form as one would write it first: a JSON text a summary, with both identities."""
    return Counter(
        msgspec.json.encode([flow, known.get(flow.src_ip), known.get(flow.dst_ip)])
        for flow in map(as_stored, flows)
    )


@given(batches, directories())
def test_columns_say_what_an_obvious_form_says(flows, directory):
    """Row by row, flow and identities of both ends are those of the slow twin."""
    stored = unpack(pack(decoded(flows), REPORTER, directory))
    known = dict(zip(stored.addresses, stored.workloads, strict=True))
    assert obvious_rows(to_summaries(stored), known) == obvious_rows(flows, directory)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 2**20), max_size=20)), max_size=6))
def test_a_sheet_gives_back_its_columns(columns):
    """Indexes and amounts in any order, decoded at once or in the end."""
    writer = SheetWriter()
    for is_amount, column in columns:
        (writer.amounts if is_amount else writer.indexes)(column)
    reader = SheetReader(writer.plain, writer.noise)
    read = [
        reader.amounts(len(column)) if is_amount else reader.indexes(len(column))
        for is_amount, column in columns
    ]
    assert [
        list(column.decode() if is_amount else column)
        for (is_amount, _), column in zip(columns, read, strict=True)
    ] == [column for _, column in columns]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_an_error(body):
    """Nothing but :class:`FlowBatchError` comes out of bytes that are no batch."""
    try:
        decode_batch(body)
    except FlowBatchError as error:
        assert error.field


@given(batches.filter(len), st.data())
def test_a_changed_batch_is_a_batch_or_an_error(flows, data):
    """A batch with one value replaced decodes and packs, or is refused by name: it never fails
    in the middle."""
    document = msgspec.msgpack.decode(encode_batch(7, START, END, HEARTBEAT, flows))
    columns = document["flows"]
    name = data.draw(st.sampled_from(sorted(columns)))
    value = columns[name]
    odd = st.sampled_from([-2, -1, 0, 1, 2**16, 2**40, 2**63, None, "x", "", b"", [], 1.5])
    if isinstance(value, list) and value and data.draw(st.booleans()):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(odd)
    elif isinstance(value, str) and value and data.draw(st.booleans()):
        columns[name] = value[:-1] + data.draw(st.sampled_from(["\n", "A", "-", "9", "é"]))
    else:
        columns[name] = data.draw(odd)
    try:
        batch = decode_batch(msgspec.msgpack.encode(document))
    except FlowBatchError as error:
        assert error.field
        return
    stored = unpack(pack(batch, REPORTER, {}))
    assert Counter(to_summaries(stored)) == Counter(map(as_stored, wire.to_summaries(batch)))


@given(batches.filter(len), directories(), st.data())
def test_a_damaged_stored_batch_is_a_value_error(flows, directory, data):
    """A cut never gives columns, and the error is one that callers expect."""
    stored = pack(decoded(flows), uuid.uuid4(), directory)
    with pytest.raises(ValueError):
        unpack(stored[: data.draw(st.integers(0, len(stored) - 1))])
