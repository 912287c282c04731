"""The sweep: who has been silent for too long, and whether to believe it.

:func:`sweep` is a pure function of the presence rows, the orgs' timers and the time. Source:
"VEN-to-PCE Communication", VEN Heartbeats and Lost Agents, VEN Offline Timers and Isolation.

The mass-offline brake. Isolating a healthy fleet is the worst thing that this product could do,
and when very many VENs fall silent together the likelier fault is ours. Nobody is marked offline

- in an org of which one sweep would mark more than a set share;
- who fell silent together with more than that share of the org's VENs of its kind (endpoints, or
  all others: people close their notebooks together), within a heartbeat interval before or after.
  Those who went together come due one after the other, because their heartbeats were spread and
  their timers may differ, and so in shares that look harmless;
- anywhere while no VEN at all was heard for two of its heartbeat intervals.

Time during which the sweep itself did not run does not count as silence. Warnings are still raised:
they isolate nobody.
"""

import uuid
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pce.identifiers import OrgId
from pce.presence.record import Clocks, Flag, Presence
from pce.presence.timers import MISSED_SHARE, NEVER, Timers

Kind = Literal[
    "missed_heartbeats", "offline", "goodbye_expired", "uninstall_expired", "upgrade_timed_out"
]
Severity = Literal["info", "warning", "err"]

SEVERITIES: tuple[tuple[Severity, Flag], ...] = (
    ("info", "noted"),
    ("warning", "warned"),
    ("err", "alarmed"),
)
"""Of missed heartbeats, the mildest first, and the flag that says that it was raised."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One VEN's change of state; to be written only if the row is still as it was seen."""

    kind: Kind
    seen: Presence
    silent_s: int
    timer_s: int
    severity: Severity = "info"
    flags: frozenset[Flag] = frozenset()
    """What has been raised with this."""


@dataclass(frozen=True, slots=True)
class NewClocks:
    """A VEN whose intervals are to become others."""

    seen: Presence
    clocks: Clocks | None


@dataclass(frozen=True, slots=True)
class Brake:
    """An org in which VENs were not marked offline, because too many would have been."""

    org_id: OrgId
    reason: Literal["share", "together", "region_silent"]
    held_back: int
    online: int


@dataclass(frozen=True, slots=True)
class BrakeRules:
    """When the brake holds."""

    share: float = 0.20
    minimum: int = 20
    """An org brakes when more than ``share`` of its online VENs and at least ``minimum`` of them
    would go offline in one sweep, or fell silent together."""
    region_minimum: int = 2
    """A single VEN that falls silent says nothing about our side; two that do may."""
    region_silence_s: int = 600
    """No VEN heard for this long, nor for two of its own heartbeat intervals: our own side is the
    likelier fault."""

    def too_many(self, count: int, online: int) -> bool:
        """Whether so many of those who were online are no ordinary failures."""
        return count >= self.minimum and count > self.share * online


@dataclass(frozen=True, slots=True)
class SweepDecision:
    """What one sweep decided."""

    transitions: tuple[Transition, ...]
    brakes: tuple[Brake, ...]
    clocks: tuple[NewClocks, ...]
    seen: int


@dataclass(frozen=True, slots=True)
class SweepClock:
    """When the sweep ran, in epoch seconds; kept between sweeps.

    ``resumed_at`` is the start of the present uninterrupted series of sweeps. While sweeps did not
    run, heartbeats may not have been taken either, so silence before ``resumed_at`` does not count.
    """

    resumed_at: int = 0
    last_sweep_at: int = 0

    def tick(self, now: int, longest_gap_s: int) -> "SweepClock":
        """The clock after a sweep at ``now``; a gap over ``longest_gap_s`` starts a new series."""
        if self.last_sweep_at and now - self.last_sweep_at <= longest_gap_s:
            return SweepClock(self.resumed_at, max(now, self.last_sweep_at))
        return SweepClock(now, now)


def sweep(
    rows: Iterable[Presence],
    timers_of: Callable[[Presence], Timers],
    now: int,
    clock: SweepClock,
    rules: BrakeRules = BrakeRules(),
    released: Mapping[OrgId, int] | None = None,
) -> SweepDecision:
    """Decide what one sweep changes.

    ``released`` maps an org to the epoch second until which a person has confirmed that silent
    VENs really are down; its brake is off until then. One pass over the rows; a VEN that is not
    silent costs one comparison.
    """
    quiet: list[Transition] = []
    leaving: list[Transition] = []
    clocks: list[NewClocks] = []
    fleets: defaultdict[_Kind, _Fleet] = defaultdict(_Fleet)
    seen = 0
    heard = False
    for row in rows:
        seen += 1
        timers = timers_of(row)
        if row.clocks != timers.clocks:
            clocks.append(NewClocks(row, timers.clocks))
        fresh_s = max(rules.region_silence_s, 2 * timers.heartbeat_s)
        heard = heard or now - row.last_heartbeat < fresh_s
        if row.unpaired_at is None and "offline" not in row.flags:
            fleets[_kind(row)].add(row, timers, now)
        transition = _transition(row, timers, now, clock)
        if transition is not None:
            (leaving if transition.kind == "offline" else quiet).append(transition)
    held, brakes = _brake(leaving, fleets, heard, now, rules, released or {})
    for transition in leaving:
        if transition.seen.ven_id not in held:
            quiet.append(transition)
        elif warning := _warning(transition.seen, timers_of(transition.seen), transition.silent_s):
            quiet.append(warning)  # a VEN that the brake keeps online is still warned about
    return SweepDecision(tuple(quiet), brakes, tuple(clocks), seen)


