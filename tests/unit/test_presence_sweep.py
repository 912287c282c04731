"""The sweep: thresholds of the offline timer, goodbye, suspension, and the mass-offline brake."""

import uuid
from dataclasses import replace

import pytest

from pce.identifiers import OrgId
from pce.presence.record import Presence
from pce.presence.sweep import BrakeRules, SweepClock, sweep
from pce.presence.timers import NEVER, Timers, TimerSettings

ORG = OrgId(1)
HOUR = Timers(offline_s=3600, goodbye_s=900, warning_s=900)
STEADY = SweepClock(resumed_at=0, last_sweep_at=10_000_000)
NOW = 1_000_000


def ven(silent_s: int, **facts: object) -> Presence:
    row = Presence(ORG, uuid.uuid4(), NOW - silent_s)
    return replace(row, **facts)  # type: ignore[arg-type]


def kinds(*rows: Presence, timers: Timers = HOUR, clock: SweepClock = STEADY) -> list[str]:
    # One VEN that was just heard keeps the region from looking dead.
    decision = sweep((*rows, ven(0)), lambda row: timers, NOW, clock)
    return [transition.kind for transition in decision.transitions]


@pytest.mark.parametrize(
    ("silent_s", "expected"),
    [
        (0, []),
        (899, []),
        (900, ["missed_heartbeats"]),
        (3599, ["missed_heartbeats"]),
        (3600, ["offline"]),
        (86_400, ["offline"]),
    ],
)
def test_an_hour_of_silence(silent_s: int, expected: list[str]) -> None:
    """At the default of 60 minutes: an alert after 15, offline after 60."""
    assert kinds(ven(silent_s)) == expected


def test_the_warning_follows_a_customized_timer() -> None:
    """Of 4 hours a quarter is one hour."""
    document = {"workload_disconnected_timeout_seconds": [{"scope": [], "value": 4 * 3600}]}
    timers = TimerSettings(document).timers_for("server")
    assert timers == Timers(4 * 3600, 900, 3600)
    assert kinds(ven(3599), timers=timers) == []
    assert kinds(ven(3600), timers=timers) == ["missed_heartbeats"]


@pytest.mark.parametrize("offline", [None, NEVER])
@pytest.mark.parametrize(
    ("ven_type", "heartbeat_s", "warning_s"),
    [("server", 300, 900), ("server", 60, 180), ("server", 600, 1800), ("containerized", 60, 180),
     ("endpoint", 60, 21_600)],
)  # fmt: skip
def test_three_missed_heartbeats_where_no_offline_timer_says_otherwise(
    ven_type: str, heartbeat_s: int, warning_s: int, offline: int | None
) -> None:
    """It is the usual one, or never; endpoints sleep at night. However fast the heartbeats are."""
    offline_timers = [{"scope": [], "value": offline, "ven_type": ven_type}] if offline else []
    document = {"workload_disconnected_timeout_seconds": offline_timers}
    assert TimerSettings(document, heartbeat_s).timers_for(ven_type).warning_s == warning_s


def test_a_custom_warning_time_wins() -> None:
    """Disconnect and Quarantine Warning, Custom Timeout."""
    document = {
        "workload_disconnected_notification_seconds": [{"scope": [], "warning": 1200}],
    }
    assert TimerSettings(document).timers_for("server") == Timers(3600, 900, 1200)


def test_endpoints_have_their_own_default() -> None:
    """An endpoint that sleeps for a night is not offline."""
    assert TimerSettings({}).timers_for("endpoint").offline_s == 86_400


def test_the_entry_with_most_labels_wins() -> None:
    """A scoped timer holds for the VENs that carry all its labels, before the default entry."""
    scope = [{"href": "/orgs/1/labels/1"}, {"href": "/orgs/1/labels/2"}]
    document = {
        "workload_disconnected_timeout_seconds": [
            {"scope": [], "value": 600},
            {"scope": scope, "value": -1},
        ]
    }
    settings = TimerSettings(document)
    assert settings.is_scoped
    both = [label["href"] for label in scope]
    assert settings.timers_for("server", both) == Timers(NEVER, 900, 900)
    assert settings.timers_for("server", both[:1]).offline_s == 600


def test_each_thing_is_raised_once() -> None:
    """A warned VEN is not warned again, an offline one is left alone."""
    assert kinds(ven(1000, flags=frozenset({"warned"}))) == []
    assert kinds(ven(9000, flags=frozenset({"warned", "offline"}))) == []


def test_never_means_never() -> None:
    """-1 keeps a silent VEN in its peers' policy."""
    never = Timers(offline_s=NEVER, goodbye_s=NEVER, warning_s=NEVER)
    assert kinds(ven(10**6, goodbye_at=0 + 1), timers=never) == []


