"""Traffic collector settings: what an org does not want to keep is not stored."""

import socket
import time
from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases.ingest_flows import ingest_flows
from tests.fakes.api import Api
from tests.fakes.installation import Requests
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts

NOW = int(time.time())
HEARTBEAT = Heartbeat(host=HostFacts(hostname="web-1", version="1.2.3-4"), uptime_seconds=60)


def _flow(dst: str, transmission: Any, port: int) -> FlowSummary:
    return FlowSummary(
        src_ip=socket.inet_aton("10.0.0.7"),
        dst_ip=socket.inet_aton(dst),
        proto=17,
        dst_port=port,
        dir="O",
        pd=0,
        transmission=transmission,
        first=NOW - 30,
        last=NOW - 30,
    )


FLOWS = [_flow("10.0.0.255", "B", 67), _flow("224.0.0.251", "M", 5353), _flow("10.0.0.9", "U", 53)]


def _post(ven: PairedVen, stores: Wiring, flows: list[FlowSummary], seq: int) -> tuple[int, bool]:
    batch = decode_batch(encode_batch(seq, NOW - 60, NOW, HEARTBEAT, flows))
    said = ingest_flows(ven.token, batch, stores, NOW)
    return said.accepted, said.duplicate


def _ports(api: Api) -> list[int]:
    found = api.post(f"{api.org}/traffic_flows/traffic_analysis_queries", {}, 200)
    return sorted(flow["service"]["port"] for flow in found)


def test_what_an_org_drops_is_accepted_and_not_stored(api: Api, stores: Wiring) -> None:
    """The VEN is told that it was taken, so that it does not post it again; a post of nothing else
    is a heartbeat. Another org keeps the same flows."""
    ven = pair(api, stores, now=NOW - 60)
    collectors = f"{api.org}/settings/traffic_collector"
    drop = {"transmission": "multicast", "action": "drop", "target": {"proto": 17}}
    made = api.post(collectors, drop)
    api.post(
        collectors, {**drop, "transmission": "broadcast", "target": {"proto": 17, "dst_port": 68}}
    )
    assert _post(ven, stores, FLOWS, 1) == (3, False)
    assert _post(ven, stores, FLOWS, 1) == (0, True)
    assert _post(ven, stores, FLOWS[1:2], 2) == (1, False)
    assert _ports(api) == [53, 67]
    upload = b"10.1.0.1,224.0.0.251,5353,17\n"
    assert api.call("POST", f"{api.org}/agents/bulk_traffic_flows", upload).status == 201
    api.delete(made["href"])


def test_settings_are_read_now_and_then(api: Api, stores: Wiring) -> None:
    """One query in half a minute, however many batches come."""
    ven = pair(api, stores, now=NOW - 60)
    _post(ven, stores, FLOWS, 1)
    with Requests(stores) as requests:
        for seq in (2, 3, 4):
            _post(ven, stores, FLOWS, seq)
    assert requests.counts.get("Query", 0) == 0


@pytest.mark.parametrize("name", ["data_source", "network"])
def test_what_cannot_be_told_of_a_flow_is_refused(api: Api, name: str) -> None:
    """Rather than dropping more than was asked."""
    drop = {"transmission": "multicast", "action": "drop", "target": {"proto": 17}, name: "x"}
    answer = api.call("POST", f"{api.org}/settings/traffic_collector", drop)
    assert answer.tokens == [f"traffic_collector_{name}_not_supported"]
