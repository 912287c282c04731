"""What the kernel tells: connections with bytes, refused packets to the last one, other hands."""

import contextlib
import socket
import struct
import threading
from pathlib import Path

import pytest

from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, eventually, policy
from ven.core.kernel import Decision, Kernel
from ven.core.table import LOG_BURST
from ven.edge import conntrack
from ven.edge.interfaces import InterfaceEvents, read_interfaces
from ven.edge.linux import LinuxKernel
from ven.edge.nflog import DropLog
from ven.edge.processes import open_ports
from ven.edge.table_watch import TableWatch
from ven_protocol.messages import Interface
from ven_protocol.policy import Service

UDP53 = Service(proto=17, port=53)


def delete_connections(db: ProtectedHost) -> None:
    """Their ends are told at once instead of after their time-outs."""
    db.host.run("conntrack", "-F")


def measured(network: Network, name: str, chain: str) -> int:
    """IP-level bytes that a host's own nft counted in one direction."""
    listing = network[name].run("nft", "list", "chain", "inet", "measure", chain)
    return int(listing.split("bytes ")[1].split()[0])


@pytest.mark.parametrize("family", [4, 6])
def test_the_end_of_a_connection_tells_its_bytes(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """Both directions, headers included, equal to what the other host's firewall counted."""
    web = network["web"]
    db.apply(policy("full", {"web": [web.address(family)]}, allow(["web"], HTTP)))
    web.run(
        "nft",
        "table inet measure {"
        " chain sent { type filter hook output priority 300; tcp dport 80 counter; };"
        " chain got { type filter hook input priority 300; tcp sport 80 counter; }; }",
    )
    with contextlib.closing(db.host.listen(80, family)) as listening:
        client = web.connect(db.host, 80, family)
        server, _ = listening.accept()
    began = db.connection(phase="new", dst_port=80, src_port=client.getsockname()[1])
    client.sendall(bytes(300_000))
    received = 0
    while received < 300_000:
        received += len(server.recv(65_536))
    server.sendall(b"thank you")
    assert client.recv(100) == b"thank you"
    for end in (client, server):
        end.close()
    eventually(lambda: [c for c in db.live() if c.id == began.id and c.closed])
    delete_connections(db)
    ended = db.ending(id=began.id)
    assert ended.bytes_to_dst == measured(network, "web", "sent") > 300_000
    assert ended.bytes_to_src == measured(network, "web", "got") > 9
    assert ended.closed
    assert ended.decision == Decision.ALLOWED
    assert (ended.src, ended.dst, ended.src_port) == (began.src, began.dst, began.src_port)
    assert ended.started is not None and ended.ended is not None
    assert ended.started < ended.ended
    web.run("nft", "delete", "table", "inet", "measure")


def test_datagrams_are_counted_exactly(network: Network, db: ProtectedHost) -> None:
    """Each has a header of 28 bytes; the dump shows the same while the connection lives."""
    web = network["web"]
    db.apply(policy("full", {"web": [web.ipv4]}, allow(["web"], UDP53)))
    with (
        contextlib.closing(db.host.listen(53, kind=socket.SOCK_DGRAM)) as server,
        contextlib.closing(web.listen(5353, kind=socket.SOCK_DGRAM)) as client,
    ):
        for size in (0, 1, 100, 1400):
            client.sendto(bytes(size), (db.host.ipv4, 53))
            _, peer = server.recvfrom(2000)
        server.sendto(bytes(500), peer)
        assert len(client.recv(2000)) == 500
    (live,) = db.live()
    assert (live.bytes_to_dst, live.bytes_to_src) == (1501 + 4 * 28, 528)
    assert not live.closed
    delete_connections(db)
    ended = db.ending(id=live.id)
    assert (ended.bytes_to_dst, ended.bytes_to_src) == (1501 + 4 * 28, 528)


def test_an_open_connection_that_is_forgotten_was_not_closed(
    network: Network, db: ProtectedHost
) -> None:
    """Its peers did not say goodbye."""
    db.apply(policy("visibility_only", {}))
    with contextlib.closing(db.host.listen(80)):
        client = network["web"].connect(db.host, 80)
        began = db.connection(dst_port=80)
        delete_connections(db)
        assert not db.ending(id=began.id).closed
        client.close()


def test_a_redirected_connection_names_the_real_service(
    network: Network, db: ProtectedHost
) -> None:
    """The policy judges the port that listens, and the record names it."""
    web = network["web"]
    db.nft(
        "table ip nat { chain c { type nat hook prerouting priority -100;"
        " tcp dport 80 redirect to :8080; }; }"
    )
    db.apply(policy("full", {"web": [web.ipv4]}, allow(["web"], Service(proto=6, port=8080))))
    with contextlib.closing(db.host.listen(8080)):
        web.connect(db.host, 80).close()
        seen = db.connection(src=socket.inet_aton(web.ipv4))
    assert (seen.dst_port, seen.decision) == (8080, Decision.ALLOWED)


def test_lost_events_are_told(
    network: Network, db: ProtectedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A buffer that overran says so once, and reading goes on."""
    monkeypatch.setattr(conntrack, "EVENT_BUFFER_BYTES", 4096)
    db.apply(policy("visibility_only", {}))
    with db.host.entered():
        events = conntrack.ConnectionEvents()
    with contextlib.closing(network["web"].listen(5353, kind=socket.SOCK_DGRAM)) as client:
        for port in range(1000, 1200):
            client.sendto(b"", (db.host.ipv4, port))
    drained = events.drain()
    assert drained.lost
    assert 0 < len(drained.items) < 200
    assert not events.drain().lost
    events.close()


def send(network: Network, db: ProtectedHost, count: int, name: str = "other") -> None:
    with contextlib.closing(network[name].listen(5353, kind=socket.SOCK_DGRAM)) as client:
        for number in range(count):
            client.sendto(b"", (db.host.ipv4, 2000 + number % 50))


def test_every_refused_packet_is_told_once(network: Network, db: ProtectedHost) -> None:
    """Ten times as many as are logged one by one: logged and counted together are all of them, each
    port with its own."""
    db.apply(policy("full", {}))
    sent = 10 * LOG_BURST
    send(network, db, sent)
    totals: dict[int, int] = {}

    def told() -> int:
        db.observe()
        with db.host.entered():
            db.dropped += db.firewall.drain_drops()
        for drop in db.dropped:
            assert (drop.direction, drop.proto, drop.qualifier) == ("I", 17, 0)
            assert drop.src == socket.inet_aton(network["other"].ipv4)
            totals[drop.dst_port] = totals.get(drop.dst_port, 0) + drop.count
        db.dropped.clear()
        return sum(totals.values())

    assert eventually(lambda: told() == sent)
    assert totals == {2000 + n: sent // 50 for n in range(50)}
    assert db.log.lost == 0


def test_no_refused_packet_is_lost_between_two_readings(
    network: Network, db: ProtectedHost
) -> None:
    """Read again and again, with policy changes in between, while packets come in."""
    db.apply(policy("full", {"x": ["10.0.0.1"]}, allow(["x"])))
    sent = 20_000
    sender = threading.Thread(target=send, args=(network, db, sent))
    counted = rounds = 0
    with db.host.entered():
        sender.start()
        while sender.is_alive() or rounds < 3:
            rounds += 1
            counted += sum(drop.count for drop in db.firewall.drain_drops())
            db.apply(policy("full", {"x": [f"10.0.0.{rounds % 9}"]}, allow(["x"])))
            db.observe()
        sender.join()

    def told() -> bool:
        nonlocal counted
        with db.host.entered():
            counted += sum(drop.count for drop in db.firewall.drain_drops())
        db.observe()
        return counted + len(db.dropped) == sent

    assert eventually(told), (counted, len(db.dropped), sent)
    assert counted > 0


@pytest.mark.parametrize("family", [4, 6])
def test_counted_drops_carry_everything(network: Network, db: ProtectedHost, family: int) -> None:
    """Direction, reason, service and ICMP type of what was above the logging rate."""
    other = network["other"]
    addresses = {"other": [other.ipv4, other.ipv6]}
    db.apply(
        policy(
            "full",
            addresses,
            allow(["other"], UDP53, action="deny"),
            allow(["other"], Service(proto=1), Service(proto=58), action="override_deny"),
            allow(["other"], UDP53, action="override_deny", direction="out"),
        )
    )
    # Too many of one kind, so that every other kind is above the rate.
    send(network, db, 5 * LOG_BURST)
    af = socket.AF_INET if family == 4 else socket.AF_INET6
    ours = socket.inet_pton(af, db.host.address(family))
    theirs = socket.inet_pton(af, other.address(family))
    wanted = {
        ("I", 17, theirs, ours, 53, None, 1),
        ("I", 1 if family == 4 else 58, theirs, ours, 0, 8 if family == 4 else 128, 2),
        ("O", 17, ours, theirs, 53, None, 2),
    }
    seen: set[tuple[object, ...]] = set()

    def all_seen() -> bool:
        send(network, db, LOG_BURST)
        with (
            contextlib.closing(other.listen(5353, family, socket.SOCK_DGRAM)) as there,
            contextlib.closing(db.host.listen(5353, family, socket.SOCK_DGRAM)) as here,
        ):
            there.sendto(b"", (db.host.address(family), 53))
            with contextlib.suppress(PermissionError):
                here.sendto(b"", (other.address(family), 53))
        with other.entered():
            echo = socket.socket(af, socket.SOCK_RAW, 1 if family == 4 else 58)
        kind = 8 if family == 4 else 128
        # The kernel fills in the checksum of ICMPv6; that of ICMP is that of this header alone.
        echo.sendto(struct.pack(">BBHHH", kind, 0, 0xF7FF, 0, 0), (db.host.address(family), 0))
        echo.close()
        with db.host.entered():
            for drop in db.firewall.drain_drops():
                assert drop.decision == Decision.BLOCKED
                seen.add(
                    (
                        drop.direction,
                        drop.proto,
                        drop.src,
                        drop.dst,
                        drop.dst_port,
                        drop.icmp_type,
                        drop.qualifier,
                    )
                )
        return wanted <= seen

    assert eventually(all_seen)


def test_nothing_to_count_is_cheap(db: ProtectedHost) -> None:
    """Without refused packets the sets are not exchanged: no commit, no waiting."""
    db.apply(policy("full", {}))
    before = db.nft("-a", "list", "chain", "inet", "ven", "count")
    with db.host.entered():
        assert db.firewall.drain_drops() == []
    assert db.nft("-a", "list", "chain", "inet", "ven", "count") == before


def test_a_group_that_is_taken_is_named(db: ProtectedHost) -> None:
    """Two programs cannot read one NFLOG group."""
    with db.host.entered(), pytest.raises(OSError, match="NFLOG group 4713"):
        DropLog()


def test_other_hands_on_our_table_are_named(db: ProtectedHost) -> None:
    """Their commits to our table are told with their program, those to theirs are not, and our own
    small changes are not either."""
    rules = allow(["x"], HTTP)
    db.apply(policy("full", {"x": ["10.0.0.1"]}, rules))
    with db.host.entered():
        watch = TableWatch(db.firewall.port)
    db.nft("add table inet theirs")
    db.apply(policy("full", {"x": ["10.0.0.2"]}, rules))
    assert watch.drain().items == []
    db.nft("flush chain inet ven judge_in")
    (change,) = eventually(lambda: watch.drain().items)
    assert change.process_name == "nft"
    db.nft("flush ruleset")
    (change,) = eventually(lambda: watch.drain().items)
    assert change.process_name == "nft"
    watch.close()


def test_interfaces_are_read_and_their_changes_told(network: Network, db: ProtectedHost) -> None:
    """Addresses, gateway, link state and kind; a new address wakes the reader."""
    db.host.run("ip", "route", "add", "default", "via", network["web"].ipv4)
    with db.host.entered():
        events = InterfaceEvents()
        before = read_interfaces()
    (found,) = (interface for interface in before if interface.address == db.host.ipv4)
    assert found == Interface(
        name="eth0",
        address=db.host.ipv4,
        cidr_block=24,
        default_gateway_address=network["web"].ipv4,
        link_state="up",
        loopback=False,
        kind="virtual",
    )
    assert {i.name for i in before if i.loopback} == {"lo"}
    assert events.drain().items == []
    db.host.run("ip", "address", "add", "10.78.0.1/16", "dev", "eth0")
    assert eventually(lambda: events.drain().items) == [None]
    with db.host.entered():
        after = read_interfaces()
    assert {i.address for i in after} - {i.address for i in before} == {"10.78.0.1"}
    assert [(i.name, i.address) for i in after] == sorted((i.name, i.address) for i in after)
    db.host.run("ip", "link", "set", "eth0", "down")
    with db.host.entered():
        assert {i.link_state for i in read_interfaces() if i.name == "eth0"} == {"down"}
    db.host.run("ip", "link", "set", "eth0", "up")
    db.host.run("ip", "address", "delete", "10.78.0.1/16", "dev", "eth0")
    db.host.run("ip", "address", "replace", f"{db.host.ipv6}/64", "dev", "eth0", "nodad")
    eventually(lambda: network["web"].pings(db.host))
    events.close()


def test_listening_sockets_and_their_processes(db: ProtectedHost) -> None:
    """Of this network alone, with the process that waits there; a connected socket is none."""
    with (
        contextlib.closing(db.host.listen(80)),
        contextlib.closing(db.host.listen(53, 6, socket.SOCK_DGRAM)),
        db.host.entered(),
    ):
        ports, processes = open_ports()
    assert [(p.protocol, p.address, p.port) for p in ports] == [(6, "0.0.0.0", 80), (17, "::", 53)]
    assert {p.user for p in ports} == {"root"}
    assert len(processes) == 1
    assert processes[0].name == ports[0].process_name
    assert processes[0].path


@pytest.mark.parametrize("family", [4, 6])
def test_idle_hosts_tell_their_open_connections(
    network: Network, tmp_path: Path, family: int
) -> None:
    """Without a table nothing is tracked; the sockets say who opened what, an IPv4 connection to an
    IPv6 socket included."""
    web, db = network["web"], network["db"]
    with db.entered():
        kernel = LinuxKernel(tmp_path)
        kernel.apply(policy("idle", {}))
        both = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
    with contextlib.closing(both), contextlib.closing(web.listen(81, family)):
        inbound = web.connect(db, 80, family)
        outbound = db.connect(web, 81, family)
        with db.entered():
            seen = {(c.src, c.dst, c.src_port, c.dst_port, c.decision) for c in kernel.dump()}
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        ours, theirs = (
            socket.inet_pton(af, address) for address in (db.address(family), web.address(family))
        )
        ports = [client.getsockname()[1] for client in (inbound, outbound)]
        assert seen == {
            (theirs, ours, ports[0], 80, Decision.UNKNOWN),
            (ours, theirs, ports[1], 81, Decision.UNKNOWN),
        }
        for client in (inbound, outbound):
            client.close()
    kernel.close()


def test_the_real_kernel_fits_its_contract(network: Network, db: ProtectedHost) -> None:
    """All of it through the one class that the agent uses."""
    db.log.close()
    with db.host.entered():
        kernel: Kernel = LinuxKernel(db.state_dir)
        try:
            connections, drops = kernel.connections(), kernel.drops()
            kernel.protect([(network["web"].ipv4, 8443)])
            assert (
                kernel.apply(policy("full", {"w": [network["web"].ipv4]}, allow(["w"], HTTP))) > 0
            )
            assert kernel.intact()
            assert "lifeline4_6_8443" in kernel.listing()
            with contextlib.closing(db.host.listen(80)):
                assert network["web"].reaches(db.host, 80)
            assert connections.drain().items[0].decision == Decision.ALLOWED
            assert any(True for _ in kernel.dump())
            send(network, db, 3 * LOG_BURST)
            total = 0

            def counted() -> bool:
                nonlocal total
                total += sum(drop.count for drop in drops.drain().items)
                return total == 3 * LOG_BURST

            assert eventually(counted)
            kernel.remove()
            assert kernel.listing() == ""
            for stream in (connections, drops):
                stream.close()
        finally:
            kernel.close()
