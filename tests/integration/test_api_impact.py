"""``impact``: whose policy a provisioning would change, before it is made."""

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases import estimate_impact
from tests.fakes.api import Api, new_org
from tests.fakes.estate import OrgEstate

AMS = [{"actors": "ams"}]


@pytest.fixture
def estate(api: Api, stores: Wiring) -> OrgEstate:
    return OrgEstate(api, stores)


def test_those_and_only_those_whose_policy_changes_are_named(estate: OrgEstate) -> None:
    """A subset counts by itself, everything pending without one; asking changes nothing."""
    web, db = estate.label("role", "web"), estate.label("role", "db")
    front = estate.host("front", "10.0.0.1", role=web)
    back = estate.host("back", "10.0.0.2", role=db)
    estate.unmanaged("printer", "10.0.0.3", role=db)
    narrow, wide = estate.rule_set("narrow"), estate.rule_set("wide")
    estate.allow(narrow, [{"label": db}], [{"ip_list": {"href": f"{estate.api.draft}/ip_lists/1"}}])
    estate.allow(wide, AMS, [{"label": web}])
    path = f"{estate.api.org}/sec_policy/impact"
    for body, affected in (
        ({"change_subset": {"rule_sets": [{"href": narrow}]}}, {back}),
        ({"change_subset": {"rule_sets": [{"href": wide}]}}, {front, back}),
        ({}, {front, back}),
    ):
        said = estate.api.post(path, body, 200)
        assert {workload["href"] for workload in said["workloads"]} == affected
        assert (said["workloads_affected"], said["exact"]) == (len(affected), True)
    assert len(estate.api.get(f"{estate.api.org}/sec_policy")) == 1
    estate.api.provision()
    estate.api.put(narrow, {"description": "no VEN sees this"})
    assert estate.api.post(path, {}, 200)["workloads_affected"] == 0


def test_what_could_not_be_provisioned_is_refused(estate: OrgEstate) -> None:
    """With the errors of provisioning: unknown hrefs, other orgs' too, nothing pending, and
    references to what would not be active."""
    path = f"{estate.api.org}/sec_policy/impact"
    assert estate.api.call("POST", path, {}).tokens == ["nothing_to_provision"]
    other = new_org("Other")
    for href in (f"{estate.api.draft}/rule_sets/99", f"{other.draft}/ip_lists/1"):
        body = {"change_subset": {"rule_sets": [{"href": href}]}}
        answer = estate.api.call("POST", path, body)
        assert (answer.status, answer.tokens) == (406, ["invalid_reference"])
    office = {"name": "office", "ip_ranges": [{"from_ip": "10.0.0.0/8"}]}
    ip_list = estate.api.post(f"{estate.api.draft}/ip_lists", office)["href"]
    rule_set = estate.rule_set("visitors")
    estate.allow(rule_set, AMS, [{"ip_list": {"href": ip_list}}])
    body = {"change_subset": {"rule_sets": [{"href": rule_set}]}}
    answer = estate.api.call("POST", path, body)
    assert (answer.status, answer.tokens) == (406, ["missing_dependency"])
    assert estate.api.call("POST", path, {"change_subset": "all"}).status == 406
    assert estate.api.call("POST", f"{other.org}/sec_policy/impact", {}).status == 403


def test_too_large_an_org_is_told_what_to_do(
    estate: OrgEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """406 with the limit, the org's size and what to ask instead, before any workload is read."""
    monkeypatch.setattr(estimate_impact, "MAX_WORKLOADS", 1)
    estate.unmanaged("a", "10.0.0.1")
    estate.unmanaged("b", "10.0.0.2")
    estate.rule_set("anything")
    answer = estate.api.call("POST", f"{estate.api.org}/sec_policy/impact", {})
    assert (answer.status, answer.tokens) == (406, ["too_many_workloads"])
    assert "at most 1 workloads, this one has 2" in answer.json[0]["message"]


def test_dependencies_are_what_makes_a_subset_provisionable(estate: OrgEstate) -> None:
    """For a list and for a change subset, in the form asked: with them provisioning succeeds, to
    any depth; a deletion brings those along who still refer to it."""
    api = estate.api
    office = {"name": "office", "ip_ranges": [{"from_ip": "10.0.0.0/8"}]}
    ip_list = api.post(f"{api.draft}/ip_lists", office)["href"]
    group = {"name": "inner", "key": "role", "labels": [estate.label("role", "web")]}
    inner = api.post(f"{api.draft}/label_groups", group)["href"]
    group = {"name": "outer", "key": "role", "sub_groups": [{"href": inner}]}
    outer = api.post(f"{api.draft}/label_groups", group)["href"]
    rule_set = estate.rule_set("visitors")
    rule = estate.allow(
        rule_set, [{"label_group": {"href": outer}}], [{"ip_list": {"href": ip_list}}]
    )
    path = f"{api.draft}/dependencies"
    needed = api.post(path, [{"href": rule_set}], 200)
    assert {found["href"] for found in needed} == {ip_list, inner, outer}
    by_type = api.post(path, {"change_subset": {"rule_sets": [{"href": rule_set}]}}, 200)
    assert {name: {d["href"] for d in found} for name, found in by_type.items()} == {
        "ip_lists": {ip_list},
        "label_groups": {inner, outer},
    }
    api.provision(rule_set, *(found["href"] for found in needed))
    api.delete(rule)
    api.delete(ip_list)
    assert [d["href"] for d in api.post(path, [{"href": ip_list}], 200)] == [rule_set]
    api.provision(ip_list, rule_set)
    assert api.post(path, [{"href": rule_set}], 200) == []
