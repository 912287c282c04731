"""Flows end to end: traffic of a host in a namespace, its VEN, a local PCE, traffic queries.

Each test has ports of its own, by which its records are known.
"""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.operator import Credentials, Operator
from tests.fakes.local_host import LocalHost, wait_until
from tests.kernel.namespaces import Host, Network
from ven.edge.files import DataDirectory

VEN = Path(sys.executable).with_name("ven")
FAMILIES = pytest.mark.parametrize("family", [4, 6])
CONNECTION_EVENTS = 0b101
"""Multicast groups 1 and 3 of netfilter's netlink: connections that begin and end."""

Record = dict[str, Any]


class FlowStory:
    """``db`` is paired and allows everybody in on port 80; ``web`` is a stranger."""

    def __init__(self, db: Host, web: Host, data: Path, operator: Operator) -> None:
        self.db, self.web, self.operator = db, web, operator
        self.data = DataDirectory(data)

    def ven(self, *words: str) -> None:
        """Run a command of the VEN."""
        command = self.db.command(str(VEN), "--data-dir", str(self.data.path), *words)
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def allow_port_80(self) -> None:
        """From everybody, by a rule that is in force for the rest of the story."""
        with self.db.entered():
            api, draft = self.operator, "/orgs/1/sec_policy/draft"
            [everybody] = api.get(f"{draft}/ip_lists", name="Any (0.0.0.0/0 and ::/0)")
            rules = api.create(f"{draft}/rule_sets", {"name": "flows", "scopes": [[]]})
            rule = {
                "providers": [{"actors": "ams"}],
                "consumers": [{"ip_list": {"href": everybody["href"]}}],
                "ingress_services": [{"proto": 6, "port": 80}],
                "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
                "enabled": True,
            }
            api.create(f"{rules['href']}/sec_rules", rule)
            api.provision("flows")

    def set(self, mode: str, level: str) -> None:
        """Mode and visibility of the host, until they are in its kernel."""
        said = {"enforcement_mode": mode, "visibility_level": level}
        with self.db.entered():
            self.operator.update(self.data.identity().workload_href, said)

        def held() -> bool:
            kept = self.data.policy()
            return kept is not None and (kept.document.mode, kept.document.visibility) == (
                mode,
                level,
            )

        wait_until(held, 30)

    def ask_for_flows(self) -> None:
        """At once, by the API."""
        path = "/orgs/1/workloads/set_flow_reporting_frequency"
        workloads = [{"href": self.data.identity().workload_href}]
        with self.db.entered():
            self.operator.request("POST", path, {"workloads": workloads}, expect=(200, 202, 204))

    def records(self, *ports: int) -> dict[int, Record]:
        """One record of each port, once all are there."""

        def found() -> dict[int, Record] | None:
            there = {record["service"].get("port", 0): record for record in self.all_records()}
            return there if there.keys() >= set(ports) else None

        found_records: dict[int, Record] = wait_until(found, 30, every_s=0.3)
        return found_records

    def all_records(self) -> list[Record]:
        """What the traffic query answers."""
        with self.db.entered():
            return self.operator.traffic()

    def listens_to_connections(self) -> bool:
        """Whether any process of the host is told of connections by the kernel."""
        sockets = [line.split() for line in self.db.run("cat", "/proc/net/netlink").splitlines()]
        groups = [int(fields[3], 16) for fields in sockets[1:] if fields[1] == "12"]
        return any(mask & CONNECTION_EVENTS for mask in groups)

    @contextlib.contextmanager
    def connected(self, port: int, family: int, to: Host | None = None) -> Iterator[socket.socket]:
        """A connection from ``web`` to ``db``, or to ``to`` the other way; with some data."""
        server = to or self.db
        client = self.db if to else self.web
        with (
            contextlib.closing(server.listen(port, family)) as listening,
            contextlib.closing(client.connect(server, port, family)) as there,
        ):
            here, _ = listening.accept()
            with contextlib.closing(here):
                there.sendall(bytes(1000))
                assert here.recv(1000)
                yield there

    def send(self, port: int, family: int, address: str = "") -> None:
        """A datagram from ``web``."""
        with contextlib.closing(self.web.listen(0, family, socket.SOCK_DGRAM)) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            scope = socket.if_nametoindex("eth0") if address.startswith("ff") else 0
            there = address or self.db.address(family)
            where = (there, port) if family == 4 else (there, port, 0, scope)
            sender.sendto(b"hello", where)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowStory]:
    folder = tmp_path_factory.mktemp("flows")
    with Network("db", "web") as network, contextlib.ExitStack() as opened:
        db = network["db"]
        intervals = ("--heartbeat-interval", "1", "--flow-interval", "1")
        pce = LocalHost(folder / "pce", arguments=intervals)
        opened.callback(pce.stop)
        with db.entered():
            pce.start()
        known = Credentials.read(folder / "pce" / "credentials.json")
        told = FlowStory(db, network["web"], folder / "ven", Operator(known))
        told.allow_port_80()
        for family in (4, 6):  # whose process the VEN reports when it starts
            opened.enter_context(contextlib.closing(db.listen(80, family)))
        server = ("--management-server", known.server, "--ca-file", known.ca_file)
        told.ven("activate", *server, "--activation-code", known.activation_code)
        told.ven("start")
        opened.callback(told.ven, "stop")
        yield told


