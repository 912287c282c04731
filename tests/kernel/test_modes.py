"""What passes and what does not, with real connections, in every enforcement mode."""

import socket

import pytest

from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, eventually, policy
from ven.core.kernel import Decision
from ven.core.ruleset import Endpoint
from ven_protocol.policy import Firewall, Service

FAMILIES = pytest.mark.parametrize("family", [4, 6])
PING, PING6 = Service(proto=1, icmp_type=8), Service(proto=58, icmp_type=128)


def both(network: Network, *names: str) -> list[str]:
    return [address for name in names for address in (network[name].ipv4, network[name].ipv6)]


@FAMILIES
def test_visibility_only_blocks_nothing_and_says_what_full_would(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """Every connection is made; its mark tells whether a rule allows it, and why not."""
    server = db.host.listen(80, family)
    db.apply(
        policy(
            "visibility_only",
            {"web": both(network, "web"), "other": both(network, "other")},
            allow(["web"], HTTP),
            allow(["other"], Service(proto=6, port=81), action="deny"),
            allow(["other"], Service(proto=6, port=82), action="override_deny"),
        )
    )
    others = [db.host.listen(port, family) for port in (81, 82)]
    expected = {
        ("web", 80): (Decision.ALLOWED, 0),
        ("other", 80): (Decision.POTENTIALLY_BLOCKED, 0),
        ("other", 81): (Decision.POTENTIALLY_BLOCKED, 1),
        ("other", 82): (Decision.POTENTIALLY_BLOCKED, 2),
    }
    for (name, port), verdict in expected.items():
        client = network[name].connect(db.host, port, family)
        seen = db.connection(src_port=client.getsockname()[1], dst_port=port)
        assert (seen.decision, seen.qualifier) == verdict, (name, port)
        assert seen.src == socket.inet_pton(client.family, network[name].address(family))
        client.close()
    assert network["other"].pings(db.host, family)
    assert db.dropped == []
    for opened in (server, *others):
        opened.close()


@FAMILIES
def test_selective_blocks_what_deny_rules_name(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """A deny rule blocks, an allow rule stands above it, an override deny above both; the rest
    passes as potentially blocked."""
    servers = [db.host.listen(port, family) for port in (80, 81, 82, 83)]
    everybody = both(network, "web", "other")
    db.apply(
        policy(
            "selective",
            {"web": both(network, "web"), "all": everybody},
            allow(["all"], Service(proto=6, port=80), Service(proto=6, port=82), action="deny"),
            allow(["web"], Service(proto=6, port=80), Service(proto=6, port=81)),
            allow(["all"], Service(proto=6, port=81), action="override_deny"),
        )
    )
    assert network["web"].reaches(db.host, 80, family)
    assert network["other"].misses(db.host, 80, family)
    assert db.drop(dst_port=80).qualifier == 1
    assert network["web"].misses(db.host, 81, family)
    assert db.drop(dst_port=81).qualifier == 2
    assert network["web"].misses(db.host, 82, family)
    assert network["other"].reaches(db.host, 83, family)
    assert db.connection(dst_port=83).decision == Decision.POTENTIALLY_BLOCKED
    for server in servers:
        server.close()


@FAMILIES
def test_full_lets_in_and_out_what_rules_allow(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """Of two peers each way one is allowed, on one port of two; nothing else passes."""
    web, other = network["web"], network["other"]
    servers = [host.listen(port, family) for host in (db.host, web, other) for port in (80, 81)]
    db.apply(
        policy(
            "full",
            {"web": both(network, "web"), "other": both(network, "other")},
            allow(["web"], HTTP),
            allow(["other"], HTTP, direction="out"),
        )
    )
    assert web.reaches(db.host, 80, family)
    assert web.misses(db.host, 81, family)
    assert other.misses(db.host, 80, family)
    assert not web.pings(db.host, family)
    assert db.host.reaches(other, 80, family)
    assert db.host.misses(other, 81, family)
    assert db.host.misses(web, 80, family)
    outbound = db.drop(direction="O", dst_port=81)
    assert outbound.dst == socket.inet_pton(
        socket.AF_INET if family == 4 else socket.AF_INET6, other.address(family)
    )
    assert db.drop(direction="I", dst_port=81).qualifier == 0
    for server in servers:
        server.close()


@FAMILIES
def test_prefixes_and_ranges_decide_like_addresses(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """The web host is in a prefix, the other one past the end of a range."""
    server = db.host.listen(80, family)
    web = network["web"].address(family)
    prefix = {4: "10.77.0.0/31", 6: "fd77::/127"}[family]
    db.apply(policy("full", {"s": [prefix]}, allow(["s"], HTTP)))
    assert network["web"].reaches(db.host, 80, family)
    assert network["other"].misses(db.host, 80, family)
    db.apply(policy("full", {"s": [f"{web}-{db.host.address(family)}"]}, allow(["s"], HTTP)))
    assert network["web"].reaches(db.host, 80, family)
    assert network["other"].misses(db.host, 80, family)
    server.close()


def test_full_can_block_ipv6_whole(network: Network, db: ProtectedHost) -> None:
    """The rule that allows web holds for IPv4 alone."""
    servers = [db.host.listen(80, family) for family in (4, 6)]
    rules = policy(
        "full",
        {"web": both(network, "web")},
        allow(["web"]),
        firewall=Firewall(ipv6="blocked_in_full"),
    )
    db.apply(rules)
    assert network["web"].reaches(db.host, 80, 4)
    assert network["web"].misses(db.host, 80, 6)
    for server in servers:
        server.close()


@FAMILIES
def test_ping_is_a_service(network: Network, db: ProtectedHost, family: int) -> None:
    """Echo requests pass by their type; the answers pass because they are answers."""
    db.apply(policy("full", {"web": both(network, "web")}, allow(["web"], PING, PING6)))
    assert network["web"].pings(db.host, family)
    assert not network["other"].pings(db.host, family)
    assert not db.host.pings(network["web"], family)
    assert db.drop(direction="I").icmp_type == (8 if family == 4 else 128)


@FAMILIES
def test_udp_is_judged_like_tcp(network: Network, db: ProtectedHost, family: int) -> None:
    """A datagram of the allowed peer arrives, and the answer to it."""
    db.apply(
        policy("full", {"web": both(network, "web")}, allow(["web"], Service(proto=17, port=53)))
    )
    server = db.host.listen(53, family, socket.SOCK_DGRAM)
    for name in ("other", "web"):
        client = network[name].listen(5353, family, socket.SOCK_DGRAM)
        client.sendto(name.encode(), (db.host.address(family), 53))
        if name == "web":
            data, sender = server.recvfrom(100)
            assert data == b"web"  # the other one's came first and did not arrive
            server.sendto(b"answer", sender)
            assert client.recv(100) == b"answer"
        client.close()
    assert db.drop(proto=17, dst_port=53).direction == "I"
    server.close()


def test_neighbours_are_found_under_full_enforcement(network: Network, db: ProtectedHost) -> None:
    """IPv6 works although both sides have forgotten each other's link address."""
    server = db.host.listen(80, 6)
    db.apply(policy("full", {"web": both(network, "web")}, allow(["web"], HTTP)))
    for host in (network["web"], db.host):
        host.run("ip", "-6", "neigh", "flush", "dev", "eth0")
    assert network["web"].reaches(db.host, 80, 6)
    server.close()


def test_the_host_reaches_itself_under_full_enforcement(db: ProtectedHost) -> None:
    """Through the loopback interface, by any of its addresses."""
    servers = [db.host.listen(80, family) for family in (4, 6)]
    db.apply(policy("full", {}))
    assert db.host.reaches(db.host, 80, 4)
    assert db.host.reaches(db.host, 80, 6)
    for server in servers:
        server.close()


@FAMILIES
def test_the_pce_is_reached_whatever_the_policy_says(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """Its address and port, nothing else of it, and nobody comes in that way."""
    web = network["web"]
    servers = [host.listen(port, family) for host in (web, db.host) for port in (8443, 80)]
    db.apply(
        policy(
            "full",
            {"any": ["0.0.0.0/0", "::/0"]},
            allow(["any"], action="override_deny"),
            allow(["any"], action="override_deny", direction="out"),
        ),
        [Endpoint(web.address(family), socket.IPPROTO_TCP, 8443)],
    )
    assert db.host.reaches(web, 8443, family)
    assert db.host.misses(web, 80, family)
    assert web.misses(db.host, 8443, family)
    for server in servers:
        server.close()


def test_the_pce_speaks_first_on_a_channel_opened_under_the_first_policy(
    network: Network, db: ProtectedHost
) -> None:
    """A silent connection to the PCE outlives the step to full enforcement when conntrack saw its
    beginning; one that is older does not, which is why the VEN renews its bolt channel."""
    web, pce = network["web"], [Endpoint(network["web"].ipv4, socket.IPPROTO_TCP, 8443)]
    server = web.listen(8443)
    with db.host.connect(web, 8443) as older, server.accept()[0] as to_older:
        db.apply(policy("visibility_only", {}), pce)
        with db.host.connect(web, 8443) as client, server.accept()[0] as to_client:
            db.apply(policy("full", {}), pce)
            to_older.sendall(b"bolt")
            to_client.sendall(b"bolt")
            assert client.recv(10) == b"bolt"
            older.settimeout(0.5)
            with pytest.raises(TimeoutError):
                older.recv(10)
    server.close()


def test_idle_has_no_table(network: Network, db: ProtectedHost) -> None:
    """The way to idle takes the table away, and everything passes."""
    server = db.host.listen(80)
    db.apply(policy("full", {}))
    assert network["web"].misses(db.host, 80)
    db.apply(policy("idle", {}))
    assert "inet ven" not in db.nft("list", "tables")
    assert network["web"].reaches(db.host, 80)
    server.close()


def test_any_protocol_includes_those_without_ports(network: Network, db: ProtectedHost) -> None:
    """A protocol that nobody knows is judged by address."""
    db.apply(policy("full", {"web": both(network, "web")}, allow(["web"])))
    with db.host.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
    receiver.settimeout(5)
    for name in ("other", "web"):
        with network[name].entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
        sender.sendto(b"hello", (db.host.ipv4, 0))
        sender.close()
    assert receiver.recv(100)[12:16] == socket.inet_aton(network["web"].ipv4)
    eventually(lambda: db.drop(proto=253))
    receiver.close()
