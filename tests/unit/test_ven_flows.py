"""The flow ledger: what becomes of connections and drops in a window's summaries."""

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from ven.core import flows
from ven.core.flows import FlowLedger, Owner
from ven.core.kernel import Connection, Decision, Drop
from ven.core.neighbourhood import Neighbourhood, neighbourhood
from ven_protocol.flows import FlowSummary, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts, Interface

HOST, PEER = ip_address("10.0.0.1").packed, ip_address("10.0.0.2").packed
BROADCAST, MULTICAST = ip_address("10.0.0.255").packed, ip_address("224.0.0.251").packed


def ledger(visibility: str = "enhanced_data_collection") -> FlowLedger:
    made = FlowLedger(now=1000)
    made.visibility = visibility
    made.neighbourhood = Neighbourhood(
        own=frozenset({HOST}), broadcast=frozenset({BROADCAST, b"\xff" * 4})
    )
    return made


def connection(id: int = 1, **said: object) -> Connection:
    values = {
        "phase": "new", "id": id, "proto": 6, "src": PEER, "dst": HOST, "src_port": 40_000 + id,
        "dst_port": 443, "decision": Decision.ALLOWED, "started": 1000.0,
    }  # fmt: skip
    return Connection(**(values | said))


def ended(id: int = 1, to_dst: int = 100, to_src: int = 900, **said: object) -> Connection:
    values = {"phase": "end", "bytes_to_dst": to_dst, "bytes_to_src": to_src, "closed": True}
    return connection(id, **(values | said))


def window(
    of: FlowLedger, now: float, *live: Connection, complete: bool = True
) -> list[FlowSummary]:
    of.begin_dump()
    for line in live:
        of.see(replace(line, phase="live"), now)
    of.end_dump(now, complete)
    found = of.close(now)
    # Whatever the ledger says, the wire takes.
    facts = Heartbeat(host=HostFacts(hostname="h", version="1"), uptime_seconds=1)
    encode_batch(1, int(now) - 600, int(now), facts, found)
    return found


def test_closed_connections_of_one_service_are_one_summary() -> None:
    """Counts and bytes add up; source and destination are initiator and responder."""
    made = ledger()
    for id in range(3):
        made.see(connection(id), 1000)
        made.see(ended(id, ended=1002.5), 1003)
    (summary,) = window(made, 1600)
    assert (summary.src_ip, summary.dst_ip, summary.dst_port) == (PEER, HOST, 443)
    assert (summary.dir, summary.state, summary.pd, summary.count) == ("I", "C", 0, 3)
    assert (summary.tbi, summary.tbo, summary.dbi, summary.dbo) == (300, 2700, 300, 2700)
    assert (summary.tdms, summary.ddms) == (7500, 7500)
    assert (summary.first, summary.last) == (1000, 1002)


def test_bytes_are_the_providers_view_whoever_reports() -> None:
    """Outbound or inbound: ``tbi`` is what went to the responder."""
    made = ledger()
    made.see(ended(src=HOST, dst=PEER, to_dst=70, to_src=7000), 1001)
    (summary,) = window(made, 1600)
    assert (summary.dir, summary.tbi, summary.tbo) == ("O", 70, 7000)


def test_long_connection_is_active_each_window_with_deltas_and_then_closed() -> None:
    """Totals grow, deltas are the window's own, and the end brings only the rest."""
    made = ledger()
    made.see(connection(), 1000)
    (first,) = window(made, 1600, connection(bytes_to_dst=100, bytes_to_src=1000))
    (second,) = window(made, 2200, connection(bytes_to_dst=150, bytes_to_src=1000))
    made.see(ended(to_dst=160, to_src=1001, ended=2300.0), 2300)
    (third,) = window(made, 2800)
    assert [s.state for s in (first, second, third)] == ["A", "A", "C"]
    assert [(s.tbi, s.dbi) for s in (first, second, third)] == [(100, 100), (150, 50), (160, 10)]
    assert [(s.tbo, s.dbo) for s in (first, second, third)] == [(1000, 1000), (1000, 0), (1001, 1)]
    assert [s.tdms for s in (first, second, third)] == [600_000, 1_200_000, 1_300_000]
    assert [s.ddms for s in (first, second, third)] == [600_000, 600_000, 100_000]


def test_connection_in_time_wait_is_closed_once() -> None:
    """The dump shows it closed; its late end event is not counted again."""
    made = ledger()
    made.see(connection(), 1000)
    (first,) = window(made, 1600, connection(bytes_to_dst=5, closed=True))
    assert (first.state, first.count) == ("C", 1)
    made.see(ended(), 1700)
    assert window(made, 2200) == []


def test_time_out_is_t_and_udp_too() -> None:
    """An end that the peers did not say is a time-out."""
    made = ledger()
    made.see(ended(closed=False), 1001)
    made.see(ended(2, proto=17, dst_port=53, closed=False), 1001)
    assert sorted((s.proto, s.state) for s in window(made, 1600)) == [(6, "T"), (17, "T")]


