"""Upgrades and restarts that an operator asks for: what is refused, what VENs are told, how it
ends."""

import json
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store.compression import unpack_json
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.sweep_presence import sweep_presence
from pce.usecases.upgrade_vens import UPGRADE_EXPIRES_S
from tests.fakes.api import Api, new_org
from tests.fakes.installation import fake_aws, installed
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import Heartbeat, HeartbeatReply, HostFacts

START = int(time.time()) + 5
RELEASES = "25.1.9,25.2.0,99.0.0"


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    """This PCE offers three releases; the last is newer than the PCE itself."""
    with installed(PCE_VEN_RELEASES=RELEASES) as stores:
        yield stores


def heartbeat(
    ven: PairedVen,
    stores: Wiring,
    version: str = "1.2.3-4",
    now: int = START,
    platform: Literal["linux", "windows"] = "linux",
    **more: Any,
) -> HeartbeatReply:
    facts = HostFacts(hostname="web-1", version=version, os_platform=platform)
    message = Heartbeat(host=facts, uptime_seconds=7, **more)
    return record_heartbeat(ven.token, message, stores, now)


def events(api: Api, event_type: str) -> list[dict[str, Any]]:
    """The org's events of a type in the table, whenever they happened."""
    items = fake_aws().client("dynamodb").scan(TableName="events")["Items"]
    org = f"{api.created['org_id']}#"
    stored = [unpack_json(i["body"]["B"]) for i in items if i["pk"]["S"].startswith(org)]
    return [event for event in stored if event["event_type"] == event_type]


def notified(api: Api, event_type: str) -> list[str]:
    """The notifications of these events."""
    return [n["notification_type"] for e in events(api, event_type) for n in e["notifications"]]


def upgrade(api: Api, *vens: PairedVen, release: str = "25.2.0", **more: Any) -> Any:
    body = {"vens": [{"href": ven.href} for ven in vens], "release": release, **more}
    return api.put(f"{api.org}/vens/upgrade", body, status=200)["errors"]


def test_an_upgrade_from_asking_to_done(api: Api, stores: Wiring) -> None:
    """The VEN shows its target, is told with its next heartbeat, and when the new release reports,
    there is one event and nothing pending."""
    ven = pair(api, stores)
    assert upgrade(api, ven) == []
    shown = api.get(ven.href)
    assert shown["upgrade_target_version"] == "25.2.0" and shown["upgrade_expires_at"]
    assert [v["href"] for v in api.get(f"{api.org}/vens", upgrade_pending="true")] == [ven.href]
    [action] = heartbeat(ven, stores).actions
    assert (action.type, action.params) == ("upgrade", {"release": "25.2.0"})
    [again] = heartbeat(ven, stores, "25.2.0").actions
    assert again == action, "until it is reported done"
    for _ in range(2):
        assert heartbeat(ven, stores, "25.2.0", done_actions=[action.id]).actions == []
    shown = api.get(ven.href)
    assert (shown["version"], shown["upgrade_target_version"]) == ("25.2.0", None)
    assert shown["conditions"] == []
    [asked] = events(api, "agent.request_upgrade")
    assert asked["resource_changes"][0]["resource"]["workload"]["href"] == ven.workload_href
    [done] = events(api, "agent.upgrade_successful")
    assert done["notifications"][0]["info"]["desired_version"] == "25.2.0"
    assert api.get(f"{api.org}/vens", upgrade_pending="true") == []


def test_an_upgrade_that_fails_is_a_condition_and_an_event(api: Api, stores: Wiring) -> None:
    """With what the VEN said; both go with the next upgrade that is asked for."""
    ven = pair(api, stores)
    upgrade(api, ven)
    [action] = heartbeat(ven, stores).actions
    heartbeat(ven, stores, done_actions=[action.id], failed_actions={action.id: "disk is full"})
    shown = api.get(ven.href)
    assert shown["upgrade_target_version"] is None
    [condition] = shown["conditions"]
    latest = condition["latest_event"]
    assert latest["notification_type"] == "agent.upgrade_failed"
    assert latest["info"]["message"] == "disk is full"
    [failed] = [e for e in events(api, "agent.request_upgrade") if e["status"] == "failure"]
    assert (failed["href"], failed["severity"]) == (latest["href"], "err")
    assert api.get(f"{api.org}/vens", health="error") == [shown]
    upgrade(api, ven)
    assert api.get(ven.href)["conditions"] == []
    [other] = heartbeat(ven, stores).actions
    assert other.id != action.id, "the VEN would not do the same id twice"


def test_done_without_the_release_is_no_success(api: Api, stores: Wiring) -> None:
    """A VEN that knows no upgrades reports them done and ignores them."""
    ven = pair(api, stores)
    upgrade(api, ven)
    [action] = heartbeat(ven, stores).actions
    heartbeat(ven, stores, done_actions=[action.id])
    [condition] = api.get(ven.href)["conditions"]
    assert "still 1.2.3-4" in condition["latest_event"]["info"]["message"]


