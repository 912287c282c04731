"""VENs and their pairing, as the management API shows and changes them."""

import time
import uuid
from datetime import datetime
from typing import Any

import pytest

from pce.errors import Unauthenticated
from pce.identifiers import OrgId
from pce.policy.parts import Target, WideHead, WidePart
from pce.runtime.wiring import Wiring
from pce.usecases.change_ven_state import deactivate
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.record_reports import record_interfaces, record_services, record_users
from pce.usecases.sweep_presence import sweep_presence
from tests.fakes.api import Api
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import (
    Deactivate,
    HealthCondition,
    Heartbeat,
    HostFacts,
    InteractiveUser,
    Interface,
    InterfacesReport,
    OpenPort,
    ServicesReport,
    UsersReport,
)

NOW = 1_800_000_000


def org(api: Api) -> OrgId:
    return OrgId(api.created["org_id"])


def heartbeat(
    ven: PairedVen, stores: Wiring, now: int, etag: str = "", platform: Any = "linux", **more: Any
) -> Any:
    facts = HostFacts(hostname="web-1", version="1.2.3-4", os_id="debian-12", os_platform=platform)
    message = Heartbeat(host=facts, uptime_seconds=77, applied_etag=etag, **more)
    return record_heartbeat(ven.token, message, stores, now)


def test_a_paired_machine_is_a_workload_and_a_ven(api: Api, stores: Wiring) -> None:
    """Both under one UUID, joined with what presence knows."""
    ven = pair(api, stores)
    heartbeat(ven, stores, NOW + 60)
    workload, shown = api.get(ven.workload_href), api.get(ven.href)
    assert ven.href == ven.workload_href.replace("/workloads/", "/vens/")
    assert workload["managed"] is True and workload["ven"]["href"] == ven.href
    assert workload["agent"]["href"] == f"{api.org}/agents/1"
    status = workload["agent"]["status"]
    assert status["agent_version"] == "1.2.3-4" and status["uptime_seconds"] == 77
    assert status["last_heartbeat_on"] == shown["last_heartbeat_at"] == "2027-01-15T08:01:00.000Z"
    assert (shown["status"], shown["ven_type"], shown["conditions"]) == ("active", "server", [])
    assert [w["href"] for w in shown["workloads"]] == [ven.workload_href]
    assert shown["interfaces"][0]["href"] == f"{ven.workload_href}/interfaces/eth0"
    assert api.get(f"{api.org}/vens") == [shown]
    assert [w["href"] for w in api.get(f"{api.org}/workloads", managed="true")] == [
        ven.workload_href
    ]


def test_sync_state_follows_the_reported_policy(api: Api, stores: Wiring) -> None:
    """``applied`` when the VEN holds what it should, else ``syncing``; it can be asked for."""
    ven = pair(api, stores)
    stores.presence.set_target(org(api), ven.id, Target("e" * 32, 0), 1, now=1)
    heartbeat(ven, stores, NOW + 60)
    status = "agent.status.security_policy_sync_state"
    assert _at(api.get(ven.workload_href), status) == "syncing"
    heartbeat(ven, stores, NOW + 120, etag="e" * 32)
    assert _at(api.get(ven.workload_href), status) == "applied"
    found = api.get(f"{api.org}/workloads", security_policy_sync_state="applied")
    assert [w["href"] for w in found] == [ven.workload_href]
    assert api.get(f"{api.org}/workloads", security_policy_sync_state="syncing") == []


def test_a_wide_part_that_changed_is_not_in_sync(api: Api, stores: Wiring) -> None:
    """Its VENs' rows stay as they are; what they applied is older than the org's wide head."""
    ven = pair(api, stores)
    stores.presence.set_target(org(api), ven.id, Target("e" * 32, 0b1), 1, now=1)
    old = WideHead(generation=1, parts={"w1": WidePart(0, 1, "a")})
    new = WideHead(generation=2, parts={"w1": WidePart(0, 2, "b")})
    stores.policies.replace_wide_head(org(api), WideHead(), old, NOW)
    heartbeat(ven, stores, NOW + 60, etag="e" * 32 + ".1")
    status = "agent.status.security_policy_sync_state"
    assert _at(api.get(ven.workload_href), status) == "applied"
    stores.policies.replace_wide_head(org(api), old, new, NOW)
    stores.policies.wide_head(org(api))  # what this process remembers is up to 2 s old
    assert _at(api.get(ven.workload_href), status) == "syncing"


