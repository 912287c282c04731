"""The agent with a simulated kernel against a PCE with real TLS: one process, many lives."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.sync.server import ServerConnection

from tests.fakes.agent import running
from tests.fakes.pce import FakePce, fake_pce, wait_until
from tests.fleet.simulator import document
from ven.activation import become_ven
from ven.configuration import Server
from ven.core import bolts, outbox
from ven.core.kernel import Decision
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.readers import StreamReader
from ven.edge.simulated import SimulatedKernel
from ven.enforcement import load_last_known_good
from ven_protocol.flows import decode_batch, to_summaries
from ven_protocol.messages import Action, CompatibilityReport, InteractiveUser, Intervals

HOST, FRIEND, STRANGER = "10.0.0.1", "10.0.0.2", "10.0.0.9"
MEMORY_BUDGET_BYTES = 40 * 2**20


@pytest.fixture
def pce(tmp_path: Path) -> Iterator[FakePce]:
    with fake_pce(tmp_path) as running:
        running.intervals = Intervals(heartbeat_s=1, flows_s=1)
        running.set_policy(document(2))  # FRIEND may connect to port 443
        yield running


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path / "ven")


@pytest.fixture
def kernel() -> SimulatedKernel:
    return SimulatedKernel("web", [f"{HOST}/24"])


@pytest.fixture
def paired(pce: FakePce, data: DataDirectory, kernel: SimulatedKernel) -> None:
    facts, server = host_facts("web"), Server.parse(pce.server)
    become_ven(data, kernel, facts, server, pce.code, Path(pce.ca_file))


@pytest.fixture
def soon_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat after a renewal comes within a second instead of a minute."""
    monkeypatch.setattr(bolts, "RENEWED_SPREAD_S", 1)


def renewed_channel(pce: FakePce, older: list[ServerConnection]) -> ServerConnection:
    """The bolt channel once enforcement has begun: another than before, and alone. (The VEN asks
    for a heartbeat then; it is waited for too.)"""
    wait_until("policy applied", pce.applied)
    wait_until("a heartbeat after it", lambda: len(pce.heartbeats()) + len(pce.batches) > 1)
    wait_until("one channel", lambda: len(pce.sockets) == 1 and pce.sockets[0] not in older)
    return pce.sockets[0]


def summaries(pce: FakePce) -> list[Any]:
    return [summary for batch in list(pce.batches.values()) for summary in to_summaries(batch)]


@pytest.mark.usefixtures("paired")
def test_a_life(pce: FakePce, data: DataDirectory, kernel: SimulatedKernel) -> None:
    """Policy fetched, applied, reported; a bolt brings a change; connections are reported with
    their decision; interfaces go once; goodbye at the end."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        wait_until("bolt channel", lambda: pce.sockets)
        assert kernel.connect(STRANGER, HOST, 6, 443).decision == Decision.BLOCKED
        etag = pce.set_policy(document(9), bolt=True)
        wait_until("the change applied", lambda: any(a.etag == etag for a in pce.applied()))
        assert kernel.connect(STRANGER, HOST, 6, 443).decision == Decision.ALLOWED
        wait_until("both flows", lambda: {s.pd for s in summaries(pce)} >= {0, 2})
        wait_until("three signs of life", lambda: len(pce.heartbeats()) + len(pce.batches) > 3)
        assert data.policy().etag == etag
    assert [len(report.interfaces) for report in pce.interfaces()] == [1]
    assert len(pce.told("goodbye")) == 1
    assert pce.heard[-1].resource == "goodbye"
    assert pce.heartbeats()[0].applied_etag == ""
    host = pce.heartbeats()[0].host
    assert (host.hostname, bool(host.os_id), bool(host.version)) == ("web", True, True)
    assert pce.batches[max(pce.batches)].heartbeat.applied_etag == etag


@pytest.mark.usefixtures("paired")
def test_last_known_good_is_in_force_before_the_pce_is_reached(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """A host that starts without its PCE enforces what it enforced before."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
    fresh = SimulatedKernel("web", [f"{HOST}/24"])
    asked = len(pce.heard)
    held = load_last_known_good(data, fresh)
    assert held.document == document(2)
    assert fresh.connect(STRANGER, HOST, 6, 443).decision == Decision.BLOCKED
    assert ("127.0.0.1", Server.parse(pce.server).port) in fresh.protected
    assert len(pce.heard) == asked
    with running(data, fresh):
        wait_until("a heartbeat", lambda: len(pce.heard) > asked)
        wait_until("bolt channel", lambda: pce.sockets)
    assert len(pce.told("policy")) == 1, "an etag that matches is not fetched again"


