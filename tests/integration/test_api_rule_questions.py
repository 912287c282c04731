"""``allow``, ``policy_check``, ``rule_coverage`` and ``rule_search``: which rules are concerned."""

from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from tests.fakes.api import Api, new_org
from tests.fakes.estate import OrgEstate

AMS = [{"actors": "ams"}]
HTTPS = {"protocol": 6, "port": 443}


@pytest.fixture
def estate(api: Api, stores: Wiring) -> OrgEstate:
    return OrgEstate(api, stores)


class Shop:
    """Web and database servers of a shop in two environments, an office's IP list, and rules."""

    def __init__(self, estate: OrgEstate) -> None:
        api = estate.api
        self.shop, self.prod = estate.label("app", "shop"), estate.label("env", "prod")
        self.web, self.db = estate.label("role", "web"), estate.label("role", "db")
        self.front = estate.host("front", "10.0.0.1", app=self.shop, env=self.prod, role=self.web)
        self.back = estate.host("back", "10.0.0.2", app=self.shop, env=self.prod, role=self.db)
        self.stray = estate.host("stray", "10.0.0.3", app=self.shop, role=self.web)
        group = {"name": "tiers", "key": "role", "labels": [self.web, self.db]}
        self.tiers = {"href": api.post(f"{api.draft}/label_groups", group)["href"]}
        self.office = self._ip_list(estate, "office", "192.168.0.0/16")
        self.floor = self._ip_list(estate, "floor 3", "192.168.3.0/24")
        self.rules = estate.rule_set("shop", [{"label": self.shop}, {"label": self.prod}])
        self.inside = estate.allow(self.rules, [{"label": self.db}], [{"label": self.web}])
        self.visit = estate.allow(
            self.rules, [{"label_group": self.tiers}], [{"ip_list": self.office}]
        )
        self.denied = estate.deny(self.rules, [{"label": self.db}], AMS)

    @staticmethod
    def _ip_list(estate: OrgEstate, name: str, network: str) -> dict[str, Any]:
        body = {"name": name, "ip_ranges": [{"from_ip": network}]}
        return {"href": estate.api.post(f"{estate.api.draft}/ip_lists", body)["href"]}


def hrefs(rules: list[dict[str, Any]]) -> set[str]:
    return {rule["href"] for rule in rules}


def test_allow_lists_the_rules_that_allow(estate: OrgEstate) -> None:
    """By workload or by address, at either end; deny rules are not asked. ``policy_check`` is the
    same question."""
    shop = Shop(estate)
    for name in ("allow", "policy_check"):
        for src, dst, expected in (
            ({"src_workload": shop.front}, {"dst_workload": shop.back}, {shop.inside}),
            ({"src_external_ip": "10.0.0.1"}, {"dst_workload": shop.back}, {shop.inside}),
            ({"src_external_ip": "192.168.1.1"}, {"dst_external_ip": "10.0.0.1"}, {shop.visit}),
            ({"src_workload": shop.stray}, {"dst_workload": shop.back}, set()),
        ):
            query = {"protocol": "6", "port": "443", **src, **dst}
            assert hrefs(estate.api.get(f"{estate.api.draft}/{name}", **query)) == expected
    assert estate.api.get(f"{estate.api.active}/allow", **query) == []


def test_coverage_answers_each_edge_and_service_in_order(estate: OrgEstate) -> None:
    """As many edges as asked, of each as many services; keys lead to rules with their hrefs. An IP
    list is covered when a rule's IP lists hold all of it."""
    shop = Shop(estate)
    body = [
        {
            "source": {"workload": {"href": shop.front}},
            "destination": {"workload": {"href": shop.back}},
            "services": [HTTPS, {"protocol": 6, "port": 80}, {"protocol": 1}],
            "resolve_labels_as": {"source": ["workloads"], "destination": ["workloads"]},
        },
        {
            "source": {"ip_list": shop.floor},
            "destination": {"workload": {"href": shop.front}},
            "services": [HTTPS],
        },
        {
            "source": {"workload": {"href": shop.stray}},
            "destination": {"workload": {"href": shop.back}},
            "services": [],
        },
    ]
    path = f"{estate.api.draft}/rule_coverage"
    said = estate.api.call("POST", path, body, query={"include_deny_rules": "True"}).json
    named = [
        [{said["rules"][key]["href"] for key in keys} for keys in edge] for edge in said["edges"]
    ]
    assert named == [[{shop.inside}, set(), set()], [{shop.visit}], []]
    denied = [
        [{said["deny_rules"][key]["href"] for key in keys} for keys in edge]
        for edge in said["deny_edges"]
    ]
    assert denied == [[{shop.denied}, set(), set()], [set()], []]
    assert "deny_edges" not in estate.api.call("POST", path, body).json


def test_search_finds_rules_that_name_an_actor(estate: OrgEstate) -> None:
    """All that is asked must be named, each on its side."""
    shop = Shop(estate)
    db, web, office = {"label": shop.db}, {"label": shop.web}, {"ip_list": shop.office}
    for body, expected in (
        ({}, {shop.inside, shop.visit, shop.denied}),
        ({"providers": [db]}, {shop.inside, shop.denied}),
        ({"consumers": [db]}, set()),
        ({"providers": [db], "consumers": [web]}, {shop.inside}),
        ({"providers_or_consumers": [office]}, {shop.visit}),
        ({"consumers": AMS}, {shop.denied}),
        ({"providers": [{"label_group": shop.tiers}]}, {shop.visit}),
        ({"ingress_services": [{"proto": 6, "port": 443}], "consumers": [web]}, {shop.inside}),
        ({"ingress_services": [estate.all_services]}, set()),
    ):
        assert _search(estate, body) == expected, body
    assert len(estate.api.post(_path(estate), {"max_results": 1}, 200)) == 1
    # A public client asks for so many, and knows no deny rules.
    found = estate.api.post(_path(estate), {"max_results": 10_000}, 200)
    assert hrefs(found) == {shop.inside, shop.visit}


