"""Policy on its way from the PCE into the kernel: damaged, too fast, and refused."""

import gzip
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from tests.fakes.agent import running
from tests.fakes.pce import FakePce, fake_pce, wait_until
from tests.fleet.simulator import document, name_of
from ven.activation import become_ven
from ven.configuration import Server
from ven.core.dns import Answer
from ven.core.kernel import Decision
from ven.edge import answers
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.http import MAX_REPLY_BYTES
from ven.edge.simulated import SimulatedKernel
from ven_protocol.bolts import Bolt
from ven_protocol.messages import Intervals
from ven_protocol.policy import (
    PolicyDocument,
    PolicyReply,
    Rule,
    Service,
    policy_delta,
    policy_digest,
)

HOST, FRIEND, STRANGER = "10.0.0.1", "10.0.0.2", "10.0.0.9"
HELD, NEW = document(2), document(9)
CODE = "custom_iptables_rules_not_enforced"


class SlowKernel(SimulatedKernel):
    """Takes a policy only when it is let."""

    def __init__(self) -> None:
        super().__init__("web", [f"{HOST}/24"])
        self.may_go = threading.Event()
        self.may_go.set()
        self.asked: list[PolicyDocument] = []

    def apply(self, document: PolicyDocument) -> int:
        self.asked.append(document)
        assert self.may_go.wait(20)
        return super().apply(document)


@pytest.fixture
def pce(tmp_path: Path) -> Iterator[FakePce]:
    with fake_pce(tmp_path) as found:
        found.intervals = Intervals(heartbeat_s=1, flows_s=600)
        found.set_policy(HELD)  # FRIEND may connect to port 443
        yield found


@pytest.fixture
def kernel() -> SlowKernel:
    return SlowKernel()


@pytest.fixture
def data(pce: FakePce, kernel: SlowKernel, tmp_path: Path) -> DataDirectory:
    """A paired VEN."""
    return paired(pce, kernel, tmp_path)


def paired(pce: FakePce, kernel: SlowKernel, tmp_path: Path) -> DataDirectory:
    found = DataDirectory(tmp_path / "ven")
    server = Server.parse(pce.server)
    become_ven(found, kernel, host_facts("web"), server, pce.code, Path(pce.ca_file))
    return found


def reply(**more: object) -> bytes:
    whole = PolicyReply(etag=name_of(NEW), digest=policy_digest(NEW), document=NEW)
    return msgspec.json.encode(msgspec.structs.replace(whole, **more))