@FAMILIES
def test_what_passes_is_told(story: FlowStory, family: int) -> None:
    """Closed, open and timed-out connections, allowed and potentially blocked, in and out, with
    bytes seen from the provider, process and user."""
    story.set("visibility_only", "enhanced_data_collection")
    closed, timed_out, outbound, still = (base + family for base in (1000, 1100, 1200, 1300))
    story.web.connect(story.db, 80, family).close()
    with story.connected(closed, family), story.connected(outbound, family, to=story.web):
        pass
    story.send(timed_out, family)
    story.db.run("conntrack", "-D", "-p", "udp", "--orig-port-dst", str(timed_out), "-f",
                 "ipv4" if family == 4 else "ipv6", check=False)  # fmt: skip
    with story.connected(still, family):
        found = story.records(80, closed, timed_out, outbound, still)
    decisions = {port: found[port]["policy_decision"] for port in (80, closed, timed_out)}
    assert decisions == {80: "allowed"} | dict.fromkeys((closed, timed_out), "potentially_blocked")
    states = {port: found[port]["state"] for port in (closed, timed_out, still)}
    assert states == {closed: "closed", timed_out: "timed out", still: "active"}
    assert found[80]["service"]["process_name"] and found[80]["service"]["user_name"] == "root"
    assert found[outbound]["flow_direction"] == "outbound"
    assert found[outbound]["service"]["user_name"] == "root"
    for port in (closed, outbound):
        assert found[port]["dst_tbi"] > 1000 > found[port]["dst_tbo"] > 0
        assert found[port]["dst_dbi"] == found[port]["dst_tbi"]
        assert found[port]["tdms"] >= 0
    assert found[timed_out]["dst_tbi"] == len(b"hello") + (28 if family == 4 else 48)
    assert found[closed]["dst"]["workload"]["href"] == story.data.identity().workload_href
    assert {found[port]["transmission"] for port in found} == {"unicast"}


def test_many_connections_are_one_record(story: FlowStory) -> None:
    """Those of one window that differ in the client's port alone."""
    story.set("visibility_only", "flow_summary")
    with contextlib.closing(story.db.listen(1400)):
        for _ in range(30):
            story.web.connect(story.db, 1400).close()

        def told() -> list[Record]:
            records = [r for r in story.all_records() if r["service"].get("port") == 1400]
            return records if sum(r["num_connections"] for r in records) == 30 else []

        [record] = wait_until(told, 30, every_s=0.3)
    assert "dst_tbi" not in record


@FAMILIES
def test_multicast_and_broadcast_have_classes_of_their_own(story: FlowStory, family: int) -> None:
    """Told by the host that gets them, inbound."""
    story.set("visibility_only", "flow_summary")
    many, all_ = 1500 + family, 1600
    story.web.run("ip", "route", "replace", "224.0.0.0/4", "dev", "eth0")
    with story.web.entered():
        story.send(many, family, "224.0.0.1" if family == 4 else "ff02::1")
        story.send(all_, 4, "10.77.0.255")
    found = story.records(many, all_)
    assert (found[many]["transmission"], found[many]["flow_direction"]) == ("multicast", "inbound")
    assert (found[all_]["transmission"], found[all_]["flow_direction"]) == ("broadcast", "inbound")


@FAMILIES
def test_what_is_blocked_is_told(story: FlowStory, family: int) -> None:
    """A TCP SYN is new, others have no state; ICMP says type and code; nobody is named."""
    story.set("full", "flow_summary")
    tcp, udp = 1700 + family, 1800 + family
    assert story.web.misses(story.db, tcp, family)
    story.send(udp, family)
    assert not story.web.pings(story.db, family)
    assert story.web.reaches(story.db, 80, family)
    proto, echo = (1, 8) if family == 4 else (58, 128)

    def pinged() -> list[Record]:
        found = [r for r in story.all_records() if r["service"]["proto"] == proto]
        return [r for r in found if r["policy_decision"] == "blocked"]

    [ping] = wait_until(pinged, 30, every_s=0.3)
    assert (ping["icmp_type"], ping["icmp_code"], ping["state"]) == (echo, 0, "unknown")
    found = story.records(tcp, udp)
    assert [(found[port]["policy_decision"], found[port]["state"]) for port in (tcp, udp)] == [
        ("blocked", "new"),
        ("blocked", "unknown"),
    ]
    for port in (tcp, udp):
        assert not found[port]["service"].keys() & {"process_name", "user_name"}
        assert "dst_tbi" not in found[port]


@FAMILIES
def test_an_idle_host_tells_snapshots(story: FlowStory, family: int) -> None:
    """Of connections that are open, without a decision; nothing of those that were shorter."""
    story.set("idle", "flow_summary")
    short, long = 1900 + family, 2000 + family
    with story.connected(short, family):
        pass
    with story.connected(long, family):
        story.ask_for_flows()  # its own windows are of ten minutes
        found = story.records(long)
    assert (found[long]["state"], found[long]["policy_decision"]) == ("snapshot", "unknown")
    assert short not in found


def test_each_level_tells_what_it_should(story: FlowStory) -> None:
    """``flow_off``: nothing, and no event of the kernel's is read; ``flow_drops``: what is blocked,
    or would be; ``flow_summary`` and the older ``flow_full_detail``: all, without bytes."""
    story.set("full", "flow_off")
    wait_until(lambda: not story.listens_to_connections())
    assert story.web.reaches(story.db, 80) and story.web.misses(story.db, 2101)
    story.set("full", "flow_drops")
    wait_until(story.listens_to_connections)
    assert story.web.misses(story.db, 2102)
    found = story.records(2102)
    assert 2101 not in found
    story.set("visibility_only", "flow_drops")
    for port in (2103, 2104):
        with story.connected(port, 4):
            pass
    assert story.records(2103)[2103]["policy_decision"] == "potentially_blocked"
    story.set("visibility_only", "flow_full_detail")
    with story.connected(2105, 4):
        pass
    assert "dst_tbi" not in story.records(2105)[2105]
