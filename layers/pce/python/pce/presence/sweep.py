"""The sweep: who has been silent for too long, and whether to believe it.

:func:`sweep` is a pure function of the presence rows, the orgs' timers and the time. Source:
"VEN-to-PCE Communication", VEN Heartbeats and Lost Agents, VEN Offline Timers and Isolation.

The mass-offline brake. Isolating a healthy fleet is the worst thing that this product could do,
and when very many VENs fall silent together the likelier fault is ours. So nobody is marked
offline in an org where one sweep would mark more than a set share of it, nor anywhere while no VEN
at all was heard for two heartbeat intervals; and time during which the sweep itself did not run
does not count as silence. Warnings are still raised: they isolate nobody.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pce.identifiers import OrgId
from pce.presence.record import Presence
from pce.presence.timers import NEVER, Timers

Kind = Literal["missed_heartbeats", "offline", "goodbye_expired"]


@dataclass(frozen=True, slots=True)
class Transition:
    """One VEN's change of state; to be written only if the row is still as it was seen."""

    kind: Kind
    seen: Presence
    silent_s: int
    timer_s: int


@dataclass(frozen=True, slots=True)
class Brake:
    """An org in which nobody was marked offline, because too many would have been."""

    org_id: OrgId
    reason: Literal["share", "region_silent"]
    held_back: int
    online: int


@dataclass(frozen=True, slots=True)
class BrakeRules:
    """When the brake holds."""

    share: float = 0.20
    minimum: int = 20
    """An org brakes when more than ``share`` of its online VENs and at least ``minimum`` of them
    would go offline in one sweep."""
    region_minimum: int = 2
    """A single VEN that falls silent says nothing about our side; two that do may."""
    region_silence_s: int = 600
    """No VEN heard for this long, two heartbeat intervals: our own side is the likelier fault."""


@dataclass(frozen=True, slots=True)
class SweepDecision:
    """What one sweep decided."""

    transitions: tuple[Transition, ...]
    brakes: tuple[Brake, ...]
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
    online: Counter[OrgId] = Counter()
    latest = seen = 0
    for row in rows:
        seen += 1
        latest = max(latest, row.last_heartbeat)
        if "offline" in row.flags:
            continue
        if row.status == "active" and row.goodbye_at is None:
            online[row.org_id] += 1  # the others are silent on purpose
        transition = _transition(row, timers_of(row), now, clock)
        if transition is None:
            continue
        (leaving if transition.kind == "offline" else quiet).append(transition)
    held, brakes = _brake(leaving, online, now, latest, rules, released or {})
    kept = (_warning_instead(t, timers_of(t.seen)) if t.seen.org_id in held else t for t in leaving)
    return SweepDecision(tuple(quiet) + tuple(t for t in kept if t is not None), brakes, seen)


def _transition(row: Presence, timers: Timers, now: int, clock: SweepClock) -> Transition | None:
    """What has become due for one VEN that is not offline."""
    if row.goodbye_at is not None and timers.goodbye_s != NEVER:
        since = now - max(row.goodbye_at, clock.resumed_at)
        if since >= timers.goodbye_s:
            return Transition("goodbye_expired", row, since, timers.goodbye_s)
    silent_s = now - max(row.last_heartbeat, clock.resumed_at)
    if row.status == "suspended":
        return None  # stays in policy without heartbeats
    if timers.offline_s != NEVER and silent_s >= timers.offline_s:
        return Transition("offline", row, silent_s, timers.offline_s)
    return _warning(row, timers, silent_s)


def _warning(row: Presence, timers: Timers, silent_s: int) -> Transition | None:
    due = timers.warning_s != NEVER and silent_s >= timers.warning_s
    if due and "warned" not in row.flags and row.goodbye_at is None:
        return Transition("missed_heartbeats", row, silent_s, timers.warning_s)
    return None


def _warning_instead(held: Transition, timers: Timers) -> Transition | None:
    """A VEN that the brake keeps online is still warned about."""
    return _warning(held.seen, timers, held.silent_s)


def _brake(
    leaving: list[Transition],
    online: Counter[OrgId],
    now: int,
    latest: int,
    rules: BrakeRules,
    released: Mapping[OrgId, int],
) -> tuple[frozenset[OrgId], tuple[Brake, ...]]:
    """The orgs that brake, and why."""
    silent_region = (
        sum(online.values()) >= rules.region_minimum and now - latest >= rules.region_silence_s
    )
    brakes = []
    for org_id, count in sorted(Counter(t.seen.org_id for t in leaving).items()):
        if released.get(org_id, 0) > now:
            continue
        if silent_region:
            brakes.append(Brake(org_id, "region_silent", count, online[org_id]))
        elif count >= rules.minimum and count > rules.share * online[org_id]:
            brakes.append(Brake(org_id, "share", count, online[org_id]))
    return frozenset(brake.org_id for brake in brakes), tuple(brakes)