def test_an_upgrade_times_out_once(api: Api, stores: Wiring) -> None:
    """A day later, however many sweeps there are: a condition, an event, no more action."""
    ven = pair(api, stores)
    upgrade(api, ven)
    row = stores.presence.get(OrgId(api.created["org_id"]), ven.id)
    assert row is not None and row.upgrade_expires_at is not None
    due = row.upgrade_expires_at
    for now in (due - 2, due - 1):
        heartbeat(ven, stores, now=now)
        sweep_presence(stores, now, 60)
    assert api.get(ven.href)["conditions"] == []
    for now in (due, due, due + 60):
        sweep_presence(stores, now, 60)
    [condition] = api.get(ven.href)["conditions"]
    latest = condition["latest_event"]
    assert latest["notification_type"] == "agent.upgrade_time_out"
    assert latest["info"] == {
        "current_version": "1.2.3-4",
        "desired_version": "25.2.0",
        "href": ven.href,
    }
    assert notified(api, "agent.request_upgrade").count("agent.upgrade_time_out") == 1
    assert heartbeat(ven, stores, now=due + 61).actions == []
    assert UPGRADE_EXPIRES_S == 86_400


def test_a_dry_run_changes_nothing(api: Api, stores: Wiring) -> None:
    """It says what would be refused."""
    ven = pair(api, stores)
    before = api.get(ven.href)
    assert upgrade(api, ven, dry_run=True) == []
    [error] = upgrade(api, ven, release="99.0.0", dry_run=True)
    assert error["token"] == "ven_release_newer_than_pce"
    assert api.get(ven.href) == before
    assert heartbeat(ven, stores).actions == []
    assert events(api, "agent.request_upgrade") == []


def test_who_is_not_upgraded_is_told_apart(api: Api, stores: Wiring) -> None:
    """Downgrades, other systems, unknown and foreign VENs, by href; the others are upgraded."""
    newer, old, same = (pair(api, stores, name) for name in ("newer", "old", "same"))
    heartbeat(newer, stores, "25.2.0")
    heartbeat(same, stores, "25.1.9")
    desk = pair(api, stores, "desk")
    heartbeat(desk, stores, platform="windows")
    foreign = pair(new_org("other"), stores, "foreign")
    errors = upgrade(api, newer, old, same, desk, foreign, release="25.1.9")
    assert {error["token"]: error["hrefs"] for error in errors} == {
        "ven_downgrade_not_allowed": [newer.href],
        "ven_upgrade_not_supported": [desk.href],
        "ven_not_found": [foreign.href],
    }
    assert [a.type for a in heartbeat(old, stores).actions] == ["upgrade"]
    for untouched in (newer, same, desk, foreign):
        assert heartbeat(untouched, stores, "25.2.0").actions == []


@pytest.mark.parametrize(
    ("body", "token"),
    [
        ({"release": "25.1.8"}, "ven_release_not_found"),
        ({"release": 5}, "ven_release_not_found"),
        ({"release": "25.2.0", "dry_run": "yes"}, "invalid_attribute"),
        ({"release": "25.2.0", "vens": []}, "invalid_bulk_request"),
    ],
)
def test_impossible_requests_are_406(
    shared_api: Api, stores: Wiring, body: dict[str, Any], token: str
) -> None:
    """Whole, before anything is changed."""
    whole = {"vens": [{"href": f"{shared_api.org}/vens/x"}], **body}
    answer = shared_api.call("PUT", f"{shared_api.org}/vens/upgrade", whole)
    assert (answer.status, answer.tokens) == (406, [token])


def test_the_older_form_names_one_workload(api: Api, stores: Wiring) -> None:
    """POST workloads/{id}/upgrade."""
    ven = pair(api, stores)
    assert api.post(f"{ven.workload_href}/upgrade", {"release": "25.2.0"}, 200) == {"errors": []}
    assert [a.params for a in heartbeat(ven, stores).actions] == [{"release": "25.2.0"}]


def test_connected_vens_get_a_bolt_that_a_degraded_one_heeds(api: Api, stores: Wiring) -> None:
    """It asks for a heartbeat and says that it is about an upgrade."""
    ven = pair(api, stores)
    stores.presence.sign_of_life(ven.token, START, attributes={"ci": {"S": "connection"}})
    upgrade(api, ven)
    sqs, queue = fake_aws().client("sqs"), stores.environment.queues.bolts

    def received() -> list[dict[str, Any]]:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return messages

    [batch] = [json.loads(message["Body"]) for message in received()]
    assert (batch["reason"], batch["kind"]) == ("upgrade", "heartbeat")
    assert [each["connection_id"] for each in batch["orders"]] == ["connection"]


