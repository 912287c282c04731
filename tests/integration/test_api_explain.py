"""``explain``: why a connection is allowed or blocked, in draft and in active policy."""

from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from tests.fakes.api import Api, new_org
from tests.fakes.estate import OrgEstate
from tests.fakes.installation import Requests

AMS = [{"actors": "ams"}]


@pytest.fixture
def estate(api: Api, stores: Wiring) -> OrgEstate:
    return OrgEstate(api, stores)


def explain(estate: OrgEstate, version: str = "active", **query: str) -> dict[str, Any]:
    query = {"proto": "tcp", "port": "443", **query}
    path = f"{estate.api.org}/sec_policy/{version}/explain".replace("/both/", "/")
    said: dict[str, Any] = estate.api.get(path, **query)
    return said


def test_the_rule_that_allows_is_named_with_what_made_it_match(estate: OrgEstate) -> None:
    """At both ends: decision, rule, rule set, row of the scope, and which actors mean the ends."""
    shop, web, db = (estate.label("app", "shop"), *(estate.label("role", r) for r in ("web", "db")))
    front = estate.host("front", "10.0.0.1", app=shop, role=web)
    back = estate.host("back", "10.0.0.2", app=shop, role=db)
    rule_set = estate.rule_set("shop", [{"label": shop}])
    rule = estate.allow(
        rule_set, [{"label": db}], [{"label": web}, *AMS], description="web to database"
    )
    estate.api.provision()
    said = explain(estate, src="10.0.0.1", dst="10.0.0.2")
    assert said["source"]["workload"]["href"] == front
    assert said["destination"]["workload"]["href"] == back
    assert said["service"] == {"proto": 6, "port": 443}
    [decision] = said["decisions"]
    assert (decision["pversion"], decision["version"]) == ("active", 2)
    assert decision["decision"] == "allowed"
    for end in ("source", "destination"):
        assert (decision[end]["decision"], decision[end]["because"]) == ("allowed", "rules")
        [found] = decision[end]["rules"]
        assert found["href"] == rule.replace("/draft/", "/active/")
        assert found["description"] == "web to database"
        assert found["action"] == "allow"
        assert found["rule_set"] == {
            "href": rule_set.replace("/draft/", "/active/"),
            "name": "shop",
        }
        assert found["scopes"] == [[{"label": {**shop, "key": "app", "value": "shop"}}]]
        assert found["providers"] == [{"label": {**db, "key": "role", "value": "db"}}]
        assert found["consumers"] == [
            {"label": {**web, "key": "role", "value": "web"}},
            {"actors": "ams"},
        ]


def test_draft_and_active_are_told_side_by_side(estate: OrgEstate) -> None:
    """Before provisioning the draft alone allows; both are in one answer."""
    estate.host("a", "10.0.0.1")
    estate.host("b", "10.0.0.2")
    rule = estate.allow(estate.rule_set("all"), AMS, AMS)
    active, draft = explain(estate, "both", src="10.0.0.1", dst="10.0.0.2")["decisions"]
    assert (active["pversion"], active["decision"]) == ("active", "blocked")
    assert active["destination"]["because"] == "default"
    assert (draft["pversion"], draft["version"], draft["decision"]) == ("draft", None, "allowed")
    assert [r["href"] for r in draft["source"]["rules"]] == [rule]
    estate.api.provision()
    estate.api.delete(rule)
    active, draft = explain(estate, "both", src="10.0.0.1", dst="10.0.0.2")["decisions"]
    assert (active["decision"], draft["decision"]) == ("allowed", "blocked")
    [numbered] = explain(estate, "1", src="10.0.0.1", dst="10.0.0.2")["decisions"]
    assert (numbered["version"], numbered["decision"]) == (1, "blocked")


def test_what_a_stronger_tier_overrides_is_named_too(estate: OrgEstate) -> None:
    """Override deny decides; allow and ordinary deny match and do not."""
    estate.host("a", "10.0.0.1")
    estate.host("b", "10.0.0.2", mode="selective")
    rule_set = estate.rule_set("all")
    allow = estate.allow(rule_set, AMS, AMS)
    deny = estate.deny(rule_set, AMS, AMS)
    override = estate.deny(rule_set, AMS, AMS, override=True)
    [draft] = explain(estate, "draft", src="10.0.0.1", dst="10.0.0.2")["decisions"]
    assert draft["decision"] == "blocked"
    found = draft["destination"]
    assert [r["href"] for r in found["rules"]] == [override]
    assert {r["href"] for r in found["overridden_rules"]} == {allow, deny}


def test_each_reason_without_rules_is_told(estate: OrgEstate) -> None:
    """Strangers, hosts without a VEN, idle ones, and the defaults of the modes."""
    estate.host("idle", "10.0.0.1", mode="idle")
    estate.host("watching", "10.0.0.2", mode="visibility_only")
    estate.unmanaged("printer", "10.0.0.3")
    for dst, decision, because in (
        ("10.0.0.1", "unknown", "idle"),
        ("10.0.0.2", "potentially_blocked", "default"),
        ("10.0.0.3", "unknown", "unmanaged"),
    ):
        [said] = explain(estate, src="8.8.8.8", dst=dst)["decisions"]
        assert said["source"]["because"] == "stranger"
        assert (said["decision"], said["destination"]["because"]) == (decision, because)


