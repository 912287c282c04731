"""Connections that began before anybody tracked connections, judged by who began them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.kernel.judging_host import JudgingHost
from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, allow, policy
from tests.kernel.test_revocation import conversation
from ven.edge import conntrack
from ven.edge.linux import LinuxKernel
from ven_protocol.policy import PolicyDocument, Rule


@pytest.fixture
def db(network: Network, tmp_path: Path) -> Iterator[JudgingHost]:
    judging = JudgingHost(network["db"], tmp_path)
    yield judging
    judging.close()


def with_web(network: Network, mode: str, *rules: Rule) -> PolicyDocument:
    web = network["web"]
    return policy(mode, {"web": [web.ipv4, web.ipv6]}, *rules)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("first_mode", ["visibility_only", "selective", "full"])
def test_the_server_may_speak_first(
    network: Network, db: JudgingHost, family: int, first_mode: str
) -> None:
    """A client that has waited for its server since before the first policy hears it under that
    policy and under full enforcement; the log tells who called whom."""
    web = network["web"]
    with (
        conversation(web, db.host, family=family) as opened,
        contextlib.closing(db.host.listen(80, family)),  # by which a server is known
    ):
        db.apply(with_web(network, first_mode, allow(["web"], HTTP)))
        assert opened.arrives(opened.server, opened.client)
        db.apply(with_web(network, "full", allow(["web"], HTTP)))
        assert opened.arrives(opened.server, opened.client)
        assert opened.passes()
        flows = [s for s in db.traffic_log() if s.proto == 6]
        assert {(s.dir, s.dst_port) for s in flows} == {("I", 80)}
        # Before its first packet under a policy a connection is in the log as not yet decided.
        assert {0} <= {s.pd for s in flows} <= {0, 3}
        db.apply(with_web(network, "full"))
        assert not opened.arrives(opened.server, opened.client)
        assert not opened.arrives(opened.client, opened.server)


@pytest.mark.parametrize("family", [4, 6])
def test_and_so_may_the_client(network: Network, db: JudgingHost, family: int) -> None:
    """What this host opened is judged as outbound, also when its server speaks first."""
    web = network["web"]
    with conversation(db.host, web, family=family) as opened:
        db.apply(with_web(network, "visibility_only"))
        assert opened.arrives(opened.server, opened.client)
        db.apply(with_web(network, "full", allow(["web"], HTTP, direction="out")))
        assert opened.arrives(opened.server, opened.client)
        assert opened.passes()
        db.apply(with_web(network, "full", allow(["web"])))
        assert not opened.arrives(opened.server, opened.client)


def test_tracked_connections_stay_as_they_are(
    network: Network, db: JudgingHost, tmp_path: Path
) -> None:
    """A new VEN finds connections that the table of its predecessor tracks, one of them behind
    address translation, and adds none."""
    web = network["web"]
    db.host.run(
        "nft",
        "table ip nat { chain c { type nat hook prerouting priority -100;"
        " tcp dport 81 redirect to :80; }; }",
    )
    document = with_web(network, "full", allow(["web"], HTTP))
    db.apply(document)
    with contextlib.closing(db.host.listen(80)) as server:
        clients = [web.connect(db.host, port) for port in (80, 81)]
        with db.host.entered():
            before = {c.id for c in conntrack.dump()}
            successor = LinuxKernel(tmp_path)
            successor.apply(document)
            assert {c.id for c in conntrack.dump()} == before
            successor.close()
        for client in clients:
            with client, server.accept()[0] as accepted:
                accepted.sendall(b"hello")
                assert client.recv(10) == b"hello"
    db.host.run("nft", "delete", "table", "ip", "nat")


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_that_a_stateless_rule_let_pass_goes_on(
    network: Network, db: JudgingHost, family: int
) -> None:
    """It was tracked, then it was not while it went on, then it is again: still nobody takes its
    packets for invalid, and it is judged by who began it."""
    web = network["web"]
    rule = allow(["web"], HTTP)
    with (
        conversation(web, db.host, family=family) as opened,
        contextlib.closing(db.host.listen(80, family)),
    ):
        db.apply(with_web(network, "full", rule))
        assert opened.passes()
        db.apply(with_web(network, "full", replace(rule, stateless=True)))
        for _ in range(20):  # beyond what conntrack would take for a window
            opened.client.sendall(bytes(100_000))
            received = 0
            while received < 100_000:
                received += len(opened.server.recv(100_000))
        db.apply(with_web(network, "full", rule))
        assert opened.arrives(opened.server, opened.client)
        assert opened.passes()
        db.apply(with_web(network, "full"))
        assert not opened.arrives(opened.server, opened.client)