def test_goodbye_runs_on_its_own_timer() -> None:
    """15 minutes after a goodbye the workload leaves policy, long before the offline timer."""
    assert kinds(ven(899, goodbye_at=NOW - 899)) == []
    assert kinds(ven(900, goodbye_at=NOW - 900)) == ["goodbye_expired"]


def test_a_suspended_ven_stays() -> None:
    """Suspended: no process runs, no heartbeat comes, and it stays in its peers' policy."""
    assert kinds(ven(10**6, status="suspended")) == []


def test_time_without_sweeps_is_no_silence() -> None:
    """After an outage of the PCE itself every VEN has a whole timer to be heard again."""
    clock = SweepClock(resumed_at=NOW - 5000, last_sweep_at=NOW - 5000 + 60)
    assert clock.tick(NOW, 180) == SweepClock(NOW, NOW)
    assert kinds(ven(10_000), clock=SweepClock(NOW - 100, NOW)) == []
    assert kinds(ven(10_000), clock=SweepClock(NOW - 3600, NOW)) == ["offline"]


def fleet(silent: int, heard: int) -> list[Presence]:
    return [ven(4000) for _ in range(silent)] + [ven(10) for _ in range(heard)]


def test_the_brake_holds_when_too_many_leave_at_once() -> None:
    """Over 20 % and at least 20: nobody is isolated, everybody is warned about."""
    decision = sweep(fleet(21, 79), lambda row: HOUR, NOW, STEADY)
    assert {t.kind for t in decision.transitions} == {"missed_heartbeats"}
    (brake,) = decision.brakes
    assert (brake.reason, brake.held_back, brake.online) == ("share", 21, 100)


@pytest.mark.parametrize(("silent", "heard"), [(20, 80), (19, 1), (5, 1)])
def test_the_brake_lets_ordinary_failures_through(silent: int, heard: int) -> None:
    """A fifth of the fleet, or fewer than 20 hosts, are marked as the timers say."""
    decision = sweep(fleet(silent, heard), lambda row: HOUR, NOW, STEADY)
    assert [t.kind for t in decision.transitions] == ["offline"] * silent
    assert not decision.brakes


def test_a_silent_region_isolates_nobody() -> None:
    """When no VEN at all was heard for an interval, the fault is more likely ours."""
    decision = sweep(fleet(3, 0), lambda row: HOUR, NOW, STEADY)
    assert {t.kind for t in decision.transitions} == {"missed_heartbeats"}
    assert decision.brakes[0].reason == "region_silent"


def test_a_single_ven_is_no_region() -> None:
    """The silence of one host says nothing about our side, nor do those who went on purpose."""
    rows = [ven(4000), ven(4000, status="suspended"), ven(100, goodbye_at=NOW - 100)]
    decision = sweep(rows, lambda row: HOUR, NOW, STEADY)
    assert [t.kind for t in decision.transitions] == ["offline"]


def test_a_person_can_release_the_brake() -> None:
    """Once confirmed, the silent VENs are marked."""
    decision = sweep(fleet(30, 0), lambda row: HOUR, NOW, STEADY, BrakeRules(), {ORG: NOW + 60})
    assert [t.kind for t in decision.transitions] == ["offline"] * 30


def test_one_braked_org_does_not_brake_another() -> None:
    """Tenants are apart here too."""
    other = [replace(ven(4000), org_id=OrgId(2)), replace(ven(1), org_id=OrgId(2))]
    decision = sweep(fleet(50, 50) + other, lambda row: HOUR, NOW, STEADY)
    assert [t.seen.org_id for t in decision.transitions if t.kind == "offline"] == [OrgId(2)]


@pytest.mark.parametrize("heartbeat_s", [60, 300, 3600])
def test_a_heartbeat_that_is_not_due_is_not_missed(heartbeat_s: int) -> None:
    """However short a timer is set: nobody is warned about, or isolated, who is heard on time."""
    document = {
        "workload_disconnected_timeout_seconds": [{"scope": [], "value": 1}],
        "workload_disconnected_notification_seconds": [{"scope": [], "info": 1, "warning": 1}],
        "ven_heartbeat_interval_seconds": [{"scope": [], "value": heartbeat_s}],
    }
    timers = TimerSettings(document).timers_for("server")
    late_s = int(heartbeat_s * 1.5)
    assert kinds(ven(late_s - 1), timers=timers) == []
    assert kinds(ven(late_s), timers=timers) == ["offline"]


def test_the_default_is_an_hour_or_twelve_heartbeats() -> None:
    """Whichever is longer: heartbeats every ten minutes make it two hours."""
    assert TimerSettings({}, heartbeat_s=60).timers_for("server").offline_s == 3600
    assert TimerSettings({}, heartbeat_s=600).timers_for("server").offline_s == 7200


