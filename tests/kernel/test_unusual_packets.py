"""Packets that are not what a well-behaved client sends, or not when: nothing of them opens what
the policy closes, and nothing closes what it opens."""

import contextlib
import socket
import struct
from errno import EISCONN

import pytest

from pce.policy.traffic import Traffic
from tests.kernel.attempts import icmp_query
from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, eventually, policy
from ven_protocol.policy import PolicyDocument, Rule, RuleAction, Service

FAMILIES = pytest.mark.parametrize("family", [4, 6])
DNS = Service(proto=17, port=53)


def peers(network: Network) -> dict[str, list[str]]:
    return {name: sorted((network[name].ipv4, network[name].ipv6)) for name in ("web", "other")}


def with_peers(network: Network, mode: str, *rules: Rule) -> PolicyDocument:
    return policy(mode, peers(network), *rules)  # type: ignore[arg-type]


@FAMILIES
def test_fragments_are_judged_as_one(network: Network, db: ProtectedHost, family: int) -> None:
    """A datagram of three fragments arrives whole or not at all; only its first part names the
    port, and the log knows it."""
    db.apply(with_peers(network, "full", allow(["web"], DNS)))
    with contextlib.closing(db.host.listen(53, family, socket.SOCK_DGRAM)) as server:
        for name in ("other", "web"):
            with contextlib.closing(
                network[name].listen(5353, family, socket.SOCK_DGRAM)
            ) as client:
                client.sendto(name.encode() * 1000, (db.host.address(family), 53))
        data, sender = server.recvfrom(9000)
        assert data == b"web" * 1000
        server.sendto(data, sender)  # and so is the answer
    assert db.drop(proto=17, dst_port=53).direction == "I"


@pytest.mark.parametrize("option", [socket.IPV6_HOPOPTS, socket.IPV6_DSTOPTS])
@pytest.mark.parametrize("mode", ["selective", "full"])
def test_extension_headers_hide_nothing(
    network: Network, db: ProtectedHost, option: int, mode: str
) -> None:
    """Ports are found behind them: of the peer that is allowed it passes, of the other it does
    not."""
    db.apply(
        with_peers(network, mode, allow(["web"], DNS), allow(["other", "web"], DNS, action="deny"))
    )
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])  # an extension header of one option that does nothing
    with contextlib.closing(db.host.listen(53, 6, socket.SOCK_DGRAM)) as server:
        for name in ("other", "web"):
            with contextlib.closing(network[name].listen(5353, 6, socket.SOCK_DGRAM)) as client:
                client.setsockopt(socket.IPPROTO_IPV6, option, padding)
                client.sendto(name.encode(), (db.host.ipv6, 53))
        assert server.recv(100) == b"web"
    refused = db.drop(proto=17, dst_port=53)
    assert refused.src == socket.inet_pton(socket.AF_INET6, network["other"].ipv6)


@FAMILIES
def test_errors_of_a_connection_reach_who_opened_it(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """A datagram to a port that nobody listens on is answered by ICMP, which the sender hears."""
    db.apply(with_peers(network, "full", allow(["web"], DNS, direction="out")))
    domain = socket.AF_INET if family == 4 else socket.AF_INET6
    with db.host.entered(), contextlib.closing(socket.socket(domain, socket.SOCK_DGRAM)) as client:
        client.settimeout(5)
        client.connect((network["web"].address(family), 53))
        client.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


class Strays:
    """Echo replies that nobody asked for, which conntrack calls invalid."""

    def __init__(self, source: Host, target: Host, family: int) -> None:
        self.address = target.address(family)
        domain, proto, self.kind = {
            4: (socket.AF_INET, socket.IPPROTO_ICMP, 0),
            6: (socket.AF_INET6, socket.IPPROTO_ICMPV6, 129),
        }[family]
        self.start = 20 if family == 4 else 0
        self.proto = proto
        with source.entered():
            self.sender = socket.socket(domain, socket.SOCK_RAW, proto)
        with target.entered():
            self.receiver = socket.socket(domain, socket.SOCK_RAW, proto)
        self.receiver.settimeout(5)

    def send(self, identifier: int) -> None:
        packet = icmp_query(Traffic(self.proto, icmp_type=self.kind, icmp_code=0), identifier)
        with contextlib.suppress(PermissionError):  # how the output hook says that it dropped it
            self.sender.sendto(packet, (self.address, 0))

    def first(self) -> int:
        """Identifier of the next one that arrives."""
        while True:
            packet = self.receiver.recv(200)
            kind, _code, _checksum, identifier = struct.unpack_from(">BBHH", packet, self.start)
            if kind == self.kind:
                return int(identifier)

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


@FAMILIES
@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("action", ["deny", "override_deny"])
def test_invalid_packets_of_a_denied_peer_do_not_pass(
    network: Network, db: ProtectedHost, family: int, direction: str, action: RuleAction
) -> None:
    """Where a rule denies all traffic with a peer, that is also what belongs to no connection. In
    full enforcement none passes, otherwise all of other peers."""
    other = network["other"]
    ends = (other, db.host) if direction == "in" else (db.host, other)
    with contextlib.closing(Strays(*ends, family)) as strays:
        db.apply(with_peers(network, "full", allow(["other"], direction=direction)))
        strays.send(1)
        db.apply(
            with_peers(network, "selective", allow(["other"], action=action, direction=direction))
        )
        strays.send(2)
        db.apply(
            with_peers(network, "selective", allow(["web"], action=action, direction=direction))
        )
        strays.send(3)
        assert strays.first() == 3
        db.apply(
            with_peers(
                network, "visibility_only", allow(["other"], action=action, direction=direction)
            )
        )
        strays.send(4)
        assert strays.first() == 4


@pytest.mark.parametrize("still_allowed", [True, False])
def test_a_handshake_that_is_under_way_meets_the_new_policy(
    network: Network, db: ProtectedHost, still_allowed: bool
) -> None:
    """The server has answered and its answer was lost; it answers again after the change. Where
    the new policy still allows it the connection is made, else the answer is refused."""
    web = network["web"]
    db.apply(with_peers(network, "full", allow(["web"], HTTP)))
    web.run(
        "nft",
        "table inet lossy { chain c { type filter hook input priority -300;"
        " tcp flags & (syn | ack) == (syn | ack) drop; }; }",
    )
    with contextlib.closing(db.host.listen(80)):
        with web.entered():
            client = socket.socket()
        with contextlib.closing(client):
            client.setblocking(False)
            client.connect_ex((db.host.ipv4, 80))
            db.connection(dst_port=80)  # its first packet was accepted
            named = "web" if still_allowed else "other"
            db.apply(with_peers(network, "full", allow([named], HTTP)))
            web.run("nft", "delete", "table", "inet", "lossy")
            if still_allowed:
                client.settimeout(5)
                assert eventually(lambda: client.connect_ex((db.host.ipv4, 80)) in (0, EISCONN))
            else:
                refused = db.drop(proto=6, dst_port=80)
                assert (refused.direction, refused.src) == ("I", socket.inet_aton(web.ipv4))
                with pytest.raises(OSError, match="not connected"):
                    client.getpeername()
