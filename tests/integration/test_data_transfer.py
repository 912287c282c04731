""" "Show amount of data transfer": switched on for a workload or a pairing profile, and what then
leaves the PCE, from the host's kernel to the stream."""

import time
from typing import Any

import pytest

from pce.flows.batch import unpack
from pce.flows.summary import summary_json
from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.usecases.compile_policy import compile_policy
from pce.usecases.ingest_flows import ingest_flows
from tests.fakes.api import Api
from tests.fakes.pairing import PairedVen, pair
from tests.fakes.policies import wanted_document
from ven.core.flows import FlowLedger
from ven.core.neighbourhood import neighbourhood
from ven.edge.simulated import SimulatedKernel
from ven_protocol.flows import decode_batch, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts
from ven_protocol.policy import PolicyDocument

NOW = int(time.time())
OWN, PEER = "10.0.0.7", "10.0.0.9"
BYTES = ("dst_tbi", "dst_tbo", "dst_dbi", "dst_dbo", "tdms", "ddms")


def policy_of(api: Api, stores: Wiring, ven: PairedVen) -> PolicyDocument:
    """What its VEN should hold."""
    org_id = OrgId(api.created["org_id"])
    compile_policy(org_id, stores, time.time)
    return wanted_document(stores, stores.presence.get(org_id, ven.id))


def streamed(
    api: Api,
    stores: Wiring,
    ven: PairedVen,
    policy: PolicyDocument,
    src: str,
    dst: str,
    own: str = OWN,
) -> list[dict[str, Any]]:
    """What leaves the PCE of one connection over two windows: open in the first with 100 bytes to
    the provider and 1,000 back, ended in the second with 50 and 1 more."""
    clock = float(NOW - 900)
    kernel = SimulatedKernel(addresses=[f"{own}/24"], clock=lambda: clock)
    kernel.apply(policy)
    events = kernel.connections()
    ledger = FlowLedger(clock)
    ledger.mode, ledger.visibility = policy.mode, policy.visibility
    ledger.neighbourhood = neighbourhood(kernel.interfaces())
    kernel.connect(src, dst, 6, 443, 100, 1_000, stays_open=True)

    def window(seq: int) -> None:
        nonlocal clock
        start, clock = clock, clock + 300
        for connection in events.drain().items:
            ledger.see(connection, clock)
        ledger.begin_dump()
        for connection in kernel.dump():
            ledger.see(connection, clock)
        ledger.end_dump(clock, complete=True)
        beat = Heartbeat(host=HostFacts(hostname="web-1", version="1.2.3-4"), uptime_seconds=1)
        body = encode_batch(seq, int(start), int(clock), beat, ledger.close(clock))
        ingest_flows(ven.token, decode_batch(body), stores, NOW)

    window(1)
    (id,) = (connection.id for connection in kernel.dump())
    kernel.carry(id, 50, 1)
    kernel.end(id)
    window(2)
    org_id = OrgId(api.created["org_id"])
    bodies = stores.flows.batches(org_id, NOW - 900, NOW)
    found = [d for body in bodies for d in summary_json(unpack(body), org_id, "pce", "Home")]
    return sorted(found, key=lambda document: document["state"])


@pytest.mark.parametrize(("src", "dst", "dir"), [(PEER, OWN, "I"), (OWN, PEER, "O")])
def test_a_workload_shows_its_data_transfer(
    api: Api, stores: Wiring, src: str, dst: str, dir: str
) -> None:
    """From the provider's viewpoint, whichever end reports; totals and deltas apart."""
    ven = pair(api, stores, "web-1", NOW - 1_000)
    api.put(f"{api.org}/workloads/{ven.id}", {"visibility_level": "enhanced_data_collection"})
    policy = policy_of(api, stores, ven)
    assert policy.visibility == "enhanced_data_collection"
    active, closed = streamed(api, stores, ven, policy, src, dst)
    assert [d["dir"] for d in (active, closed)] == [dir, dir]
    assert (active["state"], closed["state"]) == ("A", "C")
    assert [active[name] for name in BYTES] == [100, 1_000, 100, 1_000, 300_000, 300_000]
    assert [closed[name] for name in BYTES[:4]] == [150, 1_001, 50, 1]
    assert active["interval_sec"] == closed["interval_sec"] == 300


def test_a_connection_that_both_ends_report(api: Api, stores: Wiring) -> None:
    """Each says the same of the provider, in records of their own that ``dir`` tells apart: who
    sums up one direction counts each byte once."""
    level = {"visibility_level": "enhanced_data_collection"}
    found: list[dict[str, Any]] = []
    for hostname, own in (("provider", OWN), ("consumer", PEER)):
        ven = pair(api, stores, hostname, NOW - 1_000)
        api.put(f"{api.org}/workloads/{ven.id}", level)
        found = streamed(api, stores, ven, policy_of(api, stores, ven), PEER, OWN, own)
    assert [(d["dir"], d["state"]) for d in found].count(("I", "C")) == 1
    for dir in ("I", "O"):
        told = [d for d in found if d["dir"] == dir]
        assert sum(d["dst_dbi"] for d in told) == 150 == max(d["dst_tbi"] for d in told)
        assert sum(d["dst_dbo"] for d in told) == 1_001 == max(d["dst_tbo"] for d in told)


def test_a_workload_that_does_not_tells_connections_alone(api: Api, stores: Wiring) -> None:
    """The default: no byte, no duration."""
    ven = pair(api, stores, "web-1", NOW - 1_000)
    policy = policy_of(api, stores, ven)
    found = streamed(api, stores, ven, policy, PEER, OWN)
    assert [(d["state"], d["count"]) for d in found] == [("A", 1), ("C", 1)]
    assert not [name for d in found for name in BYTES if name in d]


def test_a_pairing_profile_pairs_into_it(api: Api, stores: Wiring) -> None:
    """Workloads that pair with it show their data transfer from the beginning."""
    profile = api.post(
        f"{api.org}/pairing_profiles",
        {"name": "shows bytes", "enabled": True, "visibility_level": "enhanced_data_collection"},
    )
    key = api.post(f"{profile['href']}/pairing_key")
    ven = pair(api, stores, "web-2", NOW - 1_000, activation_code=key["activation_code"])
    workload = api.get(ven.workload_href)
    assert workload["visibility_level"] == "enhanced_data_collection"
    assert policy_of(api, stores, ven).visibility == "enhanced_data_collection"