def test_container_hosts_go_by_their_own_entries_then_by_those_of_servers() -> None:
    """A scope and a VEN type pick a timer together."""
    offline = "workload_disconnected_timeout_seconds"
    document = {offline: [{"scope": [], "value": 1000}]}
    assert TimerSettings(document).timers_for("containerized").offline_s == 1000
    document[offline].append({"scope": [], "value": 2000, "ven_type": "containerized"})
    settings = TimerSettings(document)
    found = [
        settings.timers_for(kind).offline_s for kind in ("server", "containerized", "endpoint")
    ]
    assert found == [1000, 2000, 86_400]


def test_three_severities_each_once_the_gravest_that_is_due() -> None:
    """Info, warning and error thresholds; a late sweep raises the last one alone."""
    timers = Timers(offline_s=3600, info_s=600, warning_s=900, error_s=1800)

    def raised(silent_s: int, *flags: str) -> list[str]:
        row = ven(silent_s, flags=frozenset(flags))
        decision = sweep((row, ven(0)), lambda row: timers, NOW, STEADY)
        return [t.severity + ":" + ",".join(sorted(t.flags)) for t in decision.transitions]

    assert raised(599) == []
    assert raised(600) == ["info:noted"]
    assert raised(900, "noted") == ["warning:noted,warned"]
    assert raised(1800) == ["err:alarmed,noted,warned"]
    assert raised(1800, "alarmed", "noted", "warned") == []


def test_those_who_fell_silent_together_are_held_however_they_come_due() -> None:
    """Half of a fleet is cut off. Its heartbeats were spread over five minutes, so that a minute's
    sweep sees a tenth of the fleet at a time; a short timer even fewer, long before the others."""
    rows = [ven(3600 - 6 * number) for number in range(50)] + [ven(10) for _ in range(50)]
    short = Timers(offline_s=3500)
    for shortest in (HOUR, short):
        decision = sweep(rows, lambda row, t=shortest: t if row is rows[0] else HOUR, NOW, STEADY)
        assert {t.kind for t in decision.transitions} == {"missed_heartbeats"}
        (brake,) = decision.brakes
        assert (brake.reason, brake.held_back, brake.online) == ("together", 1, 100)


def test_a_server_that_dies_when_notebooks_are_closed_is_not_held_with_them() -> None:
    """Endpoints fall silent together every evening, and their timer is a day."""
    day = Timers(offline_s=86_400)
    notebooks = [ven(4000, ven_type="endpoint") for _ in range(60)]
    servers = [ven(4000)] + [ven(10) for _ in range(40)]
    decision = sweep(
        [*notebooks, *servers],
        lambda row: day if row.ven_type == "endpoint" else HOUR,
        NOW,
        STEADY,
    )
    assert [t.seen for t in decision.transitions if t.kind == "offline"] == servers[:1]


def test_one_who_went_alone_is_not_held_with_the_others() -> None:
    """A host that died two hours before the outage is isolated, whatever became of the rest."""
    alone = ven(10_000)
    rows = [alone] + [ven(4000 + number) for number in range(5)] + [ven(10) for _ in range(14)]
    rules = BrakeRules(minimum=5)
    decision = sweep([*rows, *(ven(20) for _ in range(9))], lambda row: HOUR, NOW, STEADY, rules)
    assert len(decision.brakes) == 1
    one_by_one = [*rows[:2], *(replace(row, last_heartbeat=NOW - 3500) for row in rows[2:6])]
    decision = sweep([*one_by_one, *rows[6:]], lambda row: HOUR, NOW, STEADY, rules)
    assert [t.seen for t in decision.transitions if t.kind == "offline"] == [alone, rows[1]]
    slow = Timers(offline_s=3600, heartbeat_s=600)
    decision = sweep([*one_by_one, *rows[6:]], lambda row: slow, NOW, STEADY, rules)
    assert [t.seen for t in decision.transitions if t.kind == "offline"] == [alone]


def test_an_unpaired_ven_is_forgotten_after_the_uninstall_timer_and_not_warned_about() -> None:
    """300 hours after it was unpaired or heard for the last time."""
    hours = 3600
    assert kinds(ven(10_000, unpaired_at=NOW - 9_000)) == []
    assert kinds(ven(300 * hours, unpaired_at=NOW - 300 * hours + 1)) == []
    assert kinds(ven(300 * hours - 1, unpaired_at=NOW - 400 * hours)) == []
    assert kinds(ven(300 * hours, unpaired_at=NOW - 300 * hours)) == ["uninstall_expired"]
    never = Timers(uninstall_s=NEVER)
    assert kinds(ven(10**6, unpaired_at=1), timers=never) == []
