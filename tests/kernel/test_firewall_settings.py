"""What the firewall settings let pass or refuse beside the rules, with real packets."""

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, eventually, policy
from ven.core.kernel import Decision
from ven_protocol.policy import Firewall, PolicyDocument

FAMILIES = pytest.mark.parametrize("family", [4, 6])
MODES = pytest.mark.parametrize("mode", ["visibility_only", "selective", "full"])
DOMAIN = {4: socket.AF_INET, 6: socket.AF_INET6}
EVERYBODY = {"all": ["0.0.0.0/0", "::/0"]}
ALL_GROUPS, ALL_ROUTERS = "224.0.0.1", "ff02::2"


def nothing_allowed(**settings: object) -> PolicyDocument:
    return policy("full", {}, firewall=Firewall(**settings))  # type: ignore[arg-type]


@contextmanager
def raw(host: Host, family: int, proto: int) -> Iterator[socket.socket]:
    """A socket that sends and receives packets of ``proto`` without their IP header (IPv6)."""
    with host.entered():
        found = socket.socket(DOMAIN[family], socket.SOCK_RAW, proto)
    with closing(found):
        found.settimeout(5)
        yield found


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def icmp(kind: int, code: int, body: bytes) -> bytes:
    """An ICMP message; of ICMPv6 the kernel writes the checksum."""
    zeroed = struct.pack(">BBH", kind, code, 0) + body
    return struct.pack(">BBH", kind, code, checksum(zeroed)) + body


def arrives(
    db: ProtectedHost, source: Host, family: int, proto: int, wanted: bytes, marker: bytes
) -> bool:
    """Whether ``wanted`` from ``source`` gets past the firewall of ``db``; ``marker``, sent after
    it, always does."""
    with raw(db.host, family, proto) as ear, raw(source, family, proto) as mouth:
        for packet in (wanted, marker):
            mouth.sendto(packet, (db.host.address(family), 0))
        seen: list[bytes] = []
        while not (seen and seen[-1][:2] == marker[:2]):
            received, sender = ear.recvfrom(2000)
            if sender[0] == source.address(family):
                seen.append(received[20:] if family == 4 else received)
    return any(packet[:2] == wanted[:2] for packet in seen)


@MODES
def test_ipv6_allowed_passes_whatever_the_rules_say(
    network: Network, db: ProtectedHost, mode: str
) -> None:
    """Both ways, and it is told as allowed; IPv4 is as before."""
    web = network["web"]
    with ExitStack() as opened:
        for host in (web, db.host):
            for family in (4, 6):
                opened.enter_context(closing(host.listen(80, family)))
        db.apply(
            policy(
                mode,  # type: ignore[arg-type]
                EVERYBODY,
                allow(["all"], action="override_deny"),
                allow(["all"], action="override_deny", direction="out"),
                firewall=Firewall(ipv6="allowed"),
            )
        )
        assert web.reaches(db.host, 80, 6)
        assert db.host.reaches(web, 80, 6)
        assert web.pings(db.host, 6)
        address = socket.inet_pton(socket.AF_INET6, web.ipv6)
        assert db.connection(proto=6, src=address).decision == Decision.ALLOWED
        assert db.connection(proto=6, dst=address).decision == Decision.ALLOWED
        assert web.misses(db.host, 80, 4) == (mode != "visibility_only")


@pytest.mark.parametrize("mode", ["visibility_only", "selective"])
def test_ipv6_blocked_in_full_follows_the_rules_in_other_modes(
    network: Network, db: ProtectedHost, mode: str
) -> None:
    """It says what it says: in full enforcement (see test_modes)."""
    with closing(db.host.listen(80, 6)):
        db.apply(
            policy(
                mode,  # type: ignore[arg-type]
                {"other": [network["other"].ipv6]},
                allow(["other"], action="deny"),
                firewall=Firewall(ipv6="blocked_in_full"),
            )
        )
        assert network["web"].reaches(db.host, 80, 6)
        assert network["other"].misses(db.host, 80, 6) == (mode == "selective")


@FAMILIES
@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_rejected_connection_is_told_at_once(
    network: Network, db: ProtectedHost, family: int, direction: str
) -> None:
    """TCP is refused by a reset, UDP by "administratively prohibited"; both are logged as blocked,
    just as what is dropped in silence."""
    web = network["web"]
    source, target = (web, db.host) if direction == "in" else (db.host, web)
    letter = "I" if direction == "in" else "O"
    with closing(target.listen(80, family)):
        db.apply(nothing_allowed(reject_blocked=True, allow_traceroute=False))
        with pytest.raises(ConnectionRefusedError):
            source.connect(target, 80, family)
        assert db.drop(direction=letter, proto=6, dst_port=80).decision == Decision.BLOCKED
        with source.entered():
            client = socket.socket(DOMAIN[family], socket.SOCK_DGRAM)
        with closing(client):
            client.settimeout(5)
            client.connect((target.address(family), 5353))
            # Outbound the call itself fails, as it does for what is dropped.
            told = (errno.EHOSTUNREACH, errno.EACCES) if direction == "in" else (errno.EPERM,)
            with pytest.raises(OSError, match=r"\[Errno") as refused:
                client.send(b"?")
                client.recv(10)
            assert refused.value.errno in told
        assert db.drop(direction=letter, proto=17, dst_port=5353).decision == Decision.BLOCKED
        db.apply(nothing_allowed(reject_blocked=False))
        assert source.misses(target, 80, family)


