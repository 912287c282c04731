"""Sampling in a real kernel: most connections are counted instead of told, and none is both."""

import contextlib
import socket
import struct
from collections import Counter
from ipaddress import ip_address

import pytest

from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, eventually, policy
from ven.core import counting
from ven.core.counting import TELL_ONE_IN
from ven.core.kernel import Decision, Untold
from ven_protocol.policy import Service

UDP53 = Service(proto=17, port=53)


def send_from_ports(host: Host, to: str, ports: range, service: int) -> None:
    """One datagram, so one connection, from each port."""
    header = struct.Struct(">BBHHHBBH4s4s HHHH")
    addresses = ip_address(host.ipv4).packed, ip_address(to).packed
    with host.entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with contextlib.closing(raw):
        for port in ports:
            packet = header.pack(0x45, 0, 28, 0, 0, 64, 17, 0, *addresses, port, service, 8, 0)
            raw.sendto(packet, (to, 0))


def untold(db: ProtectedHost) -> list[Untold]:
    with db.host.entered():
        return db.firewall.drain_begun()


@pytest.fixture
def sampling(db: ProtectedHost, network: Network) -> ProtectedHost:
    """A host in sampling mode that lets ``web`` in."""
    web = network["web"]
    rules = allow(["web"], UDP53, HTTP, Service(proto=1))
    db.apply(policy("full", {"web": [web.ipv4, web.ipv6]}, rules))
    with db.host.entered():
        db.firewall.sample(on=True)
    return db


def test_every_connection_is_told_or_counted(network: Network, sampling: ProtectedHost) -> None:
    """Four thousand of them, read while they come: the sum is exact, and about one in 64 is told.
    What is counted carries decision, direction and service."""
    web, wanted = network["web"], 4_000
    counts: Counter[tuple[str, int, bytes, bytes, int, Decision]] = Counter()

    def take() -> None:
        for found in untold(sampling):
            key = found.direction, found.proto, found.src, found.dst, found.dst_port, found.decision
            counts[key] += found.count
        sampling.observe()

    for first in range(10_000, 10_000 + wanted, 500):
        send_from_ports(web, sampling.host.ipv4, range(first, first + 500), 53)
        take()

    def told_or_counted() -> int:
        take()
        return len(sampling.began) + counts.total()

    assert eventually(lambda: told_or_counted() == wanted), (len(sampling.began), counts)
    ends = ip_address(web.ipv4).packed, ip_address(sampling.host.ipv4).packed
    assert list(counts) == [("I", 17, *ends, 53, Decision.ALLOWED)]
    # Binomial: 62.5 with a deviation of 8.
    assert 62 - 6 * 8 < len(sampling.began) < 62 + 6 * 8
    live = [c for c in sampling.live() if c.dst_port == 53]
    assert len(live) == wanted
    assert sum(c.untold for c in live) == counts.total()


def test_untold_connections_send_no_events_and_pass_like_any(
    network: Network, sampling: ProtectedHost
) -> None:
    """Both families; also after the policy has changed under them and sampling is over."""
    web = network["web"]
    clients = []
    for family in (4, 6):
        with contextlib.closing(sampling.host.listen(80, family)):
            clients += [web.connect(sampling.host, 80, family) for _ in range(20)]
    sampling.observe()
    counted = sum(found.count for found in untold(sampling))
    assert counted + len(sampling.began) == 40
    assert counted > 30
    silent = {c.id for c in sampling.live() if c.untold}
    with sampling.host.entered():
        sampling.firewall.sample(on=False)
    peers = {"web": [web.ipv4, web.ipv6, "10.1.1.1"]}
    sampling.apply(policy("full", peers, allow(["web"], HTTP)))
    for client in clients:
        client.close()
    assert {c.id for c in sampling.live() if c.untold} == silent
    with contextlib.closing(sampling.host.listen(80)):
        web.connect(sampling.host, 80).close()
    sampling.observe()
    assert untold(sampling) == []
    sampling.host.run("conntrack", "-F")
    eventually(lambda: sampling._find(sampling.ended, {"id": sampling.began[-1].id}))
    assert not silent & {c.id for c in sampling.ended}


def test_what_cannot_be_counted_is_told(
    network: Network, db: ProtectedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full set, filled by forged sources or ports, costs CPU and no count."""
    monkeypatch.setattr(counting, "MAX_KEYS", 10)
    db.apply(policy("visibility_only", {}))
    with db.host.entered():
        db.firewall.sample(on=True)
    for service in range(2_000, 2_300):
        send_from_ports(network["web"], db.host.ipv4, range(999, 1_000), service)
    db.observe()
    counted = untold(db)
    assert len(counted) == 10
    assert {found.decision for found in counted} == {Decision.POTENTIALLY_BLOCKED}
    assert sum(found.count for found in counted) + len(db.began) == 300


def test_refused_connections_are_never_sampled(network: Network, sampling: ProtectedHost) -> None:
    """Each refused packet is told or counted as such, in sampling mode as ever."""
    send_from_ports(network["other"], sampling.host.ipv4, range(5_000, 5_100), 53)

    def all_told() -> bool:
        sampling.observe()
        return len(sampling.dropped) == 100

    assert eventually(all_told)
    assert untold(sampling) == []
    assert sampling.began == []


def test_the_host_with_itself_is_neither_told_nor_counted(sampling: ProtectedHost) -> None:
    """A proxy on the loopback address is nobody's flow and costs nothing."""
    with contextlib.closing(sampling.host.listen(80)):
        for _ in range(60):
            with sampling.host.entered(), socket.create_connection(("127.0.0.1", 80)):
                pass
    sampling.observe()
    assert sampling.began == []
    assert untold(sampling) == []


def test_users_of_outbound_connections(network: Network, db: ProtectedHost) -> None:
    """Who opened a connection to what, from the kernel: no process is looked for."""
    web = network["web"]
    db.apply(policy("visibility_only", {}))
    with contextlib.closing(web.listen(80)), contextlib.closing(web.listen(81)):
        db.host.connect(web, 80).close()
        nobody = ["setpriv", "--reuid", "nobody", "bash", "-c", f"exec 3<>/dev/tcp/{web.ipv4}/81"]
        db.host.run(*nobody)
    packed = ip_address(web.ipv4).packed
    with db.host.entered():
        found = db.firewall.users()
    assert found == {(packed, 6, 80): 0, (packed, 6, 81): 65534}


def test_one_in_so_many(sampling: ProtectedHost) -> None:
    """The rule and the estimate speak of the same share."""
    listing = sampling.nft("list", "chain", "inet", "ven", "begun_a")
    assert f"numgen random mod {TELL_ONE_IN} 0 return" in listing
