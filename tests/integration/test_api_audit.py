"""What changes leave behind: one event each, with who, from where, how, and what it was before."""

import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from functions.api import handler as api_handler
from pce.runtime.api_answer import ROUTES
from pce.runtime.wiring import Wiring
from tests.fakes.api import Answer, Api, basic, new_org
from tests.fakes.changing_calls import RELEASES, changing_calls, made_by
from tests.fakes.installation import fake_aws, installed
from tests.fakes.pairing import pair
from tests.fakes.people import member

ELSEWHERE = {
    # They need a password, staged policy, a clone, a keytab: test_api_users.py,
    # test_api_staged_policy.py, test_clones.py, test_kerberos.py.
    ("POST", "/login_users/authenticate"),
    ("POST", "/login_users/accept_invitation"),
    ("PUT", "/login_users/users/{id}/password"),
    ("PUT", "/orgs/{org}/workloads/apply_policy"),
    ("PUT", "/orgs/{org}/vens/clear_conditions"),
    ("PUT", "/orgs/{org}/settings/kerberos"),
    # Always refused: test_api_users.py.
    ("POST", "/authentication_settings/ldap_configs"),
    ("POST", "/authentication_settings/saml_configs"),
}
NOTHING_BEFORE_OR_AFTER = {
    # What VENs are asked to do; the notification says what.
    "agent.request_upgrade",
    "agent.generate_maintenance_token",
    "vens.authentication_recovery",  # says until when in a notification
    "workloads.set_flow_reporting_frequency",
    "agent_support_report_request.create",
    "agent_support_report_request.delete",
    "user.logout",  # says in a notification whose session ended
    "agents.unpair",  # the workload is deleted
    "agents.bulk_traffic_flows",  # flows are no objects
}


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    with installed(PCE_VEN_RELEASES=RELEASES) as stores:
        yield stores


def _events(api: Api, newest: int = 1000) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = api.get(f"{api.org}/events", max_results=str(newest))
    return events


def test_every_change_is_one_event(stores: Wiring) -> None:
    """Every endpoint that changes something, called once at least."""
    api = new_org("Audit")
    [me] = api.get("/users")
    vens = [pair(api, stores, f"host{n}") for n in range(3)]
    seen = {event["href"] for event in _events(api)}
    called: set[tuple[str, str]] = set()
    wrong: list[str] = []

    def call(method: str, path: str, body: Any) -> Answer:
        answer = api.call(method, path, body)
        assert answer.status < 300, (method, path, answer.status, answer.raw)
        if method == "GET":
            return answer
        found = [r for r in ROUTES if r.method == method and r.pattern.fullmatch(path)]
        called.add((method, found[0].path))
        new = [event for event in _events(api, 20) if event["href"] not in seen]
        seen.update(event["href"] for event in new)
        wrong.extend(
            f"{method} {found[0].path}: {problem}"
            for problem in _problems(new, found[0].event_type, method, path, answer, me)
        )
        return answer

    made_by(changing_calls(api.org, me["href"], vens), call)
    assert not wrong, "\n".join(wrong)
    missing = {(r.method, r.path) for r in ROUTES if r.changes} - called - ELSEWHERE
    assert not missing, f"add these to tests/fakes/changing_calls.py: {sorted(missing)}"


def _problems(
    new: list[dict[str, Any]], event_type: str, method: str, path: str, answer: Answer, me: Any
) -> list[str]:
    if len(new) != 1:
        return [f"{[event['event_type'] for event in new]} instead of {event_type}"]
    [event] = new
    problems = []
    if event["event_type"] != event_type:
        problems.append(f"{event['event_type']} instead of {event_type}")
    if event["created_by"] != {"user": {"href": me["href"], "username": me["username"]}}:
        problems.append(f"by {event['created_by']}")
    action = event["action"]
    said = (action["api_method"], action["api_endpoint"], action["src_ip"])
    if said != (method, f"/api/v2{path}", "192.0.2.1"):
        problems.append(f"says {said}")
    if (event["status"], action["http_status_code"]) != ("success", answer.status):
        problems.append(f"{event['status']}, {action['http_status_code']} for {answer.status}")
    changes = [change for change in event["resource_changes"] if change["changes"]]
    if event_type not in NOTHING_BEFORE_OR_AFTER and "remote" not in path and not changes:
        problems.append("says nothing of before and after")
    return problems


