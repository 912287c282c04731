"""Run one sweep: read every presence row, decide, and write each transition once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pce.errors import PceError
from pce.events.journal import SYSTEM, Notification, ResourceChange
from pce.identifiers import INSTALLATION, OrgId, ven_href, workload_href
from pce.presence.record import Flag, Presence, flags_text
from pce.presence.sweep import Brake, BrakeRules, SweepClock, Transition, sweep
from pce.presence.timers import Timers, TimerSettings
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.usecases.stores import Stores, journal

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
    lost = sum(not _write(stores, transition, now) for transition in decision.transitions)
    return Swept(
        seen=decision.seen,
        transitions=len(decision.transitions),
        lost_races=lost,
        braked_orgs=len(braked),
        woken_orgs=woken,
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
                document = self._document(org_id)
                self._settings[org_id] = _OrgSettings(
                    TimerSettings.from_document(document),
                    int(document.get("mass_offline_confirmed_until") or 0),
                )
        return self._settings

    def _document(self, org_id: OrgId) -> dict[str, Any]:
        stored = self._stores.objects.get(org_id, "settings", "workloads")
        return stored.document if stored else {}

    def timers_of(self, row: Presence) -> Timers:
        settings = self.all().get(row.org_id)
        timers = settings.timers if settings else TimerSettings()
        if not timers.is_scoped:
            return timers.timers_for(row.ven_type)
        if row.org_id not in self._labels:
            self._labels[row.org_id] = {
                stored.id: [label["href"] for label in stored.document.get("labels") or ()]
                for stored in self._stores.objects.all_of(row.org_id, "workloads")
            }
        return timers.timers_for(row.ven_type, self._labels[row.org_id].get(str(row.ven_id), ()))


def _write(stores: Stores, transition: Transition, now: int) -> bool:
    """Write one transition; False when the row was not as it had been seen."""
    seen = transition.seen
    workload = stores.objects.get(seen.org_id, "workloads", str(seen.ven_id))
    if workload is None:
        return False
    write = journal(stores, seen.org_id, SYSTEM, now)
    href = workload_href(seen.org_id, seen.ven_id)
    resource = {
        "href": href,
        "name": workload.document.get("name"),
        "hostname": workload.document.get("hostname"),
    }
    presence = PresenceChange(
        seen.ven_id,
        expected_flags=flags_text(seen.flags),
        expected_heartbeat=seen.last_heartbeat,
    )
    info = {
        "agent": {
            "href": ven_href(seen.org_id, seen.ven_id),
            "name": workload.document.get("name"),
            "hostname": workload.document.get("hostname"),
        },
        "silent_seconds": transition.silent_s,
        "timer_seconds": transition.timer_s,
    }
    if transition.kind == "missed_heartbeats":
        change = Change(
            seen.org_id,
            presence=(replace(presence, flags=_with(seen, "warned")),),
            events=(
                write.event(
                    "system_task.agent_missed_heartbeats_check",
                    severity="warning",
                    status=None,
                    notifications=[Notification("agent.missed_heartbeats", info)],
                ),
            ),
        )
    else:
        goodbye = transition.kind == "goodbye_expired"
        check = "endpoint" if seen.ven_type == "endpoint" else "agent"
        after_goodbye = [Notification("workload.offline_after_ven_goodbye", info)]
        change = Change(
            seen.org_id,
            puts=(
                Put(
                    "workloads",
                    workload.id,
                    {**workload.document, "online": False},
                    workload.rev,
                ),
            ),
            presence=(
                replace(
                    presence,
                    flags=_with(seen, "offline"),
                    status="stopped" if goodbye else None,
                    goodbye_at=0 if goodbye else None,
                ),
            ),
            events=(
                write.event(
                    f"system_task.{check}_offline_check",
                    changes=[
                        ResourceChange(
                            "workload",
                            resource,
                            "update",
                            {"online": {"before": True, "after": False}},
                        )
                    ],
                    notifications=after_goodbye if goodbye else [],
                ),
            ),
            policy_changes=(PolicyChange("goodbye" if goodbye else "offline", (href,)),),
        )
    try:
        stores.objects.commit(change)
    except PceError:
        # Heard meanwhile, another sweep was here, or the store is busy: the next sweep looks again,
        # and the others of this one are not held up.
        return False
    return True


def _with(row: Presence, flag: Flag) -> str:
    return flags_text(row.flags | {flag})


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
    """Wake the compiler for orgs whose change log is not empty: a wake-up may have been lost."""
    woken = 0
    for org_id in orgs:
        log = stores.objects.change_log(org_id)
        if log:
            # An id of its own: SQS drops repeats of one id for five minutes.
            stores.queues.wake_compiler(org_id, f"{log[-1].id}-{now}")
            woken += 1
    return woken