def test_a_restart_is_asked_for_done_and_told(api: Api, stores: Wiring) -> None:
    """Two requests before the heartbeat are one restart; the one after it is another."""
    ven = pair(api, stores)
    body = {"vens": [{"href": ven.href}], "action": "restart"}
    for _ in range(2):
        assert api.put(f"{api.org}/vens/remote_action", body, status=200) == {"errors": []}
    [action] = heartbeat(ven, stores).actions
    assert action.type == "restart"
    assert heartbeat(ven, stores, done_actions=[action.id]).actions == []
    assert notified(api, "agent.update").count("agent.restarted") == 1
    api.put(f"{api.org}/vens/remote_action", body, status=200)
    [other] = heartbeat(ven, stores).actions
    assert other.id != action.id


def test_other_remote_actions_are_406(shared_api: Api) -> None:
    """What a VEN does not know is not asked of it."""
    body = {"vens": [{"href": "x"}], "action": "format"}
    answer = shared_api.call("PUT", f"{shared_api.org}/vens/remote_action", body)
    assert (answer.status, answer.tokens) == (406, ["invalid_attribute"])


def test_releases_are_listed_and_one_is_the_default(api: Api) -> None:
    """The newest first, and the default until another is chosen; what is not offered is 404."""
    releases = f"{api.org}/software/ven/releases"
    assert [r["release"] for r in api.get(releases)] == ["99.0.0", "25.2.0", "25.1.9"]
    assert [r["default"] for r in api.get(releases)] == [True, False, False]
    api.put(f"{releases}/default", {"release": "25.1.9"})
    assert api.get(f"{releases}/25.1.9")["default"] is True
    assert api.get(f"{releases}/25.1.9/images")[0]["filename"] == "ven-25.1.9.tar.gz"
    assert api.call("GET", f"{releases}/1.0.0").status == 404
    answer = api.call("PUT", f"{releases}/default", {"release": "1.0.0"})
    assert (answer.status, answer.tokens) == (406, ["ven_release_not_found"])
    chosen = events(api, "ven_software_releases.set_default_version")
    assert [event["status"] for event in chosen].count("success") == 1


def test_a_release_is_withdrawn_from_an_org_and_given_back(api: Api, stores: Wiring) -> None:
    """Nobody is upgraded to it meanwhile; the default one stays, and another org keeps it."""
    releases = f"{api.org}/software/ven/releases"
    ven = pair(api, stores)
    api.put(f"{releases}/default", {"release": "25.2.0"})
    kept = api.call("DELETE", f"{releases}/25.2.0")
    assert (kept.status, kept.tokens) == (406, ["ven_software_release_is_default"])
    api.delete(f"{releases}/25.1.9")
    assert "25.1.9" not in [one["release"] for one in api.get(releases)]
    for answer in (
        api.call("GET", f"{releases}/25.1.9"),
        api.call("GET", f"{releases}/25.1.9/images"),
        api.call("DELETE", f"{releases}/25.1.9"),
        api.call("PUT", f"{releases}/1.2.3", {}),
    ):
        assert (answer.status, answer.tokens) == (404, ["ven_software_release_not_found"])
    for path, body in (
        (f"{releases}/default", {"release": "25.1.9"}),
        (f"{api.org}/vens/upgrade", {"vens": [{"href": ven.href}], "release": "25.1.9"}),
    ):
        assert api.call("PUT", path, body).tokens == ["ven_release_not_found"]
    other = new_org("Other")
    assert "25.1.9" in [r["release"] for r in other.get(f"{other.org}/software/ven/releases")]
    api.put(f"{releases}/25.1.9", {})
    assert api.get(f"{releases}/25.1.9")["release"] == "25.1.9"


def test_statistics_count_a_fleet(api: Api, stores: Wiring) -> None:
    """All VENs, or those that are named."""
    one, two = pair(api, stores, "one"), pair(api, stores, "two")
    heartbeat(one, stores, "25.2.0")
    api.put(two.href, {"status": "suspended"})
    counts = api.post(f"{api.org}/vens/statistics", {}, 200)
    assert (counts["total"], counts["online"]) == (2, 2)
    assert counts["status"] == {"active": 1, "suspended": 1}
    assert counts["version"] == {"25.2.0": 1, "1.2.3-4": 1}
    only = api.post(f"{api.org}/vens/statistics", {"vens": [{"href": one.href}]}, 200)
    assert (only["total"], only["health"]) == (1, {"healthy": 1})
    answer = api.call("POST", f"{api.org}/vens/statistics", {"vens": [1]})
    assert answer.status == 406


def test_silence_after_an_upgrade_is_told_apart() -> None:
    """A VEN that is not heard any more since it was told to upgrade: another event and condition
    than for any other silent one."""
    with installed(PCE_VEN_RELEASES=RELEASES) as stores:
        api = new_org()
        ven = pair(api, stores)
        upgrade(api, ven)
        heartbeat(ven, stores, now=START)
        for now in (START, START + 500, START + 1000):
            sweep_presence(stores, now, 500)
        assert len(events(api, "system_task.agent_missing_heartbeats_after_upgrade")) == 1
        assert events(api, "system_task.agent_missed_heartbeats_check") == []
        [condition] = api.get(ven.href)["conditions"]
        kind = condition["latest_event"]["notification_type"]
        assert kind == "agent.missing_heartbeats_after_upgrade"