def test_lost_end_is_found_by_two_dumps() -> None:
    """A connection that no dump shows any more ended, even if nobody said so; one dump's grace
    lets its event arrive."""
    made = ledger()
    made.see(connection(), 1000)
    seen = replace(connection(), bytes_to_dst=10, decision=Decision.POTENTIALLY_BLOCKED)
    window(made, 1600, seen)
    assert window(made, 2200) == []
    (vanished,) = window(made, 2800)
    assert (vanished.state, vanished.tbi, vanished.dbi, vanished.pd) == ("T", 10, 0, 1)
    assert window(made, 3400) == []


def test_incomplete_dump_makes_nothing_vanish() -> None:
    """What a dump did not get to is not gone."""
    made = ledger()
    window(made, 1600, connection())
    for now in (2200, 2800, 3400):
        assert window(made, now, complete=False) == []
    (still,) = window(made, 4000, connection())
    assert still.state == "A"


def test_reused_identifier_is_another_connection() -> None:
    """The kernel reuses ids; bytes of the earlier one are not subtracted."""
    made = ledger()
    window(made, 1600, connection(7, bytes_to_dst=1_000_000))
    made.see(ended(7, to_dst=5, dst_port=80), 1700)
    (other,) = window(made, 2200)
    assert (other.dst_port, other.dbi) == (80, 5)


def test_idle_mode_reports_snapshots_of_unknown_decision() -> None:
    """Only what lives, state S, pd 3, no byte counts; events do not count."""
    made = ledger()
    made.mode = "idle"
    made.see(connection(), 1000)
    made.see(ended(2), 1001)
    (summary,) = window(made, 1600, connection(bytes_to_dst=9))
    assert (summary.state, summary.pd, summary.tbi) == ("S", 3, None)


def test_drops_are_new_for_tcp_and_nothing_else_is() -> None:
    """Blocked TCP is state N, blocked UDP has none; the reason is kept; owners are not told."""
    made = ledger()
    made.owners = {(6, 22): Owner("sshd", "root")}
    drop = Drop(direction="I", proto=6, src=PEER, dst=HOST, dst_port=22, qualifier=1)
    made.drop(drop, 1001)
    made.drop(replace(drop, count=4), 1002)
    made.drop(replace(drop, proto=17, dst_port=53, qualifier=0), 1003)
    tcp, udp = sorted(window(made, 1600), key=lambda s: s.proto)
    assert (tcp.state, tcp.pd, tcp.pd_qualifier, tcp.count, tcp.process) == ("N", 2, 1, 5, None)
    assert (udp.state, udp.pd, udp.pd_qualifier) == ("", 2, 0)
    assert tcp.tbi is None


def test_potentially_blocked_connections_say_why() -> None:
    """As drops do: no rule, a deny rule, an override deny; each is a summary of its own, whether
    the connection lives, ended or vanished. What is allowed has no reason to give."""
    made = ledger()
    would = {"decision": Decision.POTENTIALLY_BLOCKED}
    made.see(connection(1, qualifier=0, **would), 1000)
    made.see(ended(2, qualifier=1, **would), 1001)
    made.see(ended(3), 1001)
    live = connection(4, qualifier=2, **would)
    made.see(live, 1000)
    found = window(made, 1600, live)
    assert {(s.state, s.pd, s.pd_qualifier) for s in found} == {
        ("C", 1, 1),
        ("C", 0, None),
        ("A", 1, 2),
    }
    (vanished,) = (s for s in window(made, 2200, live) if s.state == "T")
    assert (vanished.pd, vanished.pd_qualifier) == (1, 0)


def test_inbound_connections_name_the_listener() -> None:
    """Process and user of the port that is listened on; nobody's for outbound ones."""
    made = ledger()
    made.owners = {(6, 443): Owner("nginx", "www-data")}
    made.see(ended(), 1001)
    made.see(ended(2, src=HOST, dst=PEER), 1001)
    inbound, outbound = sorted(window(made, 1600), key=lambda s: s.dir)
    assert (inbound.process, inbound.user) == ("nginx", "www-data")
    assert outbound.process is None


def test_outbound_connections_name_the_destination() -> None:
    """As the policy's domain names are known to resolve; of inbound ones nobody asked a name."""
    made = ledger()
    made.names = {PEER: "db.example.com", HOST: "own.example.com"}
    made.see(ended(), 1001)
    made.see(ended(2, src=HOST, dst=PEER), 1001)
    assert {s.dir: s.fqdn for s in window(made, 1600)} == {"I": None, "O": "db.example.com"}


