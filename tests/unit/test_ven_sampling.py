"""Sampling mode: when it begins and ends, and what untold connections become."""

import asyncio
import logging
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import repeat
from pathlib import Path

import pytest
from msgspec.structs import replace

from ven.collection import FlowCollection
from ven.core import sampling, untold
from ven.core.counting import TELL_ONE_IN
from ven.core.flows import FlowLedger
from ven.core.kernel import Connection, Decision, Untold
from ven.core.neighbourhood import Neighbourhood
from ven.core.sampling import Observed, SamplingState, step
from ven.edge.clock import Clock
from ven.edge.files import DataDirectory
from ven.edge.simulated import SimulatedKernel
from ven_protocol.flows import FlowSummary

HOST, PEER = ip_address("10.0.0.1").packed, ip_address("10.0.0.2").packed
COST_S = 15e-6


def told(rate: float, cost_s: float = COST_S, lost: bool = False) -> Observed:
    """A period in which all connections are told."""
    began = int(rate * sampling.PERIOD_S)
    return Observed(seconds=sampling.PERIOD_S, began=began, cpu_s=began * cost_s, lost=lost)


def sampled(rate: float) -> Observed:
    """A period in which one in so many is told; waking up for it costs more than its share."""
    began = int(rate * sampling.PERIOD_S / TELL_ONE_IN)
    return Observed(seconds=sampling.PERIOD_S, began=began, cpu_s=began * 20 * COST_S)


def modes(periods: Iterable[Observed], state: SamplingState | None = None) -> str:
    """``E``nters, ``L``eaves, or stays, period by period."""
    state, found = state or SamplingState(), ""
    for seen in periods:
        state, change = step(state, seen)
        found += "." if change is None else "E" if change.on else "L"
    return found


IN_SAMPLING_MODE = SamplingState(on=True, cost_s=COST_S)


def test_a_sustained_rate_enters_and_a_burst_does_not() -> None:
    """Two periods in a row."""
    assert modes([told(5_000), told(5_000)]) == ".E"
    assert modes([told(5_000), told(10), told(5_000), told(10)]) == "...."
    assert modes(repeat(told(500), 20)) == "." * 20


def test_lost_events_enter_at_once() -> None:
    """Until the kernel counts, every further loss is a wrong count."""
    assert modes([told(5_000, lost=True)]) == "E"


def test_a_slow_host_enters_sooner() -> None:
    """What counts is the CPU that it takes."""
    assert modes([told(400, 10 * COST_S)] * 2) == ".E"


def test_few_connections_are_never_sampled() -> None:
    """Whatever costs CPU then, sampling would not help."""
    assert modes([told(50, 1e-3)] * 5) == "....."


def test_quiet_leaves_and_only_when_it_lasts() -> None:
    """Half a minute below half of what enters."""
    last = sampling.LEAVE_PERIODS - 1
    assert modes([sampled(200)] * (last + 1), IN_SAMPLING_MODE) == "." * last + "L"
    assert modes([sampled(0)] * (last + 1), IN_SAMPLING_MODE) == "." * last + "L"
    restless = [*([sampled(200)] * last), sampled(5_000)] * 3
    assert "L" not in modes(restless, IN_SAMPLING_MODE)


def test_it_does_not_switch_to_and_fro() -> None:
    """At a steady rate it enters once at most."""
    for rate in range(100, 20_000, 300):
        state, found = SamplingState(), ""
        for _ in range(40):
            state, change = step(state, sampled(rate) if state.on else told(rate))
            found += "" if change is None else "E" if change.on else "L"
        assert found in ("", "E"), rate


# --- the books


def ledger() -> FlowLedger:
    made = FlowLedger(now=1000)
    made.visibility = "enhanced_data_collection"
    made.neighbourhood = Neighbourhood(own=frozenset({HOST}))
    made.sampling(on=True, now=1000)
    return made


def connection(id: int, **said: object) -> Connection:
    values = {
        "phase": "live", "id": id, "proto": 6, "src": PEER, "dst": HOST, "src_port": 1000 + id,
        "dst_port": 443, "decision": Decision.ALLOWED, "started": 1100.0, "untold": True,
    }  # fmt: skip
    return Connection(**(values | said))


def ended(id: int, to_dst: int, to_src: int, port: int = 443) -> Connection:
    """One that was told."""
    return connection(
        id, phase="end", untold=False, closed=True, bytes_to_dst=to_dst, bytes_to_src=to_src,
        ended=1101.0, dst_port=port,
    )  # fmt: skip


def counted(count: int, port: int = 443) -> Untold:
    return Untold(
        direction="I", proto=6, src=PEER, dst=HOST, dst_port=port, decision=Decision.ALLOWED,
        count=count,
    )  # fmt: skip


def close(of: FlowLedger, now: float, *live: Connection) -> dict[str, FlowSummary]:
    """The window's summaries by state; all are of one service."""
    of.begin_dump(counted_at=now)
    for line in live:
        of.see(line, now)
    of.end_dump(now, complete=True)
    return {summary.state: summary for summary in of.close(now)}


