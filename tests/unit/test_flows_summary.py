"""``pce.flows.summary``: the streamed form, by example."""

import uuid

from pce.flows.batch import pack, unpack
from pce.flows.directory import Label, Workload
from pce.flows.summary import summary_json
from pce.identifiers import OrgId
from tests.property.flow_batches import HEARTBEAT
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch

T = 1_800_000_000
WEB, STRANGER = bytes([10, 0, 0, 1]), bytes([203, 0, 113, 9])
WEB_1 = Workload(uuid.UUID(int=1), "web-1", (Label("1", "app", "shop"), Label("3", "role", "web")))


def streamed(**parts):
    usual = {"src_ip": STRANGER, "dst_ip": WEB, "proto": 6, "dir": "I", "first": T, "last": T + 9}
    batch = decode_batch(
        encode_batch(1, T, T + 583, HEARTBEAT, [FlowSummary(**{**usual, **parts})])
    )
    stored = unpack(pack(batch, WEB_1.id, {WEB: WEB_1}))
    [document] = summary_json(stored, OrgId(1), "pce.example.com", "Corporate")
    return document


def test_a_counted_flow():
    """Every field under the vendor's name; the destination's identity and not the stranger's."""
    assert streamed(
        dst_port=443, state="C", pd=0, count=2, process="nginx", user="root", service="w3svc",
        fqdn="shop.example.com", tbi=272, tbo=10, dbi=272, dbo=10, ddms=5, tdms=5,
    ) == {
        "version": 4,
        "timestamp": "2027-01-15T08:00:00.000Z",
        "interval_sec": 583,
        "count": 2,
        "dir": "I",
        "src_ip": "203.0.113.9",
        "dst_ip": "10.0.0.1",
        "proto": 6,
        "dst_port": 443,
        "state": "C",
        "pd": 0,
        "class": "U",
        "network": "Corporate",
        "fqdn": "shop.example.com",
        "pn": "nginx",
        "un": "root",
        "sn": "w3svc",
        "dst_hostname": "web-1",
        "dst_href": "/orgs/1/workloads/00000000-0000-0000-0000-000000000001",
        "dst_labels": {"app": "shop", "role": "web"},
        "dst_tbi": 272,
        "dst_tbo": 10,
        "dst_dbi": 272,
        "dst_dbo": 10,
        "ddms": 5,
        "tdms": 5,
        "pce_fqdn": "pce.example.com",
        "org_id": 1,
    }  # fmt: skip


def test_a_blocked_ping():
    """ICMP has type and code and port 0; blocked traffic has no process; the state may be empty."""
    document = streamed(proto=1, icmp_type=8, icmp_code=0, pd=2, pd_qualifier=1, process="x")
    assert (document["type"], document["code"], document["dst_port"]) == (8, 0, 0)
    assert (document["state"], document["pd_qualifier"]) == ("", 1)
    assert not {"pn", "dst_tbi", "tdms", "src_href"} & set(document)