def test_rules_over_domain_names_are_left_open(estate: OrgEstate) -> None:
    """Only the VEN knows the addresses of a name: the rule is named as one that may match."""
    estate.host("a", "10.0.0.1")
    body = {"name": "updates", "fqdns": [{"fqdn": "updates.example.com"}]}
    names = {"ip_list": {"href": estate.api.post(f"{estate.api.draft}/ip_lists", body)["href"]}}
    rule = estate.allow(estate.rule_set("all"), [names], AMS)
    [draft] = explain(estate, "draft", src="10.0.0.1", dst="198.51.100.7")["decisions"]
    assert draft["decision"] == "blocked"
    assert [r["href"] for r in draft["source"]["rules_if_named"]] == [rule]


def test_a_workload_with_several_addresses_is_asked_for_by_one(estate: OrgEstate) -> None:
    """By href alone: the first of a family that both have. ``dst_address`` chooses; an address
    of nobody there is refused, and so is one that two workloads have."""
    both = estate.host("both", "10.0.0.1", "fd00::1", "10.9.9.9")
    six = estate.host("six", "fd00::2", "10.9.9.9")
    said = explain(estate, src=both, dst=six)
    assert (said["source"]["address"], said["destination"]["address"]) == ("10.0.0.1", "10.9.9.9")
    said = explain(estate, src=both, dst=six, dst_address="fd00::2")
    assert (said["source"]["address"], said["destination"]["address"]) == ("fd00::1", "fd00::2")
    refused = _refused(estate, src=both, dst=six, dst_address="10.0.0.1")
    assert (refused["token"], refused["field"]) == ("invalid_query_parameter", "dst")
    refused = _refused(estate, src="10.9.9.9", dst="8.8.8.8")
    assert (refused["token"], refused["field"]) == ("ambiguous_address", "src")
    assert both in refused["message"] and six in refused["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"src": ""}, "src"),
        ({"src": "nonsense"}, "src"),
        ({"dst": "10.0.0.0/8"}, "dst"),
        ({"dst": "fe80::1%eth0"}, "dst"),
        ({"dst": "fd00::1"}, "dst"),
        ({"dst_address": "10.0.0.1"}, "dst_address"),
        ({"proto": ""}, "proto"),
        ({"proto": "http"}, "proto"),
        ({"proto": "256"}, "proto"),
        ({"port": ""}, "port"),
        ({"port": "65536"}, "port"),
        ({"port": "-1"}, "port"),
        ({"proto": "icmp"}, "port"),
        ({"proto": "47", "port": "", "icmp_type": "8"}, "icmp_type"),
        ({"proto": "1", "port": "", "icmp_code": "0"}, "icmp_code"),
        ({"proto": "1", "port": "", "icmp_type": "999"}, "icmp_type"),
    ],
)
def test_bad_parameters_are_refused_by_name(
    shared_api: Api, stores: Wiring, query: dict[str, str], field: str
) -> None:
    """406 with the parameter as field; what was left empty counts as not said."""
    estate = OrgEstate(shared_api, stores)
    assert _refused(estate, **{"src": "10.0.0.1", "dst": "10.0.0.2", **query})["field"] == field


def test_another_orgs_workloads_do_not_exist(estate: OrgEstate, stores: Wiring) -> None:
    """An href of another org, and one of nobody, are 404 alike; another org's address is a
    stranger's; another org's policy is 403."""
    other = OrgEstate(new_org("Other"), stores)
    theirs = other.host("theirs", "10.0.0.1")
    path = f"{estate.api.active}/explain"
    query = {"dst": "10.0.0.2", "proto": "6", "port": "443"}
    nobody = f"{estate.api.org}/workloads/00000000-0000-0000-0000-000000000000"
    for src in (theirs, nobody, f"{estate.api.org}/labels/1"):
        answer = estate.api.call("GET", path, query={**query, "src": src})
        assert (answer.status, answer.tokens) == (404, ["workload_not_found"])
    assert explain(estate, src="10.0.0.1", dst="10.0.0.2")["source"]["workload"] is None
    foreign = f"{other.api.active}/explain"
    assert estate.api.call("GET", foreign, query={**query, "src": "10.0.0.1"}).status == 403
    answer = estate.api.call(
        "GET", f"{estate.api.org}/sec_policy/99/explain", query={**query, "src": "10.0.0.1"}
    )
    assert (answer.status, answer.tokens) == (404, ["sec_policy_not_found"])


def test_it_reads_the_workloads_concerned_and_no_others(estate: OrgEstate, stores: Wiring) -> None:
    """The number of requests does not grow with the org's workloads."""
    hosts = [estate.host("a", "10.0.0.1"), estate.host("b", "10.0.0.2")]

    def requests() -> dict[str, int]:
        with Requests(stores) as made:
            explain(estate, src=hosts[0], dst="10.0.0.2")
        return dict(made.counts)

    requests()  # reads active policy and the directory into memory
    before = requests()
    for number in range(5):
        estate.unmanaged(f"more-{number}", f"10.0.1.{number}")
    after = requests()
    assert after.pop("GetObject") == before.pop("GetObject") + 1  # the directory's new base
    assert after == before


def _refused(estate: OrgEstate, **query: str) -> dict[str, Any]:
    query = {"proto": "tcp", "port": "443", **query}
    answer = estate.api.call("GET", f"{estate.api.active}/explain", query=query)
    assert answer.status == 406, answer.raw
    [problem] = answer.json
    found: dict[str, Any] = problem
    return found