@pytest.mark.usefixtures("paired")
def test_pce_away_degraded_and_back(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Three misses degrade; enforcement and collection go on; when the PCE is back the VEN is
    normal after three answers and every batch arrives once."""
    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        pce.say = {"heartbeat": 503, "flows": 503, "policy": 503}
        wait_until("degraded", lambda: agent.state.heartbeat.mode == "degraded")
        assert kernel.connect(STRANGER, HOST, 6, 443).decision == Decision.BLOCKED
        for port in range(1000, 1003):
            kernel.connect(STRANGER, HOST, 6, port)
            waiting = len(data.batches())
            wait_until("a batch on disk", lambda w=waiting: len(data.batches()) > w)
        assert data.status().mode == "degraded"
        taken = len(pce.batches)
        pce.say = {}
        wait_until("normal", lambda: agent.state.heartbeat.mode == "normal")
        wait_until("the outbox empty", lambda: not data.batches())
        assert len(pce.batches) >= taken + 3
    ports = [s.dst_port for s in summaries(pce) if s.dst_port >= 1000]
    assert sorted(ports) == [1000, 1001, 1002]
    assert pce.repeated_batches == 0


@pytest.mark.usefixtures("paired")
def test_lost_answer_is_posted_again_as_the_same_batch(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """The PCE took a batch and its answer was lost, and the VEN was killed: same number, same
    flows."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        kernel.connect(STRANGER, HOST, 6, 443)
        wait_until("the batch", lambda: pce.batches)
        wait_until("the outbox empty", lambda: not data.batches())
        seq, first = max(pce.batches.items())
        pce.say = {"flows": 500}
        kernel.connect(STRANGER, HOST, 6, 444)
        wait_until("a batch on disk", data.batches)
        (kept,) = data.batches()
        content = data.batch(kept.seq)
    # As if the answers had been lost: both lie on the disk when the next process starts.
    pce.say = {}
    with running(data, kernel):
        wait_until("the outbox empty", lambda: not data.batches())
    data.save_batch(kept.seq, content)
    with running(data, kernel):
        wait_until("the repeat", lambda: pce.repeated_batches)
        wait_until("the outbox empty", lambda: not data.batches())
    assert pce.repeated_batches == 1
    assert [s.dst_port for s in to_summaries(pce.batches[kept.seq])] == [444]
    assert seq < kept.seq
    assert pce.batches[seq] == first


@pytest.mark.usefixtures("paired")
def test_the_disk_holds_no_more_than_its_cap_and_the_newest_of_it(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the PCE is away the oldest batches go, and each that is left arrives once, also when
    the process was another one."""
    cap = 1_000
    monkeypatch.setattr(outbox, "CAP_BYTES", cap)
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        pce.say = {"heartbeat": 503, "flows": 503}
        for port in range(1000, 1007):
            newest = last(data)
            kernel.connect(STRANGER, HOST, 6, port)
            wait_until("it on disk", lambda n=newest: last(data) > n)
        kept = data.batches()
        # The one on its way may be on top: what was posted once is not taken back.
        assert sum(batch.size_bytes for batch in kept[1:]) <= cap
        assert 2 <= len(kept) < 7
    pce.say = {}
    with running(data, kernel):
        wait_until("the outbox empty", lambda: not data.batches())
    ports = [s.dst_port for s in summaries(pce) if s.dst_port >= 1000]
    assert ports[-1] == 1006
    assert len(set(ports)) == len(ports) >= len(kept) - 1
    assert pce.repeated_batches == 0


def last(data: DataDirectory) -> int:
    """Number of the newest batch on disk."""
    return max((batch.seq for batch in data.batches()), default=0)


@pytest.mark.usefixtures("paired")
def test_a_clock_that_is_ahead_costs_no_flows(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """What the PCE refuses as from the future waits on disk, and arrives once when it is not; the
    VEN is not taken for lost, and says with its heartbeats what is wrong."""
    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        pce.behind_s = 3_600
        kernel.connect(STRANGER, HOST, 6, 443)
        wait_until("refused posts", lambda: len(pce.told("flows")) >= 3)
        assert data.batches() and not pce.batches
        assert agent.state.heartbeat.mode == "normal"
        [wrong] = wait_until("what is wrong", lambda: pce.heartbeats()[-1].health)
        assert wrong.code == "host_clock_off" and "60 minutes ahead" in wrong.message
        assert any("60 minutes ahead" in line for line in data.status().health)
        pce.behind_s = 0
        wait_until("the batch", lambda: [s.dst_port for s in summaries(pce)] == [443])
        wait_until("the outbox empty", lambda: not data.batches())
        wait_until("all well", lambda: not pce.heartbeats()[-1].health)
    assert pce.repeated_batches == 0


@pytest.mark.usefixtures("paired")
def test_trouble_with_flows_alone_does_not_degrade(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """A PCE that cannot take flows still hears heartbeats; the batches wait."""
    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        pce.say = {"flows": 500}
        kernel.connect(STRANGER, HOST, 6, 443)
        wait_until("five refused posts", lambda: len(pce.told("flows")) >= 5)
        assert agent.state.heartbeat.mode == "normal"
        pce.say = {}
        wait_until("the batch", lambda: {s.pd for s in summaries(pce)} == {2})


@pytest.mark.usefixtures("paired")
def test_refused_token_leads_to_minimal(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """No collection, no bolts, no more requests whatever happens here; the policy stays."""
    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        pce.say = {"heartbeat": 401, "flows": 401}
        wait_until("minimal", lambda: agent.state.heartbeat.mode == "minimal")
        wait_until("bolts closed", lambda: not pce.sockets)
        asked = len(pce.heard)
        assert kernel.connect(STRANGER, HOST, 6, 8080).decision == Decision.BLOCKED
        assert agent.state.outbox.posting is None
        told = agent.state.reports.interfaces.seen
        kernel.change_addresses([f"{HOST}/24", "10.7.0.1/16"])
        wait_until("the change seen", lambda: agent.state.reports.interfaces.seen != told)
        kernel.tamper("iptables")
        wait_until("the revert", lambda: agent.state.untold)
        assert len(pce.heard) == asked
    assert kernel.applied[-1] == document(2)
    kept = [decode_batch(data.batch(batch.seq) or b"") for batch in data.batches()]
    assert not [s for batch in kept for s in to_summaries(batch) if s.dst_port == 8080]


@pytest.mark.usefixtures("paired")
def test_the_end_of_a_suspension_is_told_until_it_is_heard(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """The PCE would not miss the heartbeats of a VEN that it takes for suspended."""
    data.suspend()
    data.unsuspend()
    pce.say = {"unsuspend": 503}
    with running(data, kernel):
        wait_until("a second attempt", lambda: len(pce.told("unsuspend")) > 1)
        assert data.unsuspended_untold and pce.heartbeats()
        pce.say = {}
        wait_until("it heard", lambda: not data.unsuspended_untold)
        asked = len(pce.told("unsuspend"))
        heard = len(pce.heard)
        wait_until("more signs of life", lambda: len(pce.heard) > heard + 1)
    assert len(pce.told("unsuspend")) == asked


@pytest.mark.usefixtures("paired")
def test_a_goodbye_that_nobody_hears_holds_nothing_up(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Best effort: tried once, and the VEN ends; its policy stays in force."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        pce.say = {"goodbye": 503}
    assert len(pce.told("goodbye")) == 1
    assert kernel.connect(STRANGER, HOST, 6, 443).decision == Decision.BLOCKED


@pytest.mark.usefixtures("paired", "soon_asked")
def test_bolts_are_renewed_when_enforcement_begins(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """The kernel may refuse what the PCE says first on a connection that is older than its first
    policy. Once, and not by a process that starts with the last-known-good policy."""
    pce.intervals = Intervals(heartbeat_s=300, flows_s=600)
    pce.say = {"policy": 503}
    with running(data, kernel):
        (deaf,) = wait_until("bolt channel", lambda: list(pce.sockets))
        pce.say = {}
        first = renewed_channel(pce, [deaf])
        etag = pce.set_policy(document(3), bolt=True)
        wait_until("the next policy", lambda: any(a.etag == etag for a in pce.applied()))
        assert pce.sockets == [first]
    with running(data, kernel):
        (only,) = wait_until("bolt channel", lambda: list(pce.sockets))
        etag = pce.set_policy(document(4), bolt=True)
        wait_until("the next policy", lambda: any(a.etag == etag for a in pce.applied()))
        assert pce.sockets == [only]


@pytest.mark.usefixtures("paired", "soon_asked")
def test_lost_bolts_come_back(pce: FakePce, data: DataDirectory, kernel: SimulatedKernel) -> None:
    """After a gap the VEN connects again and asks what it missed."""
    pce.intervals = Intervals(heartbeat_s=300, flows_s=600)
    with running(data, kernel):
        first = renewed_channel(pce, [])
        etag = pce.set_policy(document(3))
        first.close()
        wait_until("another connection", lambda: pce.sockets and pce.sockets != [first])
        wait_until("what it missed", lambda: any(a.etag == etag for a in pce.applied()))


@pytest.mark.usefixtures("paired")
def test_refused_policy_is_reported_with_its_reason(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """The old one stays in force, the PCE learns why, and health says so until it is mended."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        kernel.refuse = "set x: no memory"
        etag = pce.set_policy(document(9), bolt=True)
        refused = wait_until("refusal", lambda: [a for a in pce.applied() if not a.success])[0]
        assert (refused.etag, refused.error) == (etag, "set x: no memory")
        assert kernel.connect(STRANGER, HOST, 6, 443).decision == Decision.BLOCKED
        wait_until("health", lambda: pce.heartbeats()[-1].health)
        kernel.refuse = ""
        wait_until("applied after all", lambda: pce.applied()[-1].success)
        wait_until("healthy", lambda: not pce.heartbeats()[-1].health)


@pytest.mark.usefixtures("paired")
def test_tampering_is_reverted_and_reported(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Within a second, with the name of the program."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        kernel.tamper("iptables")
        (report,) = wait_until("the report", pce.tampering)
    assert (report.process_name, report.revert_succeeded) == ("iptables", True)
    assert not kernel.tampered


@pytest.mark.usefixtures("paired")
def test_a_change_that_a_routine_look_finds_first_has_its_name_too(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's word of it, which was not read yet, is read before the revert."""
    unread = functools.partial(StreamReader, gather_s=3600)
    monkeypatch.setattr("ven.firewall_watch.StreamReader", unread)
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        kernel.tamper("iptables")
        (report,) = wait_until("the report", pce.tampering)
    assert (report.process_name, report.revert_succeeded) == ("iptables", True)


@pytest.mark.usefixtures("paired")
def test_interfaces_are_reported_when_they_change(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Event driven, and only then."""
    with running(data, kernel):
        wait_until("first report", pce.interfaces)
        kernel.change_addresses(["10.0.0.1/24", "10.7.0.1/16"])
        report = wait_until("the change", lambda: pce.interfaces()[1:])[0]
        assert [i.address for i in report.interfaces] == ["10.0.0.1", "10.7.0.1"]
        signs = len(pce.told("heartbeat"))
        wait_until("more heartbeats", lambda: len(pce.told("heartbeat")) > signs + 1)
        assert len(pce.interfaces()) == 2


@pytest.mark.usefixtures("paired")
def test_a_report_that_is_refused_is_told_until_one_is_taken(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """A host with more addresses than a report may have, say: the operator sees why its workload
    does not show them."""
    pce.say = {"interfaces": 406}
    with running(data, kernel):
        [wrong] = wait_until("health", lambda: pce.heartbeats() and pce.heartbeats()[-1].health)
        assert (wrong.code, wrong.severity) == ("interfaces_report_refused", "error")
        assert "406" in wrong.message
        pce.say = {}
        wait_until("healthy", lambda: not pce.heartbeats()[-1].health)
    assert pce.interfaces()


@pytest.mark.usefixtures("paired")
def test_users_are_reported_where_there_are_any(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Of a (simulated) Windows host; other systems report none, not even an empty list."""
    with running(data, kernel):
        wait_until("services", pce.services)
    assert not pce.told("users")
    kernel.users = [
        InteractiveUser(name="bob", sid="S-1-5-2"),
        InteractiveUser(name="ann", sid="S-1"),
    ]
    with running(data, kernel):
        report = wait_until("users", pce.users)[0]
        assert [user.name for user in report.users] == ["ann", "bob"]


@pytest.mark.usefixtures("paired")
def test_an_idle_host_is_looked_at_for_what_is_in_the_way(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """As soon as it is idle, and not before; told again when it is another."""
    kernel.found = CompatibilityReport(ipv4_rules=7, ipv6_connections=10)
    with running(data, kernel):
        wait_until("services", pce.services)
        assert not pce.told("compatibility")
        pce.set_policy(msgspec.structs.replace(document(2), mode="idle"), bolt=True)
        (report,) = wait_until("what is in the way", pce.compatibility)
    assert report == kernel.found


@pytest.mark.usefixtures("paired")
def test_support_report_holds_no_secret(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Built, uploaded where the PCE says, reported done; the token is not in it."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        pce.actions = [Action(id="a1", type="support_report")]
        wait_until("the upload", lambda: pce.uploaded)
        wait_until("the action done", lambda: not pce.actions)
    upload = pce.told("upload")
    assert [heard.headers["x-proof"] for heard in upload] == ["1"]
    with tarfile.open(fileobj=BytesIO(pce.uploaded)) as archive:
        contents = {
            member.name: archive.extractfile(member).read() for member in archive.getmembers()
        }
    assert {"configuration.json", "policy.json", "firewall.txt"} <= contents.keys()
    assert not any(pce.token.encode() in content for content in contents.values())


# The command line and the process


@pytest.fixture
def ven(pce: FakePce, data: DataDirectory) -> list[str]:
    host = f"web={HOST}/24"
    return [
        sys.executable, "-m", "ven", "--data-dir", str(data.path), "--simulated-host", host,
    ]  # fmt: skip


@pytest.fixture
def activated(ven: list[str], pce: FakePce) -> None:
    say(ven, "activate", "--management-server", pce.server, "--activation-code", pce.code,
        "--ca-file", pce.ca_file, "--label", "role=web")  # fmt: skip


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def say(ven: list[str], *words: str, expect: int = 0) -> str:
    done = subprocess.run(
        [*ven, *words], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def process(ven: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*ven, "start", "--foreground"], env=environment()) as child:
        try:
            yield child
        finally:
            child.kill()


def attempt(data: DataDirectory, src: str, port: int) -> str:
    """A connection to the simulated host of a running process; "" when none runs."""
    with socket.socket(socket.AF_UNIX) as control:
        try:
            control.connect(str(data.path / "simulated.sock"))
        except (FileNotFoundError, ConnectionRefusedError):
            return ""
        wish = {"src": src, "dst": HOST, "port": port}
        control.sendall(json.dumps(wish).encode() + b"\n")
        return json.loads(control.makefile().readline())["decision"]


@pytest.mark.usefixtures("activated")
def test_killed_at_any_moment_it_goes_on(pce: FakePce, data: DataDirectory, ven: list[str]) -> None:
    """SIGKILL at ten moments between the first instruction and steady work: the next process
    enforces at once what the last one had, numbers never repeat for other flows, and in the end
    everything is as if nothing had happened."""
    seen: dict[int, object] = {}
    for kill_after in (0, 0, 1, 2, 3, 4, 5, 6, 7, 9):
        pce.set_policy(document(kill_after + 10), bolt=True)
        heard = len(pce.heard)
        with process(ven):
            wait_until(
                f"{kill_after} requests",
                lambda n=heard + kill_after: len(pce.heard) >= n,
                timeout_s=40,
            )
            if kill_after > 3:
                wait_until("the control socket", lambda n=kill_after: attempt(data, FRIEND, n))
        for seq, batch in pce.batches.items():
            assert seen.setdefault(seq, batch.flows) == batch.flows
    with process(ven) as child:
        wait_until("the newest policy", lambda: pce.applied()[-1].etag == pce.etag())
        wait_until("the outbox empty", lambda: not data.batches())
        wait_until("enforcement", lambda: attempt(data, STRANGER, 443) == "blocked")
        assert data.running_pid() == child.pid
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


@pytest.mark.usefixtures("activated")
def test_memory_at_rest(pce: FakePce, data: DataDirectory, ven: list[str]) -> None:
    """The budget is 40 MiB resident, connected and with a policy."""
    with process(ven) as child:
        wait_until("policy applied", pce.applied)
        wait_until("bolt channel", lambda: pce.sockets)
        wait_until("services", pce.services)
        pages = int(Path(f"/proc/{child.pid}/statm").read_text().split()[1])
        assert pages * os.sysconf("SC_PAGE_SIZE") < MEMORY_BUDGET_BYTES


@pytest.mark.usefixtures("activated")
def test_operators_commands(pce: FakePce, data: DataDirectory, ven: list[str]) -> None:
    """start, status, stop, suspend, unsuspend, unpair and the rest, as operators know them."""
    assert "stopped" in say(ven, "status", expect=1)
    assert "runs" in say(ven, "start")
    try:
        assert "already" in say(ven, "start")
        wait_until("policy applied", pce.applied)
        wait_until("status", lambda: "full" in say(ven, "status"))
        custom = "/orgs/1/sec_policy/active/rule_sets/1/ip_tables_rules/1"
        pce.set_policy(msgspec.structs.replace(document(2), not_enforced=[custom]), bolt=True)
        wait_until("what is not enforced", lambda: custom in say(ven, "status"))
        assert "FAILED" not in say(ven, "connectivity-test")
        report = say(ven, "gen-supportreport", "--upload").split()[0]
        assert tarfile.is_tarfile(report)
        assert pce.uploaded == Path(report).read_bytes()

        say(ven, "suspend")
        assert data.running_pid() is None
        assert pce.told("suspend")
        assert not pce.told("goodbye"), "a suspended VEN stays in its peers' policy"
        assert "suspended" in say(ven, "status")
        assert "unsuspend" in say(ven, "start", expect=1)
        say(ven, "unsuspend")
        assert pce.told("unsuspend")
        assert data.running_pid()

        assert "stopped" in say(ven, "stop")
        assert len(pce.told("goodbye")) == 1
        assert "does not run" in say(ven, "stop")
        say(ven, "start")
        say(ven, "unpair", "saved")
        assert pce.told("deactivate")
        assert "activate" in say(ven, "status", expect=1)
    finally:
        if pid := data.running_pid():
            os.kill(pid, signal.SIGKILL)
    logs = (data.path / "log" / "agent.log").read_text()
    assert pce.token not in logs


@pytest.mark.usefixtures("activated")
def test_actions_that_end_the_process(pce: FakePce, data: DataDirectory, ven: list[str]) -> None:
    """restart: the same process id, a new life, once; unpair: everything is gone and it ends."""
    with process(ven) as child:
        wait_until("policy applied", pce.applied)
        pce.actions = [Action(id="r1", type="restart")]
        wait_until("the restart reported", lambda: not pce.actions)
        log = data.path / "log" / "agent.log"
        wait_until("two lives", lambda: log.read_text().count(" starts, PCE ") == 2)
        pce.actions = [Action(id="u1", type="unpair", params={"firewall_restore": "open"})]
        assert child.wait(20) == 0
    assert pce.told("deactivate")
    assert not (data.path / "identity.json").exists()


def test_activation_waits_for_a_busy_pce(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many machines with one code: who is told to repeat in a second does."""
    monkeypatch.setattr("ven.activation.BUSY_WAIT_S", 0)
    pce.busy = 3
    become_ven(data, kernel, host_facts(), Server.parse(pce.server), pce.code, Path(pce.ca_file))
    assert len(pce.told("activate")) == 4
    assert data.identity().agent_token == pce.token


def test_activation_says_what_is_wrong(pce: FakePce, data: DataDirectory, ven: list[str]) -> None:
    """Wrong code, wrong CA, wrong server, twice: each names itself and leaves nothing behind."""
    server = ("activate", "--management-server", pce.server)
    wrong = say(ven, *server, "--activation-code", "x", "--ca-file", pce.ca_file, expect=1)
    assert "activation_code_unknown" in wrong
    assert "certificate" in say(ven, *server, "--activation-code", pce.code, expect=1).lower()
    nowhere = ("activate", "--management-server", "localhost:1", "--activation-code", "x")
    assert "localhost:1" in say(ven, *nowhere, expect=1)
    assert not (data.path / "identity.json").exists()
    assert "activate" in say(ven, "start", expect=1)
    good = (*server, "--activation-code", pce.code, "--ca-file", pce.ca_file)
    say(ven, *good, "--mode", "full", "--label", "role=web", "--label", "env=prod")
    (message,) = [json.loads(h.body) for h in pce.told("activate")[-1:]]
    assert message["labels"] == {"role": "web", "env": "prod"}
    assert message["enforcement_mode"] == "full"
    assert [i["address"] for i in message["interfaces"]] == [HOST]
    assert "unpair first" in say(ven, *good, expect=1)


@pytest.mark.usefixtures("paired")
def test_a_clone_becomes_another_ven_and_starts_anew(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Asked to, it takes an identity of its own and ends to start as that; what it enforces stays.
    When it cannot, it goes on and tries again."""
    former = data.identity()
    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        assert pce.heartbeats()[0].host.boot_id
        pce.say = {"clone": 503}
        pce.actions = [Action(id="reactivate#1", type="reactivate")]
        wait_until("an attempt", lambda: pce.told("clone"))
        wait_until("no more of it", lambda: not pce.actions)
        assert data.identity() == former
        pce.say = {}
        pce.actions = [Action(id="reactivate#2", type="reactivate")]
        wait_until("the new identity", lambda: data.identity() != former)
        wait_until("the end", lambda: agent._ended.done())
    assert agent._ended.result() == "restart"
    assert data.identity().ven_href != former.ven_href
    assert data.identity().server == former.server
    assert kernel.applied[-1] == document(2)
    pce.actions = []
    with running(data, kernel):
        wait_until("a heartbeat of the new one", lambda: pce.told("heartbeat")[-1].headers[
            "authorization"].endswith(pce.token))  # fmt: skip