def _at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document[name]
    return document


def test_a_warned_ven_has_a_condition(api: Api, stores: Wiring) -> None:
    """Missed heartbeats are a condition of the VEN, and its health can be asked for."""
    ven, well = pair(api, stores), pair(api, stores, "well")
    sweep_presence(stores, NOW, 1000)
    heartbeat(well, stores, NOW + 1000)
    sweep_presence(stores, NOW + 1000, 1000)
    [condition] = api.get(ven.href)["conditions"]
    assert condition["latest_event"]["notification_type"] == "agent.missed_heartbeats"
    assert [v["href"] for v in api.get(f"{api.org}/vens", health="unhealthy")] == [ven.href]
    assert [v["href"] for v in api.get(f"{api.org}/vens", health="healthy")] == [well.href]
    by_condition = api.get(f"{api.org}/vens", condition="agent.missed_heartbeats")
    assert [v["href"] for v in by_condition] == [ven.href]
    assert api.get(ven.workload_href)["agent"]["status"]["agent_health"]


def test_what_a_ven_says_is_wrong_is_a_condition(api: Api, stores: Wiring) -> None:
    """A damaged policy, told with a heartbeat, is shown with the VEN and its workload, and can be
    asked for, until a heartbeat comes without it."""
    ven = pair(api, stores)
    sick = HealthCondition(code="policy_damaged", severity="error", message="cut short")
    heartbeat(ven, stores, NOW + 1, health=[sick])
    [condition] = api.get(ven.href)["conditions"]
    event = condition["latest_event"]
    assert (event["notification_type"], event["severity"]) == ("policy_damaged", "error")
    assert event["info"]["message"] == "cut short"
    assert [v["href"] for v in api.get(f"{api.org}/vens", condition="policy_damaged")] == [ven.href]
    workload = api.get(ven.workload_href)
    assert workload["policy_health"] == "error"
    assert [h["type"] for h in workload["agent"]["status"]["agent_health"]] == ["policy_damaged"]
    heartbeat(ven, stores, NOW + 2)
    assert api.get(ven.href)["conditions"] == []
    assert api.get(ven.workload_href)["policy_health"] == "active"


def test_open_ports_are_shown_with_one_workload(api: Api, stores: Wiring) -> None:
    """The full list on a single GET, with every key; lists of workloads stay small."""
    ven = pair(api, stores)
    report = ServicesReport(
        uptime_seconds=5, open_ports=[OpenPort(protocol=6, address="0.0.0.0", port=22)]
    )
    record_services(ven.token, report, stores, NOW + 60)
    [port] = api.get(ven.workload_href)["services"]["open_service_ports"]
    assert (port["port"], port["process_name"], port["win_service_name"]) == (22, None, None)
    [listed] = api.get(f"{api.org}/workloads")
    assert listed["services"]["open_service_ports"] == []


def test_users_are_shown_with_one_workload(api: Api, stores: Wiring) -> None:
    """Who is logged on to a Windows host, with an event when that changes; lists do not say."""
    now = int(time.time())  # events of the future are not listed
    ven = pair(api, stores, "desk-1", now=now, ven_type="endpoint")
    heartbeat(ven, stores, now, platform="windows")
    report = UsersReport(
        users=[InteractiveUser(name="ACME\\ann", sid="S-1-5-21-7", groups=["S-1"])]
    )
    now = int(time.time())  # events of the future are not listed
    for again in (0, 1):
        record_users(ven.token, report, stores, now + again)
    shown = api.get(ven.workload_href)
    assert shown["os_type"] == "windows"
    assert shown["interactive_users"] == [
        {"name": "ACME\\ann", "sid": "S-1-5-21-7", "groups": ["S-1"]}
    ]
    assert len(list(api.events("agent.update_interactive_users"))) == 1
    record_users(ven.token, UsersReport(users=[]), stores, now + 2)
    assert api.get(ven.workload_href)["interactive_users"] == []
    assert "interactive_users" not in api.get(f"{api.org}/workloads")[0]


