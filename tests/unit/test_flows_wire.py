"""``ven_protocol.flows``: what the wire accepts, and how it says no."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.property.flow_batches import END, HEARTBEAT, START, V4
from ven_protocol.flow_columns import MAX_TEXT, FlowBatchError, FlowColumns
from ven_protocol.flows import (
    FLOW_BATCH_VERSION,
    FlowSummary,
    decode_batch,
    encode_batch,
    to_summaries,
)
from ven_protocol.limits import MAX_FLOWS_PER_POST

USUAL = {
    "src_ip": V4[0],
    "dst_ip": V4[1],
    "proto": 6,
    "dst_port": 443,
    "dir": "I",
    "pd": 0,
    "first": START,
    "last": END,
}


def encoded(*flows):
    return encode_batch(7, START, END, HEARTBEAT, flows)


def document(*flows):
    return msgspec.msgpack.decode(encoded(*flows))


def decode(changed):
    return decode_batch(msgspec.msgpack.encode(changed))


def test_unknown_keys_are_ignored():
    """A newer VEN may say more, at every level."""
    flow = FlowSummary(**USUAL)
    newer = document(flow)
    newer["sampled"] = True
    newer["flows"]["ttl"] = [64]
    newer["heartbeat"]["host"]["kernel"] = {"release": "7"}
    assert to_summaries(decode(newer)) == [flow]


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_refused_clearly(version):
    """Even when nothing else of it can be understood, the error says which version to post."""
    with pytest.raises(FlowBatchError) as caught:
        decode({"version": version, "rows": "of another kind"})
    assert caught.value.field == "version"
    assert str(FLOW_BATCH_VERSION) in str(caught.value)


def test_defaults_stay_off_the_wire():
    """Columns that say nothing are not sent: plain traffic has a dozen columns."""
    columns = document(FlowSummary(**USUAL), FlowSummary(**USUAL))["flows"]
    assert sorted(columns) == [
        *("addresses", "dir", "dst", "first_ago", "last_ago", "pd", "port", "proto", "src"),
    ]


def test_texts_are_made_fit():
    """Names of processes that are too long, not UTF-8 or hold a NUL do not lose the batch."""
    names = ["x" * 5000, "/bin/\udcff", "a\0b"]
    flows = [FlowSummary(**USUAL, process=name) for name in names]
    read = [flow.process for flow in to_summaries(decode_batch(encoded(*flows)))]
    assert read == ["x" * MAX_TEXT, "/bin/\\udcff", "a\\0b"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"src_ip": b"\n\0\0"}, "flows.addresses[0]"),
        ({"src_ip": bytes(5)}, "flows.addresses"),
        ({"proto": 256}, "flows.proto[0]"),
        ({"dst_port": -1}, "flows.port[0]"),
        ({"dst_port": 65_536}, "flows.port[0]"),
        ({"dir": "X"}, "flows.dir"),
        ({"dir": "I\n"}, "flows.dir"),
        ({"state": "X"}, "flows.state"),
        ({"pd": 4}, "flows.pd"),
        ({"pd_qualifier": 4}, "flows.pd_qualifier"),
        ({"transmission": "X"}, "flows.transmission"),
        ({"count": 0}, "flows.count[0]"),
        ({"last": END + 1}, "flows.last_ago[0]"),
        ({"first": END, "last": END - 1}, "flows.last_ago[0]"),
        ({"first": -1}, "flows.first_ago"),
        ({"proto": 1, "dst_port": 0}, "flows.icmp_type"),
        ({"proto": 1, "dst_port": 0, "icmp_type": 8}, "flows.icmp_code"),
        ({"proto": 1, "icmp_type": 8, "icmp_code": 0}, "flows.port"),
        ({"icmp_type": 8, "icmp_code": 0}, "flows.icmp_type"),
        ({"tbi": 2, "tbo": 2, "dbi": 3, "dbo": 2}, "flows.dbi[0]"),
        ({"tbi": 2, "tbo": 2, "dbi": 2}, "flows.dbo"),
        ({"tbi": 2, "dbi": 2}, "flows.tbo"),
        ({"dbi": 2, "dbo": 2}, "flows.dbi"),
        ({"tdms": 2}, "flows.ddms"),
        ({"tdms": 2**53, "ddms": 1}, "flows.tdms[0]"),
    ],
)
def test_a_summary_that_makes_no_sense_is_refused_on_both_sides(change, field):
    """The VEN's encoder names the same field that the PCE's decoder would."""
    with pytest.raises(FlowBatchError) as caught:
        encoded(FlowSummary(**{**USUAL, **change}))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("seq",), -1, "seq"),
        (("seq",), None, "seq"),
        (("start",), END + 1, "start"),
        (("heartbeat", "host", "hostname"), "", "heartbeat.host.hostname"),
        (("flows", "src"), [1], "flows.src"),
        (("flows", "src"), [2], "flows.src"),
        (("flows", "src"), [0, 0], "flows.dst"),
        (("flows", "src"), [0] * (MAX_FLOWS_PER_POST + 1), "flows.src"),
        (("flows", "count"), [1, 1], "flows.count"),
        (("flows", "dir"), "II", "flows.dir"),
        (("flows", "process"), [0], "flows.process"),
        (("flows", "process"), [-2], "flows.process[0]"),
        (("flows", "strings"), ["a\0b"], "flows.strings"),
        (("flows", "strings"), ["x" * (MAX_TEXT + 1)], "flows.strings[0]"),
        (("flows",), [], "flows"),
    ],
)
def test_hostile_columns(path, value, field):
    """Indexes, lengths and ranges are checked, and the error says where."""
    changed = document(FlowSummary(**{**USUAL, "dst_ip": V4[0]}))
    at = changed
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    with pytest.raises(FlowBatchError) as caught:
        decode(changed)
    assert caught.value.field == field


def test_invalid_utf8_is_refused():
    """A text that is none is a fault of the batch, not of the decoder."""
    good = encoded(FlowSummary(**USUAL, process="nginx"))
    with pytest.raises(FlowBatchError):
        decode_batch(good.replace(b"nginx", b"n\xff\xfex\xff"))


def test_the_published_example_is_a_batch():
    """What ``docs/ven-api/flow-batch.md`` shows to other implementers is what is accepted here."""
    page = (Path(__file__).parents[2] / "docs/ven-api/flow-batch.md").read_text()
    example = json.loads(page.split("```json\n")[1].split("```")[0])
    columns = example["flows"]
    columns["addresses"] = [bytes.fromhex(address) for address in columns["addresses"]]
    batch = decode(example)
    https, dns, ping = to_summaries(batch)
    assert (https.count, https.process, https.tbo) == (12, "/usr/sbin/nginx", 91_000)
    assert (dns.dir, dns.pd, dns.fqdn, dns.tbi) == ("O", 1, "ns.example.net", None)
    assert (ping.icmp_type, ping.state, ping.pd_qualifier) == (8, "", 0)


def test_the_published_page_lists_every_column():
    """A column that is added is described."""
    page = (Path(__file__).parents[2] / "docs/ven-api/flow-batch.md").read_text()
    missing = [name for name in FlowColumns.__struct_fields__ if f"`{name}`" not in page]
    assert not missing
