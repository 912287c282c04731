"""Run one sweep: read every presence row, decide, and write each transition once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pce.events.journal import SYSTEM, Notification
from pce.identifiers import INSTALLATION, OrgId
from pce.presence.record import Presence
from pce.presence.sweep import Brake, BrakeRules, SweepClock, sweep
from pce.presence.timers import Timers, TimerSettings
from pce.store.change import Change, PolicyChange
from pce.usecases.stores import Stores, journal
from pce.usecases.tell_clocks import tell_clocks
from pce.usecases.write_transition import write_transition

MISSED_SWEEPS_IN_A_ROW = 3
"""A gap of more than this many sweep intervals means that the PCE itself was down."""
SHORTEST_OUTAGE_S = 10
"""A shorter gap is a busy machine, not an outage, however short the sweep interval is set."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did, for its log line and metrics."""

    seen: int
    transitions: int
    lost_races: int
    """Transitions that a heartbeat, or another sweep, was faster than."""
    braked_orgs: int
    woken_orgs: int
    new_clocks: int
    """VENs whose heartbeat or flow interval became another."""


def sweep_presence(stores: Stores, now: int, sweep_interval_s: int) -> Swept:
    """Run one sweep. Overlapping, late and repeated sweeps are harmless: every transition is
    written on condition that the VEN's row is still as it was read."""
    before = stores.policies.sweep_state()
    clock = SweepClock(before.get("resumed_at", 0), before.get("last_sweep_at", 0)).tick(
        now, max(MISSED_SWEEPS_IN_A_ROW * sweep_interval_s, SHORTEST_OUTAGE_S)
    )
    orgs = _Orgs(stores)
    # Two intervals: one passes without a heartbeat by mere jitter where there are few VENs.
    silence_s = max(2 * stores.ven_settings.intervals.heartbeat_s, SHORTEST_OUTAGE_S)
    rules = BrakeRules(region_silence_s=silence_s)
    released = {org_id: settings.released_until for org_id, settings in orgs.all().items()}
    decision = sweep(stores.presence.all_for_sweep(), orgs.timers_of, now, clock, rules, released)
    braked = sorted(brake.org_id for brake in decision.brakes)
    after = {
        "resumed_at": clock.resumed_at,
        "last_sweep_at": clock.last_sweep_at,
        "braked": [int(org_id) for org_id in braked],
    }
    if stores.policies.save_sweep_state(before, after):
        for brake in decision.brakes:
            if brake.org_id not in before.get("braked", ()):
                _report_brake(stores, brake, now)
    woken = _wake_forgotten(stores, orgs.all(), now)
    # Last, since there may be more to write than one sweep has time for: the next one goes on, and
    # must not take the time of this one for an outage.
    lost = sum(not write_transition(stores, each, now) for each in decision.transitions)
    told = tell_clocks(stores, decision.clocks, now)
    return Swept(
        seen=decision.seen,
        transitions=len(decision.transitions),
        lost_races=lost,
        braked_orgs=len(braked),
        woken_orgs=woken,
        new_clocks=told,
    )


@dataclass(frozen=True, slots=True)
class _OrgSettings:
    timers: TimerSettings
    released_until: int


class _Orgs:
    """Settings of all orgs, and labels of VENs where a setting asks for them; read once a sweep."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._settings: dict[OrgId, _OrgSettings] = {}
        self._labels: dict[OrgId, Mapping[str, list[str]]] = {}

    def all(self) -> Mapping[OrgId, _OrgSettings]:
        if not self._settings:
            for stored in self._stores.objects.all_of(INSTALLATION, "orgs"):
                org_id = OrgId(int(stored.id))
                document = self._document(org_id, "workloads")
                org = self._document(org_id, "org")
                intervals = self._stores.ven_settings.intervals
                self._settings[org_id] = _OrgSettings(
                    TimerSettings(
                        document,
                        intervals.heartbeat_s,
                        intervals.flows_s,
                        bool(org.get("ven_maintenance_token_required")),
                    ),
                    int(document.get("mass_offline_confirmed_until") or 0),
                )
        return self._settings

    def _document(self, org_id: OrgId, name: str) -> dict[str, Any]:
        stored = self._stores.objects.get(org_id, "settings", name)
        return stored.document if stored else {}

    def timers_of(self, row: Presence) -> Timers:
        settings = self.all().get(row.org_id)
        timers = settings.timers if settings else TimerSettings({})
        if not timers.is_scoped:
            return timers.timers_for(row.ven_type)
        if row.org_id not in self._labels:
            self._labels[row.org_id] = {
                stored.id: [label["href"] for label in stored.document.get("labels") or ()]
                for stored in self._stores.objects.all_of(row.org_id, "workloads")
            }
        return timers.timers_for(row.ven_type, self._labels[row.org_id].get(str(row.ven_id), ()))


def _report_brake(stores: Stores, brake: Brake, now: int) -> None:
    write = journal(stores, brake.org_id, SYSTEM, now)
    info = {"reason": brake.reason, "held_back": brake.held_back, "online": brake.online}
    event = write.event(
        "system_task.agent_offline_check",
        severity="err",
        status="failure",
        notifications=[Notification("system_task.mass_offline_brake", info)],
    )
    stores.objects.commit(Change(brake.org_id, events=(event,)))


def _wake_forgotten(stores: Stores, orgs: Mapping[OrgId, _OrgSettings], now: int) -> int:
    """Wake the compiler for orgs whose change log is not empty: a wake-up may have been lost. And
    for those whose last compile began and never ended, though its change log is empty: its message
    may lie among the dead letters, and what it wrote last may be older than what is there."""
    quiet: list[OrgId] = []
    for org_id in orgs:
        log = stores.objects.change_log(org_id)
        if log:
            # An id of its own: SQS drops repeats of one id for five minutes.
            stores.queues.wake_compiler(org_id, f"{log[-1].id}-{now}")
        else:
            quiet.append(org_id)
    unfinished = stores.policies.unfinished_compiles(quiet, now)
    for org_id in unfinished:
        again = PolicyChange("unfinished_compile")
        stores.objects.commit(Change(org_id, policy_changes=(again,)))
    return len(orgs) - len(quiet) + len(unfinished)
