"""Settings and audit events of an organization."""

from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.presence.timers import TimerSettings
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api


def test_the_first_get_shows_the_defaults(api: Api) -> None:
    """Every timer has an entry for all servers: an hour, a quarter of an hour."""
    settings = api.get(f"{api.org}/settings/workloads")
    assert settings["href"] == f"{api.org}/settings/workloads"
    offline = settings["workload_disconnected_timeout_seconds"]
    assert {"scope": [], "value": 3600, "ven_type": "server"} in offline
    assert {"scope": [], "value": 86400, "ven_type": "endpoint"} in offline
    goodbye = settings["workload_goodbye_timeout_seconds"]
    assert {"scope": [], "value": 900, "ven_type": "server"} in goodbye


def test_timers_are_stored_as_the_sweep_reads_them(api: Api, stores: Wiring) -> None:
    """A client that sends "" for the VEN type means server; the other lists stay."""
    sent = {"scope": [], "value": 20, "ven_type": ""}
    api.put(f"{api.org}/settings/workloads", {"workload_disconnected_timeout_seconds": [sent]})
    settings = api.get(f"{api.org}/settings/workloads")
    assert settings["workload_disconnected_timeout_seconds"] == [{**sent, "ven_type": "server"}]
    assert settings["workload_goodbye_timeout_seconds"][0]["value"] == 900
    stored = stores.objects.get(OrgId(api.created["org_id"]), "settings", "workloads")
    assert stored is not None
    timers = TimerSettings(stored.document, heartbeat_s=1).timers_for("server")
    assert (timers.offline_s, timers.warning_s, timers.goodbye_s) == (20, 5, 900)
    [event] = api.events("workload_settings.update")
    changes = event["resource_changes"][0]["changes"]
    assert changes["workload_disconnected_timeout_seconds"]["before"][0]["value"] == 3600


def test_timers_may_be_scoped_by_labels(api: Api) -> None:
    """A scope of existing labels is kept, and keeps its labels."""
    label = api.post(f"{api.org}/labels", {"key": "env", "value": "prod"})["href"]
    entry = {"scope": [{"href": label}], "value": -1, "ven_type": "server"}
    api.put(f"{api.org}/settings/workloads", {"workload_goodbye_timeout_seconds": [entry]})
    shown = api.get(f"{api.org}/settings/workloads")["workload_goodbye_timeout_seconds"]
    assert shown == [entry]
    assert api.call("DELETE", label).tokens == ["label_in_use"]


@pytest.mark.parametrize(
    "entry",
    [
        {"scope": [], "value": 0},
        {"scope": [], "value": -2},
        {"scope": [], "value": 2**31},
        {"scope": [], "value": "60"},
        {"scope": [], "value": True},
        {"scope": []},
        {"scope": [{"href": "/orgs/1/labels/99"}], "value": 60},
        {"scope": [], "value": 60, "ven_type": "toaster"},
        "60",
    ],
)
def test_timers_that_make_no_sense_are_406(shared_api: Api, entry: object) -> None:
    """-1 is never; everything else has bounds, and the answer names the entry."""
    path = f"{shared_api.org}/settings/workloads"
    body = {"workload_disconnected_timeout_seconds": [entry]}
    assert shared_api.call("PUT", path, body).status == 406
    assert shared_api.get(path)["workload_disconnected_timeout_seconds"][0]["value"] == 3600


