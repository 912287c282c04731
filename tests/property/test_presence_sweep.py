"""The sweep beside an obvious reference that looks at one VEN at a time, with heartbeats racing."""

import uuid
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pce.identifiers import OrgId
from pce.presence.record import Presence
from pce.presence.sweep import BrakeRules, SweepClock, Transition, sweep
from pce.presence.timers import NEVER, Timers

NOW = 100_000
RULES = BrakeRules(share=0.2, minimum=3, region_minimum=2, region_silence_s=300)

times = st.integers(0, NOW)
silences = st.sampled_from([0, 10, 299, 300, 899, 900, 901, 3599, 3600, 3601, 50_000])
timers = st.builds(
    Timers,
    offline_s=st.sampled_from([NEVER, 300, 3600]),
    goodbye_s=st.sampled_from([NEVER, 0, 900]),
    warning_s=st.sampled_from([NEVER, 75, 900]),
)


@st.composite
def rows(draw: st.DrawFn) -> list[Presence]:
    return [
        Presence(
            org_id=OrgId(draw(st.integers(1, 3))),
            ven_id=uuid.UUID(int=number + 1),
            last_heartbeat=NOW - draw(silences),
            status=draw(st.sampled_from(["active", "active", "active", "suspended"])),
            flags=frozenset(draw(st.sets(st.sampled_from(["warned", "offline", "lost"])))),
            goodbye_at=draw(st.none() | silences.map(lambda ago: NOW - ago)),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


def wanted(row: Presence, timers: Timers, resumed_at: int) -> str | None:
    """What the document says of one VEN, brake aside, in its own words."""
    silent_for = NOW - max(row.last_heartbeat, resumed_at)
    if "offline" in row.flags:
        return None  # it was marked before
    gone_for = NOW - max(row.goodbye_at or NOW, resumed_at)
    if row.goodbye_at is not None and 0 <= timers.goodbye_s <= gone_for:
        return "goodbye_expired"
    if row.status == "suspended":
        return None  # stays in policy without heartbeats
    if timers.offline_s >= 0 and silent_for >= timers.offline_s:
        return "offline"
    return wanted_warning(row, timers, silent_for)


def wanted_warning(row: Presence, timers: Timers, silent_for: int) -> str | None:
    due = timers.warning_s >= 0 and silent_for >= timers.warning_s
    said = "warned" in row.flags or row.goodbye_at is not None
    return "missed_heartbeats" if due and not said else None


def reference(fleet: list[Presence], timers: Timers, resumed_at: int) -> dict[uuid.UUID, str]:
    """Every VEN's transition, with the brake computed from scratch for each org."""
    answers = {row.ven_id: wanted(row, timers, resumed_at) for row in fleet}
    expected_to_speak = [
        row
        for row in fleet
        if "offline" not in row.flags and row.status == "active" and row.goodbye_at is None
    ]
    nobody_heard = bool(fleet) and all(NOW - row.last_heartbeat >= 300 for row in fleet)
    region_is_silent = nobody_heard and len(expected_to_speak) >= 2
    for row in fleet:
        if answers[row.ven_id] != "offline":
            continue
        mine = [other for other in fleet if other.org_id == row.org_id]
        leaving = sum(wanted(other, timers, resumed_at) == "offline" for other in mine)
        speakers = sum(other in expected_to_speak for other in mine)
        if region_is_silent or (leaving >= 3 and leaving > 0.2 * speakers):
            silent_for = NOW - max(row.last_heartbeat, resumed_at)
            answers[row.ven_id] = wanted_warning(row, timers, silent_for)
    return {ven_id: kind for ven_id, kind in answers.items() if kind is not None}


@given(rows(), timers, st.sampled_from([0, NOW - 5000, NOW - 600, NOW - 10]))
def test_the_sweep_decides_as_the_reference(
    fleet: list[Presence], timers: Timers, resumed_at: int
) -> None:
    """One pass over all rows gives what looking at each VEN by itself gives."""
    clock = SweepClock(resumed_at, NOW)
    decision = sweep(fleet, lambda row: timers, NOW, clock, RULES)
    found = {t.seen.ven_id: t.kind for t in decision.transitions}
    assert found == reference(fleet, timers, resumed_at)
    assert len(found) == len(decision.transitions)
    assert decision.seen == len(fleet)


class Table:
    """The presence table's conditional write, reduced to what it promises."""

    def __init__(self, fleet: list[Presence]) -> None:
        self.rows = {row.ven_id: row for row in fleet}
        self.written: list[tuple[uuid.UUID, str]] = []

    def heartbeat(self, ven_id: uuid.UUID, at: int) -> None:
        self.rows[ven_id] = replace(self.rows[ven_id], last_heartbeat=at, goodbye_at=None)

    def write(self, transition: Transition) -> None:
        row, seen = self.rows[transition.seen.ven_id], transition.seen
        if (row.last_heartbeat, row.flags) != (seen.last_heartbeat, seen.flags):
            return  # the condition fails
        flag = "warned" if transition.kind == "missed_heartbeats" else "offline"
        self.rows[row.ven_id] = replace(row, flags=row.flags | {flag})  # type: ignore[arg-type]
        self.written.append((row.ven_id, flag))


@given(rows(), timers, st.sets(st.integers(1, 12)), st.permutations(range(24)))
def test_racing_heartbeats_win_and_nothing_happens_twice(
    fleet: list[Presence], timers: Timers, heard: set[int], order: list[int]
) -> None:
    """Two sweeps that read the same rows, their writes interleaved with heartbeats in any order:
    each transition is written at most once, and never over a heartbeat that came first."""
    table = Table(fleet)
    clock = SweepClock(0, NOW)
    decisions = [sweep(fleet, lambda row: timers, NOW, clock, RULES) for _ in range(2)]
    writes = [t for decision in decisions for t in decision.transitions]
    steps: list[object] = [*writes, *(uuid.UUID(int=number) for number in heard)]
    spoke: set[uuid.UUID] = set()
    for index in [i for i in order if i < len(steps)] + list(range(24, len(steps))):
        step = steps[index]
        if isinstance(step, Transition):
            before = len(table.written)
            table.write(step)
            if step.seen.ven_id in spoke:
                assert len(table.written) == before
        elif step in table.rows:
            table.heartbeat(step, NOW + 1)  # type: ignore[arg-type]
            spoke.add(step)  # type: ignore[arg-type]
    assert len(table.written) == len(set(table.written))
