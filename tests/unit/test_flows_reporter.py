"""Whose flows these are does not depend on what the directory knows."""

import uuid

from pce.flows.batch import pack, unpack
from pce.flows.directory import Label, Workload, knowing_the_reporter
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts

REPORTER, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
OWN, PEER, GROUP = b"\x0a\0\0\1", b"\x0a\0\0\2", b"\xe0\0\0\1"


def batch_of(dst: bytes = OWN, transmission: str = "U"):
    heartbeat = Heartbeat(host=HostFacts(hostname="me", version="1"), uptime_seconds=1)
    flow = FlowSummary(
        src_ip=PEER, dst_ip=dst, proto=6, dst_port=1, dir="I", pd=0, first=5, last=6,
        transmission=transmission,
    )  # fmt: skip
    return decode_batch(encode_batch(0, 0, 10, heartbeat, [flow]))


def test_a_reporter_that_the_directory_does_not_know_is_itself() -> None:
    """A VEN that was paired a moment ago owns its flows."""
    found = knowing_the_reporter({}, batch_of(), REPORTER)
    assert found[OWN].id == REPORTER and found[OWN].hostname == "me"
    assert PEER not in found


def test_an_address_in_use_twice_is_the_reporters() -> None:
    """Where two hosts have one address, the flows are those of the one that reports them."""
    known = {OWN: Workload(OTHER, "other"), PEER: Workload(OTHER, "other")}
    found = knowing_the_reporter(known, batch_of(), REPORTER)
    assert (found[OWN].id, found[PEER].id) == (REPORTER, OTHER)


def test_a_known_reporter_keeps_its_labels() -> None:
    """The directory's entry is used as it is."""
    known = {OWN: Workload(REPORTER, "me")}
    assert knowing_the_reporter(known, batch_of(), REPORTER) is known


def test_a_multicast_group_is_nobodys() -> None:
    """What is sent to a group does not make the group's address a host."""
    assert not knowing_the_reporter({}, batch_of(GROUP, "M"), REPORTER)


def test_a_host_name_with_a_nul_loses_no_flows() -> None:
    """One host that calls itself so must not make batches unstorable, its own or its peers'."""
    label = Label("1", "role", "w\0b")
    known = {OWN: Workload(REPORTER, "m\0e"), PEER: Workload(OTHER, "other", (label,))}
    stored = unpack(pack(batch_of(), REPORTER, known))
    names = {workload.hostname for workload in stored.workloads if workload}
    values = {label.value for workload in stored.workloads if workload for label in workload.labels}
    assert (names, values) == ({"m\\0e", "other"}, {"w\\0b"})