CONTRADICTIONS = {
    "warning_after_offline": [
        {"warnings": [{"scope": [], "warning": 3601}]},
        {"warnings": [{"scope": [], "warning": 5000}],
         "offline": [{"scope": ["prod"], "value": 4000}, {"scope": [], "value": 9000}]},
        {"warnings": [{"scope": ["web"], "warning": 5000}],
         "offline": [{"scope": ["prod"], "value": 4000}, {"scope": [], "value": 9000}]},
        {"warnings": [{"scope": [], "info": 900, "warning": 600}]},
        {"warnings": [{"scope": [], "warning": 86_401, "ven_type": "endpoint"}]},
    ],
    "timer_repeated": [{"offline": [{"scope": [], "value": 9000}, {"scope": [], "value": 9001}]}],
    "scope_key_repeated": [{"offline": [{"scope": ["prod", "test"], "value": 9000}]}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("token", "said"), [(token, said) for token, all in CONTRADICTIONS.items() for said in all]
)
def test_timers_that_contradict_each_other_are_406_and_change_nothing(
    shared_api: Api, labels: dict[str, str], token: str, said: dict[str, Any]
) -> None:
    """A warning after the VEN is offline, whatever scopes meet in one VEN; a scope that no workload
    can have; two entries for the same VENs. The answer names the place."""
    path = f"{shared_api.org}/settings/workloads"
    before = shared_api.get(path)
    answer = shared_api.call("PUT", path, as_settings(said, labels))
    assert (answer.status, answer.tokens) == (406, [token])
    assert answer.json[0]["field"].startswith("workload_disconnected_")
    assert shared_api.get(path) == before


@pytest.mark.parametrize(
    "said",
    [
        # No workload has both labels; the more exact entry holds; never; -1.
        {"warnings": [{"scope": ["test"], "warning": 5000}],
         "offline": [{"scope": ["prod"], "value": 4000}, {"scope": [], "value": 9000}]},
        {"warnings": [{"scope": [], "warning": 5000}, {"scope": ["prod"], "warning": 100}],
         "offline": [{"scope": ["prod"], "value": 4000}, {"scope": [], "value": 9000}]},
        {"warnings": [{"scope": [], "warning": 5000}], "offline": [{"scope": [], "value": -1}]},
        {"warnings": [{"scope": [], "warning": -1}], "offline": [{"scope": [], "value": 1}]},
        {"warnings": [{"scope": [], "warning": 80_000, "ven_type": "endpoint"}]},
    ],
)  # fmt: skip
def test_timers_that_seem_to_contradict_each_other_and_do_not(
    api: Api, said: dict[str, Any]
) -> None:
    """What holds for no VEN together is no contradiction."""
    api.put(f"{api.org}/settings/workloads", as_settings(said, made_labels(api)))


def test_timers_are_judged_with_those_that_were_set_before(api: Api) -> None:
    """A PUT of one list must fit the others."""
    path = f"{api.org}/settings/workloads"
    api.put(path, as_settings({"warnings": [{"scope": [], "warning": 1000}]}, {}))
    too_short = as_settings({"offline": [{"scope": [], "value": 999}]}, {})
    assert api.call("PUT", path, too_short).tokens == ["warning_after_offline"]


def as_settings(said: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """The body of a PUT; scopes name labels by their values."""
    names = {
        "offline": "workload_disconnected_timeout_seconds",
        "warnings": "workload_disconnected_notification_seconds",
    }
    return {
        names[name]: [
            {**entry, "scope": [{"href": labels[value]} for value in entry["scope"]]}
            for entry in entries
        ]
        for name, entries in said.items()
    }


def made_labels(api: Api) -> dict[str, str]:
    """Href by value: two of one dimension, one of another."""
    return {
        value: api.post(f"{api.org}/labels", {"key": key, "value": value})["href"]
        for key, value in (("env", "prod"), ("env", "test"), ("role", "web"))
    }


@pytest.fixture(scope="module")
def labels(shared_api: Api) -> dict[str, str]:
    return made_labels(shared_api)


def test_the_other_pages(api: Api) -> None:
    """Event settings and general ones: read, changed in part, read back."""
    api.put(f"{api.org}/settings/events", {"audit_event_min_severity": "warning"})
    shown = api.get(f"{api.org}/settings/events")
    assert (shown["audit_event_min_severity"], shown["format"]) == ("warning", "JSON")
    low = {"audit_event_retention_seconds": 60}
    assert api.call("PUT", f"{api.org}/settings/events", low).status == 406
    api.put(f"{api.org}/settings", {"ven_maintenance_token_required": True})
    assert api.get(f"{api.org}/settings")["ven_maintenance_token_required"] is True


@pytest.fixture
def three_events(api: Api) -> list[dict[str, Any]]:
    """Three label events beside the org's own, newest first."""
    made = [
        api.post(f"{api.org}/labels", {"key": "role", "value": value})["href"]
        for value in ("one", "two")
    ]
    api.delete(made[0])
    found: list[dict[str, Any]] = api.get(f"{api.org}/events")
    return found


def test_events_are_newest_first(api: Api, three_events: list[dict[str, Any]]) -> None:
    """With an id that sorts by time, and readable one by one."""
    assert [e["event_type"] for e in three_events][-1] == "org.create"
    assert [e["timestamp"] for e in three_events] == sorted(
        (e["timestamp"] for e in three_events), reverse=True
    )
    assert all(api.get(event["href"]) == event for event in three_events)
    assert api.call("GET", f"{api.org}/events/{'0' * 8}-0000-7000-8000-{'0' * 12}").status == 404
    assert api.call("GET", f"{api.org}/events/x").status == 406


def test_events_have_the_form_that_clients_check(three_events: list[dict[str, Any]]) -> None:
    """``created_by`` is never null, status and severity are from the known lists."""
    for event in three_events:
        assert event["created_by"] and event["pce_fqdn"] == "pce.test"
        assert event["status"] in ("success", "failure", None)
        assert event["severity"] in ("info", "warning", "err")
        assert isinstance(event["resource_changes"], list)
        assert isinstance(event["notifications"], list)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"event_type": "label.create"}, 2),
        ({"event_type": "label"}, 0),
        ({"severity": "info"}, 4),
        ({"severity": "err"}, 0),
        ({"status": "success"}, 4),
        ({"created_by": "system"}, 1),
        ({"created_by": "user"}, 3),
        ({"max_results": "2"}, 2),
        ({"timestamp[gte]": "2000-01-01T00:00:00+00:00"}, 4),
        ({"timestamp[lte]": "2000-01-01T00:00:00Z"}, 0),
        ({"timestamp[gte]": "2100-01-01T00:00:00.123456789Z"}, 0),
    ],
)
def test_event_filters(
    api: Api, three_events: list[dict[str, Any]], query: dict[str, str], found: int
) -> None:
    """Types, severities and statuses exactly; times with any offset and precision."""
    answer = api.call("GET", f"{api.org}/events", query=query)
    assert len(answer.json) == found
    assert answer.headers["x-total-count"] == str(found)


def test_orgs_do_not_see_each_others_events(api: Api, three_events: list[dict[str, Any]]) -> None:
    """An event of one org has no href in another."""
    from tests.fakes.api import new_org

    other = new_org("Other")
    assert [e["event_type"] for e in other.get(f"{other.org}/events")] == ["org.create"]
    id = three_events[0]["href"].rsplit("/", 1)[-1]
    assert other.call("GET", f"{other.org}/events/{id}").status == 404