def test_search_resolves_actors(estate: OrgEstate) -> None:
    """``resolve_actors``: rules that mean the actor by label, group, scope or address, and services
    whose ports meet."""
    shop = Shop(estate)
    everything = {shop.inside, shop.visit, shop.denied}
    for body, expected in (
        ({"providers": [{"label": shop.db}]}, everything),
        ({"providers": [{"label": shop.web}]}, {shop.visit}),
        ({"providers": [{"workload": {"href": shop.back}}]}, everything),
        ({"providers_or_consumers": [{"workload": {"href": shop.stray}}]}, set()),
        ({"consumers": [{"ip_list": shop.floor}]}, {shop.visit}),
        (
            {"providers": [{"label": shop.prod}], "consumers": [{"label": shop.web}]},
            everything - {shop.visit},
        ),
        ({"ingress_services": [estate.all_services]}, everything),
        ({"ingress_services": [{"proto": 6, "port": 440, "to_port": 450}]}, everything),
        ({"ingress_services": [{"proto": 17, "port": 443}]}, set()),
    ):
        assert _search(estate, {**body, "resolve_actors": True}) == expected, body


def test_what_does_not_exist_is_refused_by_href(estate: OrgEstate, stores: Wiring) -> None:
    """Nobody's objects and another org's alike: 406 naming the href, or 404 for a workload in a
    query. Numbers are no secret: another org's label 1 is not ours."""
    other = OrgEstate(new_org("Other"), stores)
    theirs = other.host("theirs", "10.0.0.1")
    label = other.label("role", "web")
    estate.label("role", "web")
    nobody = f"{estate.api.draft}/ip_lists/99"
    for actor, href in (
        ({"label": label}, label["href"]),
        ({"workload": {"href": theirs}}, theirs),
        ({"ip_list": {"href": nobody}}, nobody),
    ):
        answer = estate.api.call("POST", _path(estate), {"providers": [actor]})
        assert (answer.status, answer.tokens) == (406, ["invalid_reference"])
        assert answer.json[0]["field"] == href
    edge = {"source": {"workload": {"href": theirs}}, "destination": {"ip_list": {"href": nobody}}}
    answer = estate.api.call(
        "POST", f"{estate.api.draft}/rule_coverage", [{**edge, "services": [HTTPS]}]
    )
    assert (answer.status, {p["field"] for p in answer.json}) == (406, {theirs, nobody})
    query = {"src_workload": theirs, "dst_external_ip": "10.0.0.2", "protocol": "6", "port": "1"}
    assert estate.api.call("GET", f"{estate.api.draft}/allow", query=query).status == 404


@pytest.mark.parametrize(
    ("method", "name", "body", "field"),
    [
        ("GET", "allow", {"src_external_ip": ""}, "src_workload"),
        ("GET", "allow", {"dst_external_ip": "nonsense"}, "dst_external_ip"),
        ("GET", "allow", {"protocol": "6", "port": ""}, "port"),
        ("GET", "policy_check", {"protocol": ""}, "protocol"),
        ("POST", "rule_coverage", {}, None),
        ("POST", "rule_coverage", [{"source": {}, "services": []}], "[0].source"),
        (
            "POST",
            "rule_coverage",
            [
                {
                    "source": {"ip_list": {"href": "/orgs/1/sec_policy/draft/ip_lists/1"}},
                    "destination": {"ip_list": {"href": "/orgs/1/sec_policy/draft/ip_lists/1"}},
                    "services": [{"protocol": 6, "port": 1, "to_port": 9}],
                }
            ],
            "[0].services[0]",
        ),
        ("POST", "rule_search", {"providers": [{"planet": {"href": "x"}}]}, "providers[0]"),
        ("POST", "rule_search", {"max_results": -1}, "max_results"),
        ("POST", "rule_search", {"resolve_actors": "yes"}, "resolve_actors"),
        ("POST", "rule_search", {"ingress_services": [{"port": 1}]}, "ingress_services[0].proto"),
    ],
)
def test_bad_input_is_refused_by_name(
    shared_api: Api, method: str, name: str, body: Any, field: str | None
) -> None:
    """406 that says which parameter or attribute."""
    query = {}
    if method == "GET":
        query = {"src_external_ip": "10.0.0.1", "dst_external_ip": "10.0.0.2", **body}
        query = {"protocol": "6", "port": "443", **query}
    answer = shared_api.call(method, f"{shared_api.draft}/{name}", body, query=query)
    assert answer.status == 406, answer.raw
    assert answer.json[0].get("field") == field


def _path(estate: OrgEstate) -> str:
    return f"{estate.api.draft}/rule_search"


def _search(estate: OrgEstate, body: dict[str, Any]) -> set[str]:
    return hrefs(estate.api.post(_path(estate), {**body, "include_deny_rules": True}, 200))
