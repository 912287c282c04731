"""The flow ledger over random lives of connections."""

from collections import Counter
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from ven.core.flows import FlowLedger
from ven.core.kernel import Connection, Decision, Untold
from ven.core.neighbourhood import Neighbourhood
from ven_protocol.flows import FlowSummary

HOST, PEER = ip_address("10.0.0.1").packed, ip_address("10.0.0.2").packed
WINDOW_S = 600

lives = st.lists(
    st.tuples(
        st.integers(0, 4 * WINDOW_S),  # begins, seconds after the start
        st.integers(0, 3 * WINDOW_S),  # lasts, seconds
        st.integers(0, 10**6),  # bytes to the responder in all
        st.booleans(),  # closed by the peers
        st.booleans(),  # its end event is lost
        st.integers(1, 3),  # port
    ),
    max_size=30,
)


@given(lives)
def test_every_byte_is_reported_once_and_every_life_in_each_of_its_windows(
    drawn: list[tuple[int, int, int, bool, bool, int]],
) -> None:
    """However lives fall across windows: deltas add up to the bytes seen, a connection is active in
    every window that it outlives, and it ends exactly once. A lost end costs only the bytes after
    the last dump."""
    ledger = FlowLedger(now=0)
    ledger.visibility = "enhanced_data_collection"
    ledger.neighbourhood = Neighbourhood(own=frozenset({HOST}))

    def line(id: int, phase: str, now: int) -> Connection:
        begins, lasts, total, closed, _, port = drawn[id]
        so_far = total if now >= begins + lasts else total * (now - begins) // max(lasts, 1)
        return Connection(
            phase=phase, id=id, proto=6, src=PEER, dst=HOST, src_port=1000 + id, dst_port=port,
            decision=Decision.ALLOWED, bytes_to_dst=so_far, started=float(begins),
            ended=float(now) if phase == "end" else None, closed=closed and phase == "end",
        )  # fmt: skip

    found: list[FlowSummary] = []
    for start in range(0, 12 * WINDOW_S, WINDOW_S):
        end = start + WINDOW_S
        for id, (begins, lasts, _, _, lost, _) in enumerate(drawn):
            if start <= begins < end:
                ledger.see(line(id, "new", begins), begins)
            if start <= begins + lasts < end and not lost:
                ledger.see(line(id, "end", begins + lasts), begins + lasts)
        ledger.begin_dump()
        for id, (begins, lasts, *_) in enumerate(drawn):
            if begins < end <= begins + lasts:
                ledger.see(line(id, "live", end), end)
        ledger.end_dump(end, complete=True)
        found += ledger.close(end)

    ends: Counter[int] = Counter()
    active: Counter[int] = Counter()
    delivered: Counter[int] = Counter()
    for summary in found:
        assert summary.dbi <= summary.tbi
        assert summary.ddms <= summary.tdms
        delivered[summary.dst_port] += summary.dbi
        (active if summary.state == "A" else ends)[summary.dst_port] += summary.count

    expected_bytes: Counter[int] = Counter()
    expected_active: Counter[int] = Counter()
    for begins, lasts, total, _, lost, port in drawn:
        outlived = (begins + lasts) // WINDOW_S - begins // WINDOW_S
        expected_active[port] += outlived
        last_dump = (begins + lasts) // WINDOW_S * WINDOW_S
        if not lost:
            expected_bytes[port] += total
        elif outlived:
            seen = total if last_dump == begins + lasts else total * (last_dump - begins) // lasts
            expected_bytes[port] += seen
    assert +ends == Counter(port for *_, port in drawn)
    assert +active == +expected_active
    assert +delivered == +expected_bytes


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4 * WINDOW_S),  # begins
            st.integers(0, 3 * WINDOW_S),  # lasts
            st.booleans(),  # untold
            st.integers(1, 3),  # port
            st.integers(0, 60),  # seconds that the connection is remembered when it is over
        ),
        max_size=30,
    )
)
def test_told_or_untold_a_life_counts_the_same(
    drawn: list[tuple[int, int, bool, int, int]],
) -> None:
    """What is counted by the kernel and seen in dumps only, and what is told with its beginning and
    its end: both end once, and are active in every window that they outlive."""
    ledger = FlowLedger(now=0)
    ledger.neighbourhood = Neighbourhood(own=frozenset({HOST}))
    found: list[FlowSummary] = []

    def line(id: int, phase: str, closed: bool = False) -> Connection:
        begins, _, untold, port, _ = drawn[id]
        return Connection(
            phase=phase, id=id, proto=6, src=PEER, dst=HOST, src_port=1000 + id, dst_port=port,
            decision=Decision.ALLOWED, started=float(begins), closed=closed, untold=untold,
        )  # fmt: skip

    for start in range(0, 12 * WINDOW_S, WINDOW_S):
        end = start + WINDOW_S
        for id, (begins, lasts, untold, port, remembered) in enumerate(drawn):
            if start <= begins < end and untold:
                ledger.begun_untold(
                    Untold(
                        direction="I", proto=6, src=PEER, dst=HOST, dst_port=port,
                        decision=Decision.ALLOWED,
                    ), end,
                )  # fmt: skip
            elif start <= begins < end:
                ledger.see(line(id, "new"), begins)
            if start <= begins + lasts + remembered < end and not untold:
                ledger.see(line(id, "end", closed=True), begins + lasts + remembered)
        ledger.begin_dump(counted_at=end)
        for id, (begins, lasts, _, _, remembered) in enumerate(drawn):
            if begins < end <= begins + lasts + remembered:
                ledger.see(line(id, "live", closed=end > begins + lasts), end)
        ledger.end_dump(end, complete=True)
        found += ledger.close(end)

    ends: Counter[int] = Counter()
    active: Counter[int] = Counter()
    for summary in found:
        (active if summary.state == "A" else ends)[summary.dst_port] += summary.count
    assert +ends == Counter(port for _, _, _, port, _ in drawn)
    expected: Counter[int] = Counter()
    for begins, lasts, _, port, _ in drawn:
        expected[port] += (begins + lasts) // WINDOW_S - begins // WINDOW_S
    assert +active == +expected