def test_wireless_on_a_server_is_a_condition(api: Api, stores: Wiring) -> None:
    """An operator sees why peers do not know the address; of an endpoint nothing is said."""
    wireless = [Interface(name="wlan0", address="10.8.0.1", kind="wireless")]
    for ven_type, codes in (("server", ["agent.wireless_not_supported"]), ("endpoint", [])):
        ven = pair(api, stores, ven_type=ven_type)
        record_interfaces(ven.token, InterfacesReport(interfaces=wireless), stores, NOW + 60)
        found = [c["latest_event"]["notification_type"] for c in api.get(ven.href)["conditions"]]
        assert found == codes
        assert api.get(ven.workload_href)["interfaces"][0]["address"] == "10.8.0.1"


def test_a_ven_has_a_name_of_its_own(api: Api, stores: Wiring) -> None:
    """PUT changes name and description; what the VEN says of itself is not writable."""
    ven = pair(api, stores)
    api.put(ven.href, {"name": "front", "hostname": "x", "description": "d"})
    shown = api.get(ven.href)
    assert (shown["name"], shown["hostname"], shown["description"]) == ("front", "web-1", "d")
    assert api.get(f"{api.org}/vens", name="RON")[0]["href"] == ven.href
    assert api.call("PUT", ven.href, {"status": "stopped"}).status == 406


def test_a_person_may_mark_a_ven_suspended(api: Api, stores: Wiring) -> None:
    """It is suspended in presence too, so that the sweep leaves it in policy; and back."""
    ven = pair(api, stores)
    api.put(ven.href, {"status": "suspended"})
    row = stores.presence.get(org(api), ven.id)
    assert row is not None and row.status == "suspended"
    assert api.get(ven.href)["status"] == "suspended"
    assert api.get(ven.workload_href)["policy_health"] == "suspended"
    assert len(list(api.events("agent.suspend"))) == 1
    api.put(ven.href, {"status": "active"})
    assert api.get(ven.href)["status"] == "active"


def test_unpairing_takes_effect_at_once(api: Api, stores: Wiring) -> None:
    """Workload and VEN are deleted and leave policy; the VEN learns of it with its next heartbeat,
    since its token works until it has confirmed."""
    ven = pair(api, stores)
    result = api.put(
        f"{api.org}/vens/unpair",
        {"vens": [{"href": ven.href}], "firewall_restore": "default"},
        status=200,
    )
    assert result == {"errors": []}
    assert api.get(ven.workload_href)["deleted"] is True
    assert (api.get(ven.href)["status"], api.get(ven.href)["caps"]) == ("uninstalled", [])
    assert api.get(f"{api.org}/vens") == api.get(f"{api.org}/workloads") == []
    assert stores.objects.change_log(org(api))[-1].reason == "unpair"
    [action] = heartbeat(ven, stores, NOW + 60).actions
    assert (action.type, action.params) == ("unpair", {"firewall_restore": "default"})
    deactivate(ven.token, Deactivate(firewall_restore="default"), stores, NOW + 61)
    with pytest.raises(Unauthenticated):
        heartbeat(ven, stores, NOW + 62)
    [event] = api.events("agents.unpair")
    assert event["resource_changes"][0]["resource"]["workload"]["href"] == ven.workload_href


def test_unpairing_reports_what_it_could_not(api: Api, stores: Wiring) -> None:
    """Errors by token with hrefs; the others are unpaired."""
    one, two = pair(api, stores, "one"), pair(api, stores, "two")
    api.put(f"{api.org}/vens/unpair", {"vens": [{"href": two.href}]}, status=200)
    unknown = f"{api.org}/vens/{uuid.uuid4()}"
    hrefs = [one.href, two.href, unknown, one.href, one.href.replace(api.org, "/orgs/99")]
    result = api.put(
        f"{api.org}/vens/unpair", {"vens": [{"href": href} for href in hrefs]}, status=200
    )
    assert sorted((e["token"], len(e["hrefs"])) for e in result["errors"]) == [
        ("ven_already_deleted", 1),
        ("ven_not_found", 1),
        ("ven_not_found", 1),
    ]
    assert api.get(one.workload_href)["deleted"] is True