def _transition(row: Presence, timers: Timers, now: int, clock: SweepClock) -> Transition | None:
    """What has become due for one VEN."""
    if row.unpaired_at is not None:
        # It may be told to go as long as it calls.
        since = now - max(row.unpaired_at, row.last_heartbeat)
        due = timers.uninstall_s != NEVER and since >= timers.uninstall_s
        if due:
            return Transition("uninstall_expired", row, since, timers.uninstall_s, "warning")
        return None
    if row.upgrade_expires_at is not None and now >= row.upgrade_expires_at:
        # What else is due is so a sweep later too.
        return Transition("upgrade_timed_out", row, now - row.last_heartbeat, 0, "warning")
    if "offline" in row.flags:
        return None
    if row.goodbye_at is not None and timers.goodbye_s != NEVER:
        since = now - max(row.goodbye_at, clock.resumed_at)
        if since >= timers.goodbye_s:
            return Transition("goodbye_expired", row, since, timers.goodbye_s, flags=_offline(row))
    silent_s = now - max(row.last_heartbeat, clock.resumed_at)
    if row.status == "suspended":
        return None  # stays in policy without heartbeats
    if timers.offline_s != NEVER and silent_s >= timers.offline_s:
        return Transition("offline", row, silent_s, timers.offline_s, flags=_offline(row))
    return _warning(row, timers, silent_s)


def _offline(row: Presence) -> frozenset[Flag]:
    return row.flags | {"offline"}


def _warning(row: Presence, timers: Timers, silent_s: int) -> Transition | None:
    """The gravest warning that is due; it stands for the milder ones too."""
    if row.goodbye_at is not None:
        return None
    found = None
    flags = row.flags
    for (severity, flag), timer_s in zip(
        SEVERITIES, (timers.info_s, timers.warning_s, timers.error_s), strict=True
    ):
        if flag in row.flags:
            found = None
        elif timer_s != NEVER and silent_s >= timer_s:
            flags |= {flag}
            found = severity, timer_s
    if found is None:
        return None
    severity, timer_s = found
    return Transition("missed_heartbeats", row, silent_s, timer_s, severity, flags)


_Kind = tuple[OrgId, bool]
"""An org, and whether its endpoints are meant."""


def _kind(row: Presence) -> _Kind:
    return row.org_id, row.ven_type == "endpoint"


class _Fleet:
    """VENs of a kind that a sweep expects to hear, and when those that are silent fell silent."""

    def __init__(self) -> None:
        self.online = 0
        self.silent_since: list[int] = []
        self.longest_interval_s = 0

    def add(self, row: Presence, timers: Timers, now: int) -> None:
        if row.status != "active" or row.goodbye_at is not None:
            return  # silent on purpose
        self.online += 1
        self.longest_interval_s = max(self.longest_interval_s, timers.heartbeat_s)
        if now - row.last_heartbeat >= MISSED_SHARE * timers.heartbeat_s:
            self.silent_since.append(row.last_heartbeat)

    def went_with(self, row: Presence) -> int:
        """How many fell silent when this one did, itself included. ``silent_since`` is sorted."""
        at, about = row.last_heartbeat, self.longest_interval_s
        first = bisect_left(self.silent_since, at - about)
        return bisect_right(self.silent_since, at + about) - first


def _brake(
    leaving: list[Transition],
    fleets: Mapping[_Kind, _Fleet],
    heard: bool,
    now: int,
    rules: BrakeRules,
    released: Mapping[OrgId, int],
) -> tuple[frozenset[uuid.UUID], tuple[Brake, ...]]:
    """The VENs that are not marked offline after all, and why."""
    expected = sum(fleet.online for fleet in fleets.values())
    silent_region = expected >= rules.region_minimum and not heard
    by_org: defaultdict[OrgId, list[Presence]] = defaultdict(list)
    for transition in leaving:
        by_org[transition.seen.org_id].append(transition.seen)
    for fleet in fleets.values():
        fleet.silent_since.sort()
    held: set[uuid.UUID] = set()
    brakes = []
    for org_id, rows in sorted(by_org.items()):
        if released.get(org_id, 0) > now:
            continue
        online = sum(fleet.online for kind, fleet in fleets.items() if kind[0] == org_id)
        together = [
            row
            for row in rows
            if rules.too_many(fleets[_kind(row)].went_with(row), fleets[_kind(row)].online)
        ]
        reason: Literal["share", "together", "region_silent"]
        if silent_region:
            reason = "region_silent"
        elif rules.too_many(len(rows), online):
            reason = "share"
        elif together:
            reason, rows = "together", together
        else:
            continue
        brakes.append(Brake(org_id, reason, len(rows), online))
        held.update(row.ven_id for row in rows)
    return frozenset(held), tuple(brakes)
