"""Stateless rules: packets pass both ways without a connection entry."""

import socket
from contextlib import ExitStack, closing

import pytest
from msgspec.structs import replace

from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, policy
from ven_protocol.policy import PolicyDocument, Rule, Service

FAMILIES = pytest.mark.parametrize("family", [4, 6])
DNS = Service(proto=17, port=53)
PING, PING6 = Service(proto=1, icmp_type=8), Service(proto=58, icmp_type=128)


def stateless(peers: list[str], *services: Service, direction: str = "in") -> Rule:
    return replace(allow(peers, *services, direction=direction), stateless=True)


def addresses(network: Network, *names: str) -> list[str]:
    return sorted(a for n in names for a in (network[n].ipv4, network[n].ipv6))


def with_web(network: Network, *rules: Rule, mode: str = "full") -> PolicyDocument:
    return policy(mode, {"web": addresses(network, "web")}, *rules)  # type: ignore[arg-type]


@FAMILIES
@pytest.mark.parametrize("direction", ["in", "out"])
def test_it_passes_untracked_and_revocation_stops_the_next_packet(
    network: Network, db: ProtectedHost, family: int, direction: str
) -> None:
    """A TCP connection and its data pass with no entry in the connection table. When the peer
    goes, by a change of members or of rules, the next packet does not arrive."""
    web = network["web"]
    source, target = (web, db.host) if direction == "in" else (db.host, web)
    rule = stateless(["web"], HTTP, direction=direction)
    nobody = policy("full", {"web": []}, rule)
    elsewhere = policy("full", {"web": ["192.0.2.1", "2001:db8::1"]}, rule)
    with ExitStack() as opened:
        server = opened.enter_context(closing(target.listen(80, family)))
        for without in (nobody, elsewhere, policy("full", {})):
            db.apply(with_web(network, rule))
            client = opened.enter_context(closing(source.connect(target, 80, family)))
            peer, _ = server.accept()
            opened.enter_context(closing(peer))
            client.sendall(b"question")
            assert peer.recv(100) == b"question"
            peer.sendall(b"answer")
            assert client.recv(100) == b"answer"
            assert [c for c in db.live() if c.proto == 6] == []
            db.apply(without)
            client.sendall(b"more")
            peer.settimeout(0.4)
            with pytest.raises(TimeoutError):
                peer.recv(100)
    assert source.misses(target, 80, family)


@FAMILIES
def test_exactly_its_direction_and_its_answers_pass(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """Not another port, not another peer, not a connection the other way."""
    web, other = network["web"], network["other"]
    with ExitStack() as opened:
        for host, port in ((db.host, 80), (db.host, 81), (web, 80)):
            opened.enter_context(closing(host.listen(port, family)))
        db.apply(with_web(network, stateless(["web"], HTTP)))
        assert web.reaches(db.host, 80, family)
        assert web.misses(db.host, 81, family)
        assert other.misses(db.host, 80, family)
        assert db.host.misses(web, 80, family)
        assert not web.pings(db.host, family)


@FAMILIES
def test_udp_and_ping(network: Network, db: ProtectedHost, family: int) -> None:
    """A datagram and the answer from the service's port; an echo request and its reply."""
    web = network["web"]
    db.apply(with_web(network, stateless(["web"], DNS, PING, PING6)))
    with (
        closing(db.host.listen(53, family, socket.SOCK_DGRAM)) as server,
        closing(web.listen(5300, family, socket.SOCK_DGRAM)) as client,
    ):
        client.sendto(b"question", (db.host.address(family), 53))
        data, sender = server.recvfrom(100)
        assert data == b"question"
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"
    assert web.pings(db.host, family)
    assert not db.host.pings(web, family)
    assert [c for c in db.live() if c.proto in (17, 1, 58) and c.dst_port != 5353] == []


@FAMILIES
def test_an_override_deny_stands_above_it_and_is_told(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """And a deny rule below it."""
    web = network["web"]
    with closing(db.host.listen(80, family)):
        rule, deny = stateless(["web"]), allow(["web"], action="deny")
        db.apply(with_web(network, rule, deny, mode="selective"))
        assert web.reaches(db.host, 80, family)
        db.apply(with_web(network, rule, allow(["web"], HTTP, action="override_deny")))
        assert web.misses(db.host, 80, family)
        assert db.drop(proto=6, dst_port=80).qualifier == 2
        assert web.pings(db.host, family)


def test_packets_that_others_do_not_track_are_none_of_it(
    network: Network, db: ProtectedHost
) -> None:
    """Another table's untracked packets do not pass because some stateless rule exists."""
    with closing(db.host.listen(80)), closing(db.host.listen(81)):
        db.apply(with_web(network, stateless(["web"], HTTP)))
        db.nft(
            "table inet theirs { chain c { type filter hook prerouting priority -301; notrack; }; }"
        )
        assert network["web"].misses(db.host, 81)
        assert network["other"].misses(db.host, 80)


def test_a_policy_without_stateless_rules_leaves_no_chain_of_theirs(
    network: Network, db: ProtectedHost
) -> None:
    """Nothing is looked up before connection tracking any more, and verify finds all well."""
    db.apply(with_web(network, stateless(["web"], HTTP)))
    assert "raw_in" in db.nft("list", "table", "inet", "ven")
    assert db.firewall.verify()
    db.apply(with_web(network, allow(["web"], HTTP)))
    assert "raw_in" not in db.nft("list", "table", "inet", "ven")
    assert db.firewall.verify()


@FAMILIES
def test_the_port_that_answers_opens_nothing(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """A peer that may be asked on port 80 begins no connection from port 80."""
    web = network["web"]
    db.apply(with_web(network, stateless(["web"], HTTP, direction="out")))
    with closing(db.host.listen(81, family)), closing(web.listen(80, family)) as server:
        assert db.host.reaches(web, 80, family)
        server.close()
        with web.entered():
            client = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
        with closing(client):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind((web.address(family), 80))
            client.settimeout(0.4)
            with pytest.raises(TimeoutError):
                client.connect((db.host.address(family), 81))
        assert db.drop(proto=6, dst_port=81).direction == "I"


@FAMILIES
@pytest.mark.parametrize("proto", [-1, 1, 17])
def test_services_whose_answers_look_like_questions_have_connections(
    network: Network, db: ProtectedHost, family: int, proto: int
) -> None:
    """A stateless rule about everything, or a whole protocol without ports, lets nobody the other
    way: it is enforced as if it were not stateless."""
    web = network["web"]
    services = [Service(proto=58 if proto == 1 and family == 6 else proto)]
    db.apply(with_web(network, stateless(["web"], *services, direction="out")))
    if proto != 17:
        assert db.host.pings(web, family)
    assert not web.pings(db.host, family)
    with (
        closing(db.host.listen(53, family, socket.SOCK_DGRAM)),
        closing(web.listen(5300, family, socket.SOCK_DGRAM)) as client,
    ):
        client.sendto(b"question", (db.host.address(family), 53))
        assert db.drop(proto=17, dst_port=53).direction == "I"
