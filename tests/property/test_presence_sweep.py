"""The sweep beside an obvious reference that looks at one VEN at a time, with heartbeats racing."""

import uuid
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pce.identifiers import OrgId
from pce.presence.record import Clocks, Presence
from pce.presence.sweep import BrakeRules, SweepClock, Transition, sweep
from pce.presence.timers import NEVER, Timers

NOW = 2_000_000
RULES = BrakeRules(share=0.2, minimum=3, region_minimum=2, region_silence_s=300)

silences = st.sampled_from([0, 10, 299, 300, 899, 900, 901, 3599, 3600, 3601, 50_000, 1_080_000])
timers = st.builds(
    Timers,
    offline_s=st.sampled_from([NEVER, 300, 3600]),
    goodbye_s=st.sampled_from([NEVER, 0, 900]),
    info_s=st.sampled_from([NEVER, 75, 300]),
    warning_s=st.sampled_from([NEVER, 75, 900]),
    error_s=st.sampled_from([NEVER, 901]),
    uninstall_s=st.sampled_from([NEVER, 3600, 1_080_000]),
    heartbeat_s=st.sampled_from([60, 300]),
    clocks=st.sampled_from([None, Clocks(60, 60)]),
)
flags = st.sets(st.sampled_from(["noted", "warned", "alarmed", "offline", "lost"]))

Fleet = list[tuple[Presence, Timers]]


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """VENs of three orgs, each with timers of its own, as scopes make them."""
    return [
        (
            Presence(
                org_id=OrgId(draw(st.integers(1, 3))),
                ven_id=uuid.UUID(int=number + 1),
                last_heartbeat=NOW - draw(silences),
                status=draw(st.sampled_from(["active", "active", "active", "suspended"])),
                flags=frozenset(draw(flags)),
                ven_type=draw(st.sampled_from(["server", "endpoint"])),
                goodbye_at=draw(st.none() | silences.map(lambda ago: NOW - ago)),
                unpaired_at=draw(st.sampled_from([None, None, None, NOW - 3600, NOW - 1_080_000])),
            ),
            draw(timers),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


def wanted(row: Presence, timers: Timers, resumed_at: int) -> str | None:
    """What the document says of one VEN, brake aside, in its own words."""
    if row.unpaired_at is not None:
        quiet_for = min(NOW - row.unpaired_at, NOW - row.last_heartbeat)
        return "uninstall_expired" if 0 <= timers.uninstall_s <= quiet_for else None
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
    """The gravest one that is due, unless it or a graver one was raised."""
    if row.goodbye_at is not None:
        return None
    if 0 <= timers.error_s <= silent_for and "alarmed" not in row.flags:
        return "missed_heartbeats err"
    if "alarmed" in row.flags:
        return None
    if 0 <= timers.warning_s <= silent_for and "warned" not in row.flags:
        return "missed_heartbeats warning"
    if "warned" in row.flags:
        return None
    if 0 <= timers.info_s <= silent_for and "noted" not in row.flags:
        return "missed_heartbeats info"
    return None


def reference(fleet: Fleet, resumed_at: int) -> dict[uuid.UUID, str]:
    """Every VEN's transition, with the brake computed from scratch for each."""
    answers = {row.ven_id: wanted(row, timers, resumed_at) for row, timers in fleet}
    speakers = [
        (row, timers)
        for row, timers in fleet
        if "offline" not in row.flags
        and row.status == "active"
        and row.goodbye_at is None
        and row.unpaired_at is None
    ]
    somebody = any(
        NOW - row.last_heartbeat < max(300, 2 * timers.heartbeat_s) for row, timers in fleet
    )
    for row, timers in fleet:
        if wanted(row, timers, resumed_at) != "offline":
            continue
        leaving = sum(
            wanted(other, theirs, resumed_at) == "offline"
            for other, theirs in fleet
            if other.org_id == row.org_id
        )
        mine = [(other, theirs) for other, theirs in speakers if other.org_id == row.org_id]
        alike = [(v, theirs) for v, theirs in mine if v.ven_type == row.ven_type]
        about = max((theirs.heartbeat_s for _, theirs in alike), default=0)
        together = sum(
            abs(other.last_heartbeat - row.last_heartbeat) <= about
            and NOW - other.last_heartbeat >= 1.5 * theirs.heartbeat_s
            for other, theirs in alike
        )
        region_is_silent = len(speakers) >= 2 and not somebody
        if region_is_silent or any(
            count >= 3 and count > 0.2 * of
            for count, of in ((leaving, len(mine)), (together, len(alike)))
        ):
            silent_for = NOW - max(row.last_heartbeat, resumed_at)
            answers[row.ven_id] = wanted_warning(row, timers, silent_for)
    return {ven_id: kind for ven_id, kind in answers.items() if kind is not None}


@given(fleets(), st.sampled_from([0, NOW - 5000, NOW - 600, NOW - 10]))
def test_the_sweep_decides_as_the_reference(fleet: Fleet, resumed_at: int) -> None:
    """One pass over all rows gives what looking at each VEN by itself gives."""
    clock = SweepClock(resumed_at, NOW)
    known = {row.ven_id: timers for row, timers in fleet}
    rows = [row for row, _ in fleet]
    decision = sweep(rows, lambda row: known[row.ven_id], NOW, clock, RULES)
    found = {
        t.seen.ven_id: f"{t.kind} {t.severity}" if t.kind == "missed_heartbeats" else t.kind
        for t in decision.transitions
    }
    assert found == reference(fleet, resumed_at)
    assert len(found) == len(decision.transitions)
    assert decision.seen == len(fleet)
    told = {new.seen.ven_id: new.clocks for new in decision.clocks}
    assert told == {r.ven_id: t.clocks for r, t in fleet if t.clocks != r.clocks}


class Table:
    """The presence table's conditional write, reduced to what it promises."""

    def __init__(self, rows: list[Presence]) -> None:
        self.rows = {row.ven_id: row for row in rows}
        self.written: list[tuple[uuid.UUID, str]] = []

    def heartbeat(self, ven_id: uuid.UUID, at: int) -> None:
        self.rows[ven_id] = replace(self.rows[ven_id], last_heartbeat=at, goodbye_at=None)

    def write(self, transition: Transition) -> None:
        seen = transition.seen
        row = self.rows.get(seen.ven_id)
        if row is None or (row.last_heartbeat, row.flags) != (seen.last_heartbeat, seen.flags):
            return  # the condition fails
        if transition.kind == "uninstall_expired":
            del self.rows[row.ven_id]
        else:
            self.rows[row.ven_id] = replace(row, flags=transition.flags)
        self.written.append((row.ven_id, transition.kind))


@given(fleets(), st.sets(st.integers(1, 12)), st.permutations(range(24)))
def test_racing_heartbeats_win_and_nothing_happens_twice(
    fleet: Fleet, heard: set[int], order: list[int]
) -> None:
    """Two sweeps that read the same rows, their writes interleaved with heartbeats in any order:
    each transition is written at most once, and never over a heartbeat that came first."""
    known = {row.ven_id: timers for row, timers in fleet}
    rows = [row for row, _ in fleet]
    table = Table(rows)
    clock = SweepClock(0, NOW)
    decisions = [sweep(rows, lambda row: known[row.ven_id], NOW, clock, RULES) for _ in range(2)]
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