@FAMILIES
def test_a_revoked_connection_is_reset(network: Network, db: ProtectedHost, family: int) -> None:
    """Its next packet is answered, so that the peer need not wait."""
    web = network["web"]
    allowed = policy("full", {"web": [web.ipv4, web.ipv6]}, allow(["web"], HTTP))
    with closing(db.host.listen(80, family)) as server:
        db.apply(allowed)
        with closing(web.connect(db.host, 80, family)) as client, server.accept()[0]:
            db.apply(nothing_allowed(reject_blocked=True))
            client.sendall(b"more")
            with pytest.raises(ConnectionResetError):
                client.recv(10)


@FAMILIES
def test_traceroute(network: Network, db: ProtectedHost, family: int) -> None:
    """ "Time exceeded" of a router that belongs to no connection passes only when it is allowed;
    "packet too big" always does, because path MTU discovery needs it."""
    proto = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
    inner = bytes(8 + 28 + 20)
    exceeded = icmp(11 if family == 4 else 3, 0, inner)
    too_big = icmp(3, 4, inner) if family == 4 else icmp(2, 0, inner)
    for allowed in (True, False):
        db.apply(nothing_allowed(allow_traceroute=allowed))
        assert arrives(db, network["web"], family, proto, exceeded, too_big) is allowed


def test_igmp(network: Network, db: ProtectedHost) -> None:
    """A router's membership query passes only when it is allowed, or when a rule allows it."""
    query, report = (struct.pack(">BBH4s", kind, 0, 0, bytes(4)) for kind in (0x11, 0x16))
    web = {"web": [network["web"].ipv4]}
    with raw(db.host, 4, socket.IPPROTO_IGMP) as ear:
        ear.settimeout(0.3)
        for document, passes in (
            (nothing_allowed(), True),
            (nothing_allowed(allow_igmp=False), False),
            (policy("full", web, allow(["web"]), firewall=Firewall(allow_igmp=False)), True),
        ):
            db.apply(document)
            with raw(network["web"], 4, socket.IPPROTO_IGMP) as mouth:
                mouth.sendto(query, (db.host.ipv4, 0))
                mouth.sendto(report, (db.host.ipv4, 0))
            assert (hears(ear, network["web"].ipv4)) is passes, document


def hears(ear: socket.socket, sender: str) -> bool:
    """Whether something of ``sender`` comes; all that is there is read."""
    heard = False
    try:
        while True:
            heard = ear.recvfrom(2000)[1][0] == sender or heard
    except TimeoutError:
        return heard


@pytest.mark.parametrize("igmp_allowed", [True, False])
def test_ipv6_finds_its_neighbours_and_joins_groups_under_any_setting(
    network: Network, db: ProtectedHost, igmp_allowed: bool
) -> None:
    """Neighbour discovery works after both sides forgot each other, and so do multicast listener
    reports, without which a switch withholds solicitations."""
    web = network["web"]
    db.apply(
        policy(
            "full",
            {"web": [web.ipv6]},
            allow(["web"], HTTP),
            firewall=Firewall(allow_igmp=igmp_allowed, allow_traceroute=False),
        )
    )
    for host in (web, db.host):
        host.run("ip", "-6", "neigh", "flush", "dev", "eth0")
    with closing(db.host.listen(80, 6)):
        assert web.reaches(db.host, 80, 6)
    counter = "add rule inet watch out icmpv6 type mld2-listener-report counter"
    db.nft("table inet watch { chain out { type filter hook output priority 0; }; }")
    db.nft(counter)
    with db.host.entered():
        member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with closing(member):
        index = struct.pack("=16sI", socket.inet_pton(socket.AF_INET6, "ff05::77"), interface(db))
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, index)
        eventually(lambda: "packets 0 " not in db.nft("list", "chain", "inet", "watch", "out"))


def interface(db: ProtectedHost) -> int:
    with db.host.entered():
        return socket.if_nametoindex("eth0")


DHCP: dict[int, tuple[int, int, Callable[[Host], str]]] = {
    4: (67, 68, lambda host: host.ipv4),
    6: (547, 546, lambda host: link_local(host)),
}


def link_local(host: Host) -> str:
    listed = host.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link")
    return listed.split("inet6 ")[1].split("/")[0]


@FAMILIES
@pytest.mark.parametrize("allowed", [True, False])
def test_dhcp(network: Network, db: ProtectedHost, family: int, allowed: bool) -> None:
    """A server's offer arrives, and the client's question leaves, only when it is allowed."""
    server_port, client_port, address = DHCP[family]
    web = network["web"]
    eventually(lambda: "tentative" not in db.host.run("ip", "-6", "addr", "show", "dev", "eth0"))
    eventually(lambda: "tentative" not in web.run("ip", "-6", "addr", "show", "dev", "eth0"))
    scope = interface(db) if family == 6 else 0
    db.apply(nothing_allowed(allow_dhcp_client=allowed))
    with (
        closing(web.listen(server_port, family, socket.SOCK_DGRAM)) as server,
        closing(db.host.listen(client_port, family, socket.SOCK_DGRAM)) as client,
    ):
        for sender, receiver, target, port in (
            (server, client, db.host, client_port),
            (client, server, web, server_port),
        ):
            to = (address(target), port) if family == 4 else (address(target), port, 0, scope)
            receiver.settimeout(5 if allowed else 0.3)
            try:
                sender.sendto(b"offer", to)
                assert receiver.recv(100) == b"offer"
                passed = True
            except (TimeoutError, PermissionError):
                passed = False
            assert passed is allowed
