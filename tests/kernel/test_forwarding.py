"""What a host forwards to and from its containers, and whose firewall goes first, with packets."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, policy
from ven.core.kernel import Decision, Drop
from ven.core.ruleset import compile_ruleset
from ven.edge.interfaces import read_container_links
from ven_protocol.policy import Firewall, PolicyDocument

INHERIT = Firewall(containers="by_policy")
PUBLISHED = 8080


@pytest.fixture(scope="module")
def box(network: Network) -> Iterator[Host]:
    """A container of ``db``: behind a link of its own, port 80 published as 8080, its addresses
    translated on the way out."""
    db, web = network["db"], network["web"]
    box = Host(f"{network.id}-box", "172.29.0.2", "fd29::2")
    for command in (
        f"netns add {box.namespace}",
        f"-n {db.namespace} link add c0 type veth peer name eth0 netns {box.namespace}",
        f"-n {db.namespace} link set c0 up",
        f"-n {db.namespace} addr add 172.29.0.1/24 dev c0",
        f"-n {db.namespace} addr add fd29::1/64 dev c0 nodad",
        f"-n {db.namespace} route add default via {web.ipv4}",
        f"-n {box.namespace} link set lo up",
        f"-n {box.namespace} link set eth0 up",
        f"-n {box.namespace} addr add {box.ipv4}/24 dev eth0",
        f"-n {box.namespace} addr add {box.ipv6}/64 dev eth0 nodad",
        f"-n {box.namespace} route add default via 172.29.0.1",
        f"-n {box.namespace} -6 route add default via fd29::1",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    db.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    yield box


@pytest.fixture
def host(db: ProtectedHost, box: Host) -> ProtectedHost:
    db.nft(
        "table inet nat {"
        f" chain pre {{ type nat hook prerouting priority -100; iifname eth0 tcp dport {PUBLISHED}"
        f" dnat ip to {box.ipv4}:80; }};"
        f" chain pre6 {{ type nat hook prerouting priority -100; iifname eth0 tcp dport {PUBLISHED}"
        f" dnat ip6 to [{box.ipv6}]:80; }};"
        " chain post { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }"
    )
    return db


def enforce(host: ProtectedHost, document: PolicyDocument, *links: str) -> None:
    host.load(compile_ruleset(document, containers=links or ("c0",)))


@pytest.mark.parametrize("family", [4, 6])
def test_a_container_follows_its_hosts_rules_where_it_inherits_them(
    network: Network, host: ProtectedHost, box: Host, family: int
) -> None:
    """In full enforcement: whom the host lets in reaches the published port, another does not, and
    is told as blocked; out, the container gets where the host may go."""
    web, other = network["web"], network["other"]
    sets = {"web": [web.ipv4, web.ipv6]}
    rules = allow(["web"], HTTP), allow(["web"], HTTP, direction="out")
    with (
        closing(box.listen(80, family)),
        closing(web.listen(80, family)),
        closing(other.listen(80, family)),
    ):
        enforce(host, policy("full", sets, *rules, firewall=INHERIT))
        assert web.reaches(host.host, PUBLISHED, family)
        assert other.misses(host.host, PUBLISHED, family)
        source = socket.inet_pton(
            socket.AF_INET if family == 4 else socket.AF_INET6, other.address(family)
        )
        refused = [d for d in counted(host) if d.src == source]
        assert refused and refused[0].decision == Decision.BLOCKED
        assert refused[0].direction == "I" and refused[0].dst_port == 80
        assert box.reaches(web, 80, family)
        assert box.misses(other, 80, family)


def test_a_container_that_inherits_nothing_is_left_alone(
    network: Network, host: ProtectedHost, box: Host
) -> None:
    """Under full enforcement of its host that allows nobody anything."""
    with closing(box.listen(80)), closing(network["web"].listen(80)):
        enforce(host, policy("full", {}))
        assert network["web"].reaches(host.host, PUBLISHED)
        assert box.reaches(network["web"], 80)


def test_a_revoked_peers_connection_to_a_container_is_cut(
    network: Network, host: ProtectedHost, box: Host
) -> None:
    """At its next packet, like one to the host."""
    web = network["web"]
    with closing(box.listen(80)) as server:
        enforce(host, policy("full", {"web": [web.ipv4]}, allow(["web"], HTTP), firewall=INHERIT))
        with closing(web.connect(host.host, PUBLISHED)) as client, server.accept()[0] as served:
            client.sendall(b"before")
            assert served.recv(10) == b"before"
            enforce(host, policy("full", {}, firewall=INHERIT))
            served.settimeout(0.4)
            client.sendall(b"after")
            with pytest.raises(TimeoutError):
                served.recv(10)


def test_what_passes_by_is_forwarded(network: Network, host: ProtectedHost, box: Host) -> None:
    """Between links that lead to no container, whatever the policy, and from container to
    container."""
    enforce(host, policy("full", {}, firewall=INHERIT), "elsewhere0")
    with closing(box.listen(80)):
        assert network["web"].reaches(host.host, PUBLISHED)
    enforce(host, policy("full", {}, firewall=INHERIT), "c0", "eth0")
    with closing(box.listen(80)):
        assert network["web"].reaches(host.host, PUBLISHED)


def test_container_links_are_those_that_do_not_lead_to_the_world(
    host: ProtectedHost, box: Host
) -> None:
    """The host's ends of containers' links; not the link with the default route."""
    with host.host.entered():
        assert read_container_links() == ["c0"]


@pytest.mark.parametrize("order", ["first", "last"])
def test_whose_firewall_goes_first(network: Network, db: ProtectedHost, order: str) -> None:
    """What another table drops reaches no peer either way; our log has it only when we are asked
    first. Changing the order changes nothing of what is enforced."""
    web = network["web"]
    db.nft(
        "table inet theirs { chain i { type filter hook input priority 0; tcp dport 81 drop; }; }"
    )
    document = policy("full", {}, firewall=Firewall(order=order))  # type: ignore[arg-type]
    db.apply(policy("full", {}, firewall=Firewall(order="last" if order == "first" else "first")))
    db.apply(document)
    assert "late_in" in db.nft("list", "table", "inet", "ven") or order == "first"
    assert web.misses(db.host, 81) and web.misses(db.host, 82)
    assert db.drop(direction="I", proto=6, dst_port=82).decision == Decision.BLOCKED
    logged = {drop.dst_port for drop in db.dropped}
    assert (81 in logged) is (order == "first")


def counted(host: ProtectedHost) -> list[Drop]:
    """Refused packets that the kernel counted."""
    with host.host.entered():
        return host.firewall.drain_drops()