@pytest.mark.parametrize(
    "body",
    [{}, {"vens": []}, {"vens": [{}]}, {"vens": "all"}, [], {"vens": [{"href": "x"}] * 1001}],
)
def test_unpairing_nothing_is_406(shared_api: Api, body: object) -> None:
    """The list must name VENs, at most 1,000."""
    answer = shared_api.call("PUT", f"{shared_api.org}/vens/unpair", body)
    assert (answer.status, answer.tokens) == (406, ["invalid_bulk_request"])


def test_many_are_unpaired_in_one_call(api: Api, stores: Wiring) -> None:
    """More than fit into one transaction; the older path by workload does the same."""
    vens = [pair(api, stores, f"host-{number}") for number in range(23)]
    body = {"workloads": [{"href": ven.workload_href} for ven in vens]}
    assert api.put(f"{api.org}/workloads/unpair", body, status=200) == {"errors": []}
    assert api.get(f"{api.org}/vens") == []
    assert len(api.get(f"{api.org}/vens", include_deleted="true")) == 23


def test_a_pairing_profile_says_its_limits_as_text(api: Api) -> None:
    """Defaults are ``unlimited``; numbers are kept as text, the only form that all clients read."""
    made = api.post(f"{api.org}/pairing_profiles", {"enabled": True, "name": "p"})
    assert (made["allowed_uses_per_key"], made["key_lifespan"]) == ("unlimited", "unlimited")
    assert made["description"] == "" and made["role_label_lock"] is True
    assert "key_generation" not in made
    api.put(made["href"], {"allowed_uses_per_key": 1, "key_lifespan": "60"})
    after = api.get(made["href"])
    assert (after["allowed_uses_per_key"], after["key_lifespan"]) == ("1", "60")
    for bad in (0, "none", True, -1, 1.5):
        assert api.call("PUT", made["href"], {"allowed_uses_per_key": bad}).status == 406
    api.delete(made["href"])
    assert api.call("GET", made["href"]).status == 404


@pytest.fixture
def profile(api: Api) -> str:
    """A pairing profile whose keys work once, for a minute."""
    body = {"enabled": True, "name": "p", "allowed_uses_per_key": 1, "key_lifespan": 60}
    return str(api.post(f"{api.org}/pairing_profiles", body)["href"])


def refused(api: Api, stores: Wiring, code: str, now: int) -> str:
    with pytest.raises(Unauthenticated) as error:
        pair(api, stores, now=now, activation_code=code)
    return error.value.problems[0].token


def test_activation_codes_are_used_up_and_expire(api: Api, stores: Wiring, profile: str) -> None:
    """Under the limits that the profile had when the code was made; each refusal says which."""
    used, late = (api.post(f"{profile}/pairing_key")["activation_code"] for _ in range(2))
    assert len(used) >= 64 and used != late
    now = _now(api)
    pair(api, stores, now=now, activation_code=used)
    assert refused(api, stores, used, now) == "activation_code_used_up"
    assert refused(api, stores, late, now + 61) == "activation_code_expired"
    assert len(list(api.events("pairing_profile.create_pairing_key"))) == 2


def _now(api: Api) -> int:
    return int(datetime.fromisoformat(api.get("/health")[0]["generated_at"]).timestamp())


def test_all_keys_of_a_profile_are_revoked_in_one_write(
    api: Api, stores: Wiring, profile: str
) -> None:
    """Every code of it is unknown from then on; codes made later, and other profiles', work."""
    old = api.post(f"{profile}/pairing_key")["activation_code"]
    api.delete(f"{profile}/pairing_keys")
    now = _now(api)
    assert refused(api, stores, old, now) == "activation_code_unknown"
    pair(api, stores, now=now)
    pair(
        api, stores, now=now, activation_code=api.post(f"{profile}/pairing_key")["activation_code"]
    )


def test_a_disabled_or_deleted_profile_pairs_nobody(api: Api, stores: Wiring, profile: str) -> None:
    """No new codes, and those given out are refused."""
    code = api.post(f"{profile}/pairing_key")["activation_code"]
    api.put(profile, {"enabled": False})
    prepared = api.post(f"{profile}/pairing_key")["activation_code"]
    for one in (code, prepared):
        assert refused(api, stores, one, _now(api)) == "activation_code_disabled"
    api.delete(profile)
    assert refused(api, stores, code, _now(api)) == "activation_code_disabled"