def test_what_began_and_is_not_open_has_ended() -> None:
    """Exact: 1,000 counted, two open, one of which lives two windows; each ends once."""
    made = ledger()
    made.begun_untold(counted(1000), 1500)
    first = close(made, 1600, connection(1), connection(2), connection(3, closed=True))
    assert {state: s.count for state, s in first.items()} == {"C": 998, "A": 2}
    second = close(made, 2200, connection(1))
    assert {state: s.count for state, s in second.items()} == {"C": 1, "A": 1}
    assert {state: s.count for state, s in close(made, 2800).items()} == {"C": 1}
    assert close(made, 3400) == {}


def test_one_that_began_after_the_count_is_not_missed_later() -> None:
    """It is open in this window, and in the books of the next."""
    made = ledger()
    made.begun_untold(counted(10), 1600)
    first = close(made, 1600, connection(1, started=1600.5))
    assert {state: s.count for state, s in first.items()} == {"C": 10, "A": 1}
    made.begun_untold(counted(1), 2200)
    assert {state: s.count for state, s in close(made, 2200).items()} == {"C": 1}


def test_bytes_of_the_untold_are_those_of_the_told() -> None:
    """The mean of the connections of the same ends and port that were told; of those that live the
    dump has the bytes."""
    made = ledger()
    for id, size in ((1, 100), (2, 300)):
        made.see(ended(id, size, 10 * size), 1101)
    made.begun_untold(counted(101), 1500)
    found = close(made, 1600, connection(9, bytes_to_dst=7, bytes_to_src=8))
    closed, active = found["C"], found["A"]
    assert (closed.count, closed.tbi, closed.tbo) == (102, 102 * 200, 102 * 2000)
    assert (active.count, active.tbi, active.tbo) == (1, 7, 8)


def test_bytes_are_borrowed_from_the_port_or_left_unknown() -> None:
    """Another peer's connections to the same port are the next best thing; nothing is made up."""
    made = ledger()
    other = ip_address("10.0.0.3").packed
    made.see(replace(ended(1, 100, 900), src=other), 1101)
    made.begun_untold(counted(10), 1500)
    made.begun_untold(counted(5, port=22), 1500)
    made.begin_dump()
    made.end_dump(1600, complete=True)
    found = {(s.src_ip, s.dst_port): (s.count, s.tbi) for s in made.close(1600)}
    assert found == {(other, 443): (1, 100), (PEER, 443): (10, 1000), (PEER, 22): (5, None)}


def test_more_keys_than_there_is_room_for_cost_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap a connection counts as ended when it begins."""
    monkeypatch.setattr(untold, "MAX_KEYS", 3)
    made = ledger()
    for port in range(20):
        made.begun_untold(counted(7, port=port), 1500)
    made.begin_dump()
    made.end_dump(1600, complete=True)
    assert [s.count for s in made.close(1600)] == [7] * 20


def test_an_incomplete_dump_ends_nothing() -> None:
    """What could not be seen is told with the next one."""
    made = ledger()
    made.begun_untold(counted(5), 1500)
    made.begin_dump(1600)
    made.end_dump(1600, complete=False)
    assert made.close(1600) == []
    assert close(made, 2200)["C"].count == 5


def test_outbound_connections_name_the_user() -> None:
    """As the kernel knows who opened connections to that service."""
    made = ledger()
    made.users = {(PEER, 6, 443): "backup"}
    made.see(replace(ended(1, 5, 5), src=HOST, dst=PEER), 1101)
    assert close(made, 1600)["C"].user == "backup"


# --- on a host


def test_collection_enters_and_leaves_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says when, in the words that operators look for; every connection is counted."""
    monkeypatch.setattr(sampling, "PERIOD_S", 0.02)
    monkeypatch.setattr(sampling, "ENTER_SHARE", 0.0)
    monkeypatch.setattr(sampling, "LEAVE_SHARE", 1e9)
    monkeypatch.setattr(sampling, "LEAST_RATE", 1.0)
    caplog.set_level(logging.INFO, "ven.vtap")
    kernel = SimulatedKernel("h", ["10.0.0.1/24"])
    errors: list[BaseException] = []

    async def run() -> int:
        flows = FlowCollection(
            DataDirectory(tmp_path), kernel, Clock(), lambda _batch: None, errors.append
        )
        flows.ledger.neighbourhood = Neighbourhood(own=frozenset({HOST}))
        flows.start()
        tried = 0
        while not kernel.sampling:
            kernel.connect("10.0.0.2", "10.0.0.1", 6, 443)
            tried += 1
            await asyncio.sleep(0.001)
        for _ in range(500):
            kernel.connect("10.0.0.2", "10.0.0.1", 6, 443)
            tried += 1
        counts: list[FlowSummary] = []
        monkeypatch.setattr(flows, "_store", lambda _start, found: counts.extend(found))
        await flows.close_window()
        while kernel.sampling:
            await asyncio.sleep(0.01)
        await flows.close_window()
        flows.stop()
        assert sum(summary.count for summary in counts) == tried
        return tried

    assert asyncio.run(asyncio.wait_for(run(), 20)) > 500
    assert not errors
    said = [record.message for record in caplog.records]
    assert sum("Entering throttle state" in line for line in said) == 1
    assert sum("Exiting throttle state" in line for line in said) == 1