@pytest.mark.parametrize(
    ("visibility", "decisions"),
    [
        ("flow_off", set()),
        ("flow_drops", {1, 2}),
        ("flow_summary", {0, 1, 2}),
        ("flow_full_detail", {0, 1, 2}),
        ("enhanced_data_collection", {0, 1, 2}),
    ],
)
def test_visibility_level_filters(visibility: str, decisions: set[int]) -> None:
    """What is recorded at each level, and bytes only with enhanced data collection."""
    made = ledger(visibility)
    made.see(ended(1), 1001)
    made.see(ended(2, decision=Decision.POTENTIALLY_BLOCKED), 1001)
    made.drop(Drop(direction="O", proto=6, src=HOST, dst=PEER, dst_port=1), 1001)
    found = window(made, 1600)
    assert {summary.pd for summary in found} == decisions
    assert all((s.tbi is not None) == (visibility[:3] == "enh" and s.pd != 2) for s in found)


def test_unicast_multicast_broadcast_and_strangers() -> None:
    """By destination; what merely passes through or stays on the host is nobody's flow."""
    made = ledger()
    other = ip_address("10.9.9.9").packed
    loopback = ip_address("127.0.0.1").packed
    ends = [(PEER, HOST), (PEER, MULTICAST), (PEER, BROADCAST), (PEER, other), (loopback,) * 2]
    for id, (src, dst) in enumerate(ends):
        made.see(ended(id, proto=17, src=src, dst=dst, dst_port=5353), 1001)
    found = {summary.dst_ip: summary for summary in window(made, 1600)}
    assert {dst: found[dst].transmission for dst in found} == {
        HOST: "U", MULTICAST: "M", BROADCAST: "B",
    }  # fmt: skip
    assert {summary.dir for summary in found.values()} == {"I"}


def test_icmp_has_type_and_code_and_no_port() -> None:
    """Both families."""
    made = ledger()
    v6 = ip_address("fd00::2").packed
    made.neighbourhood = Neighbourhood(own=frozenset({HOST, v6}))
    made.see(ended(proto=1, dst_port=0, icmp_type=8, icmp_code=0), 1001)
    made.see(
        ended(2, proto=58, src=ip_address("fd00::1").packed, dst=v6, icmp_type=128, icmp_code=0,
              dst_port=0), 1001,
    )  # fmt: skip
    assert {(s.proto, s.dst_port, s.icmp_type) for s in window(made, 1600)} == {
        (1, 0, 8), (58, 0, 128),
    }  # fmt: skip


def test_memory_is_capped_and_no_count_or_byte_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap a connection is active without bytes, and its end brings them all."""
    monkeypatch.setattr(flows, "MAX_LIVE", 2)
    made = ledger()
    many = [connection(id, bytes_to_dst=10, bytes_to_src=1) for id in range(5)]
    (active,) = window(made, 1600, *many)
    assert (active.count, active.tbi) == (5, 20)
    for id in range(5):
        made.see(ended(id, to_dst=10, to_src=1), 1700)
    (closed,) = window(made, 2200)
    assert (closed.count, closed.tbi) == (5, 50)
    assert active.dbi + closed.dbi == 50


def test_full_ledger_can_be_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many different peers: the summaries leave memory early and the window goes on."""
    monkeypatch.setattr(flows, "MAX_ROWS", 10)
    made, taken = ledger(), []
    for id in range(35):
        made.see(ended(id, src=ip_address(f"10.1.0.{id}").packed), 1001)
        if made.full:
            taken += made.take(1002)
    taken += window(made, 1600)
    assert len(taken) == sum(s.count for s in taken) == 35


def test_forget_begins_anew() -> None:
    """After collection was off, old bytes and old windows mean nothing."""
    made = ledger()
    window(made, 1600, connection(bytes_to_dst=10))
    made.forget(5000)
    made.see(ended(to_dst=30), 5001)
    (summary,) = window(made, 5600)
    assert (summary.dbi, made.window_start) == (30, 5600)


def test_connections_from_before_the_start_bring_only_their_new_bytes() -> None:
    """What an earlier process reported is not reported again; the totals are still the whole."""
    made = ledger()
    assert made.found(connection(phase="live", bytes_to_dst=100, started=500.0), 1000)
    (summary,) = window(made, 1600, connection(bytes_to_dst=130, started=500.0))
    assert (summary.tbi, summary.dbi, summary.first) == (130, 30, 500)


def test_clock_that_steps_back_makes_no_bad_summary() -> None:
    """Wall clocks are set; what is posted must still be in order."""
    made = ledger()
    made.see(ended(started=5000.0, ended=5001.0), 5001)
    (summary,) = window(made, 1600)
    assert summary.first <= summary.last <= 1600


def test_neighbourhood_of_interfaces() -> None:
    """Own and broadcast addresses, scopes cut off, point-to-point without broadcast."""
    found = neighbourhood(
        [
            Interface(name="eth0", address="10.0.0.1", cidr_block=24),
            Interface(name="eth0", address="fe80::1%eth0", cidr_block=64),
            Interface(name="tun0", address="10.8.0.1", cidr_block=32),
            Interface(name="x", address="10.9.0.1"),
        ]
    )
    assert len(found.own) == 4
    assert found.broadcast == {b"\xff" * 4, BROADCAST}