def test_what_it_was_and_what_it_is(api: Api) -> None:
    """Scalars before and after, lists as what came and went; a deletion says what there was."""
    label = api.post(f"{api.org}/labels", {"key": "role", "value": "web"})
    workload = api.post(f"{api.org}/workloads", {"name": "w", "description": "before"})
    api.put(workload["href"], {"description": "after", "labels": [{"href": label["href"]}]})
    api.delete(workload["href"])
    [deleted] = api.events("workload.delete")
    [updated] = api.events("workload.update")
    [change] = updated["resource_changes"]
    assert change["resource"]["workload"]["href"] == workload["href"]
    assert change["changes"]["description"] == {"before": "before", "after": "after"}
    assert change["changes"]["labels"]["created"] == [{"href": label["href"]}]
    [change] = deleted["resource_changes"]
    assert change["changes"]["description"] == {"before": "after", "after": None}
    assert change["change_type"] == "delete"


def test_refused_changes_are_events(api: Api) -> None:
    """406 is the failure of what was tried, with what was answered; questions leave nothing."""
    refused = api.call("POST", f"{api.org}/labels", {"key": "nothing", "value": "x"})
    assert refused.status == 406
    [event] = api.events("label.create")
    assert (event["status"], event["severity"]) == ("failure", "err")
    assert event["action"]["http_status_code"] == 406
    assert event["action"]["errors"][0]["token"] == refused.tokens[0]
    before = len(_events(api))
    assert api.call("GET", f"{api.org}/labels", query={"max_results": "x"}).status == 406
    assert api.call("POST", f"{api.draft}/rule_search", []).status == 406
    assert len(_events(api)) == before


def test_who_may_not_is_an_event(api: Api, stores: Wiring) -> None:
    """With the name of who tried, whether a role or a scope was missing."""
    viewer = member(api, stores, "read_only")
    assert viewer.call("POST", f"{api.org}/labels", {}).status == 403
    [event] = api.events("request.authorization_failed")
    assert event["created_by"]["user"]["username"] == viewer.created["user"]["username"]
    assert event["action"]["http_status_code"] == 403
    assert event["action"]["errors"][0]["token"] == "forbidden"
    manager = member(api, stores, "workload_manager", [])
    theirs = new_org("Theirs")
    assert manager.call("GET", f"{theirs.org}/labels").status == 403
    newest = next(api.events("request.authorization_failed"))
    assert newest["created_by"]["user"]["username"] == manager.created["user"]["username"]
    assert list(theirs.events("request.authorization_failed")) == []


def test_a_wrong_secret_is_an_event_of_the_org(api: Api) -> None:
    """Of the org whose key or user it names; what names nobody is the installation's."""
    api.call("GET", f"{api.org}/labels", authorization=basic(api.created["api_key"], "0" * 64))
    api.call("GET", f"{api.org}/labels", authorization=basic("api_0123456789abcdef", "0" * 64))
    [event] = api.events("request.authentication_failed")
    assert (event["created_by"], event["status"]) == ({"system": {}}, "failure")
    [notification] = event["notifications"]
    assert notification["info"] == {
        "api_endpoint": f"/api/v2{api.org}/labels",
        "api_method": "GET",
        "src_ip": "192.0.2.1",
    }
    items = fake_aws().client("dynamodb").scan(TableName="events")["Items"]
    assert any(item["pk"]["S"].startswith("0#") for item in items)


def test_nobody_fills_the_log_with_refusals(api: Api) -> None:
    """Of 130 in a minute twenty are events, and the hundredth says how many there were."""
    wrong = basic(api.created["api_key"], "0" * 64)
    minute = (time.time() // 60 + 1) * 60  # the next one: the org is younger than this one
    with mock.patch.object(api_handler, "now", lambda: minute):
        for _ in range(130):
            assert api.call("GET", "/health", authorization=wrong).status == 401
    events = list(api.events("request.authentication_failed"))
    assert len(events) == 21
    told = [n["info"] for event in events for n in event["notifications"][1:]]
    assert told == [{"refused_in_this_minute": 100}]