FUTURE = msgspec.structs.replace(NEW, version=99)
BODIES = {
    "truncated JSON": (reply()[:-40], "policy_damaged"),
    "another digest": (reply(digest="0" * 32), "policy_damaged"),
    "a version of the future": (
        reply(document=FUTURE, digest=policy_digest(FUTURE)),
        "policy_not_applied",
    ),
    "a delta that does not fit": (
        reply(document=None, delta=policy_delta(NEW, document(3))),
        "policy_damaged",
    ),
    "empty": (b"", "policy_damaged"),
    "a proxy's page": (b"<html><body>Please log in</body></html>", "policy_damaged"),
    "20 MB": (b"{" + b" " * 20_000_000, "policy_damaged"),
    "a bomb": (gzip.compress(bytes(MAX_REPLY_BYTES + 1)), "policy_damaged"),
    "a policy that the kernel refuses": (None, "policy_not_applied"),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_policy_that_is_none_changes_nothing_and_is_told(
    pce: FakePce, data: DataDirectory, kernel: SlowKernel, what: str
) -> None:
    """Last-known-good stays in the kernel, on disk and in the heartbeat, which says what is wrong
    until a good policy is in force."""
    body, code = BODIES[what]
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        kernel.refuse = "no memory" if what == "a policy that the kernel refuses" else ""
        pce.policy_body = body
        pce.set_policy(NEW, bolt=True)
        sick = wait_until("health", lambda: [h for h in pce.heartbeats() if h.health])[0]
        assert [condition.code for condition in sick.health] == [code]
        assert sick.applied_etag == name_of(HELD)
        assert kernel.applied == [HELD]
        assert kernel.connect(STRANGER, HOST, 6, 443).decision == Decision.BLOCKED
        assert data.policy().document == HELD
        assert not any(told.success and told.etag != name_of(HELD) for told in pce.applied())
        assert wait_until("the status", lambda: data.status().health)[0].startswith(code)
        kernel.refuse, pce.policy_body = "", None
        pce.bolt(Bolt(type="policy", etag=pce.etag()))
        wait_until("the good policy", lambda: pce.applied()[-1].etag == name_of(NEW))
        wait_until("healthy", lambda: not pce.heartbeats()[-1].health)
    assert kernel.applied == [HELD, NEW]


def test_while_an_apply_runs_only_the_newest_target_is_remembered(
    pce: FakePce, data: DataDirectory, kernel: SlowKernel
) -> None:
    """Of 20 policies that come during a slow apply the last alone is applied; the one under way is
    not reported before the kernel has it, and the old one is in force until then."""
    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        kernel.may_go.clear()
        first = pce.set_policy(document(3), bolt=True)
        wait_until("the kernel at work", lambda: kernel.asked[-1] == document(3))
        for peer in range(4, 24):
            newest = pce.set_policy(document(peer), bolt=True)
        wait_until("the hint", lambda: agent.state.policy.wanted == newest)
        heard = len(pce.heartbeats())
        wait_until("two heartbeats", lambda: len(pce.heartbeats()) > heard + 1)
        assert {h.applied_etag for h in pce.heartbeats()[heard:]} == {name_of(HELD)}
        assert [told.etag for told in pce.applied()] == [name_of(HELD)]
        assert kernel.connect(FRIEND, HOST, 6, 443).decision == Decision.ALLOWED
        kernel.may_go.set()
        wait_until("the newest", lambda: pce.applied()[-1].etag == newest)
    assert kernel.applied == [HELD, document(3), document(23)]
    # A report that still waits may be replaced by a newer one, never by an older.
    told = [told.etag for told in pce.applied()]
    assert told in ([name_of(HELD), first, newest], [name_of(HELD), newest])


def test_a_policy_that_comes_with_its_bolt_is_not_fetched(
    pce: FakePce, kernel: SlowKernel, tmp_path: Path
) -> None:
    """It is in the kernel and on disk without a request, and reported. A damaged one is refused and
    fetched, while the last good one stays in force."""
    pce.intervals = Intervals(heartbeat_s=300, flows_s=600)
    data = paired(pce, kernel, tmp_path)

    def bring(new: PolicyDocument, cut: int = 0) -> None:
        held = pce.policies[-1]
        delta = policy_delta(held, new)
        answer = PolicyReply(etag=name_of(new), digest=policy_digest(new), delta=delta)
        body = gzip.compress(msgspec.json.encode(answer))
        pce.set_policy(new)
        pce.bolt(
            Bolt(
                type="policy",
                etag=name_of(new),
                base=name_of(held),
                reply=body[: len(body) - cut],
            )
        )

    with running(data, kernel) as agent:
        wait_until("the bolt channel", lambda: pce.sockets and agent.state.bolts.phase == "open")
        wait_until("policy reported", pce.applied)
        fetches = len(pce.told("policy"))
        bring(NEW)
        wait_until("the report", lambda: pce.applied()[-1].etag == name_of(NEW))
        assert len(pce.told("policy")) == fetches
        assert data.policy().document == NEW
        bring(document(10), cut=9)
        wait_until("the report", lambda: pce.applied()[-1].etag == name_of(document(10)))
        assert len(pce.told("policy")) == fetches + 1
    assert kernel.applied == [HELD, NEW, document(10)]


def test_custom_rules_that_are_not_enforced_are_never_silent(
    pce: FakePce, data: DataDirectory, kernel: SlowKernel, caplog: pytest.LogCaptureFixture
) -> None:
    """They are named in the log, once, and in the status and every heartbeat until a policy comes
    without them."""
    href = "/orgs/1/sec_policy/active/rule_sets/3/ip_tables_rules/7"
    pce.set_policy(msgspec.structs.replace(HELD, not_enforced=[href]))
    with running(data, kernel):
        told = wait_until("health", lambda: [h for h in pce.heartbeats() if h.health])[0].health
        assert [condition.code for condition in told] == [CODE]
        assert told[0].severity == "warning"
        assert href in told[0].message
        assert wait_until("the status", lambda: data.status().health)[0].startswith(CODE)
        pce.set_policy(HELD, bolt=True)
        wait_until("healthy", lambda: not pce.heartbeats()[-1].health)
    assert sum(href in record.getMessage() for record in caplog.records) == 1


OUT = Rule(
    id="r2", direction="out", action="allow", peers=["named"], services=[Service(proto=6, port=443)]
)
BY_NAME = msgspec.structs.replace(
    HELD,
    sets=HELD.sets | {"named": []},
    names={"named": ["www.example.com", "*.example.org"]},
    rules=[*HELD.rules, OUT],
)


def packed(address: str) -> bytes:
    return ip_address(address).packed


def test_names_are_resolved_and_observed_here(
    pce: FakePce, data: DataDirectory, kernel: SlowKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full name by the host's resolver, others by the answers that name servers give; both are
    in force, only for the set that names them, and again when the VEN starts without DNS."""

    def resolve(name: str) -> tuple[bytes, ...]:
        assert name == "www.example.com"
        return (packed("192.0.2.1"),)

    def unreachable(name: str) -> tuple[bytes, ...]:
        raise answers.ResolutionFailed(name)

    def reaches(peer: str) -> bool:
        return kernel.connect(HOST, peer, 6, 443).decision == Decision.ALLOWED

    monkeypatch.setattr(answers, "resolve", resolve)
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        etag = pce.set_policy(BY_NAME, bolt=True)
        wait_until("policy by name", lambda: pce.applied()[-1].etag == etag)
        wait_until("the resolved one", lambda: reaches("192.0.2.1"))
        kernel.answer(Answer("evil.example.net", ((packed("192.0.2.3"), 300),)))
        kernel.answer(Answer("cdn.example.org", ((packed("192.0.2.2"), 300),)))
        wait_until("the observed one", lambda: reaches("192.0.2.2"))
        assert not reaches("192.0.2.3")
        assert kernel.connect("192.0.2.1", HOST, 6, 443).decision == Decision.BLOCKED
        wait_until("both on disk", lambda: len(data.remembered_names()) == 2)
    monkeypatch.setattr(answers, "resolve", unreachable)
    kernel.learned = {}
    with running(data, kernel):
        assert reaches("192.0.2.1")
        assert reaches("192.0.2.2")
        etag = pce.set_policy(HELD)
        wait_until("names gone", lambda: pce.applied()[-1].etag == etag)
        assert not reaches("192.0.2.1")
