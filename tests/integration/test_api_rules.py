"""Rule sets and the rules in them."""

from typing import Any

import pytest

from tests.fakes.api import Api

SSH = [{"port": 22, "proto": 6}]
AMS = [{"actors": "ams"}]


@pytest.fixture
def rule_set(api: Api) -> str:
    """A rule set without rules."""
    return str(api.post(f"{api.draft}/rule_sets", {"name": "shop", "scopes": [[]]})["href"])


def allow(api: Api, rule_set: str, **more: Any) -> dict[str, Any]:
    body = {"providers": AMS, "consumers": AMS, "ingress_services": SSH, **more}
    made: dict[str, Any] = api.post(f"{rule_set}/sec_rules", body)
    return made


def active(href: str) -> str:
    return href.replace("/draft/", "/active/")


def test_an_allow_rule_has_what_clients_index(api: Api, rule_set: str) -> None:
    """Defaults are said, and a rule reads the same alone, in its list and in its rule set."""
    rule = allow(api, rule_set)
    assert rule["href"].startswith(f"{rule_set}/sec_rules/")
    assert rule["resolve_labels_as"] == {"providers": ["workloads"], "consumers": ["workloads"]}
    assert (rule["enabled"], rule["network_type"], rule["unscoped_consumers"]) == (
        True,
        "brn",
        False,
    )
    assert rule["consuming_security_principals"] == rule["use_workload_subnets"] == []
    assert api.get(rule["href"]) == rule
    assert api.get(f"{rule_set}/sec_rules") == api.get(rule_set)["rules"] == [rule]


def test_a_deny_rule_is_not_an_allow_rule(api: Api, rule_set: str) -> None:
    """It has ``override`` and no ``resolve_labels_as``; unknown attributes of clients vanish."""
    rule = api.post(
        f"{rule_set}/deny_rules",
        {"providers": AMS, "consumers": AMS, "ingress_services": SSH, "rule_type": "deny"},
    )
    assert rule["override"] is False and "resolve_labels_as" not in rule
    assert "rule_type" not in rule
    api.put(rule["href"], {"override": True})
    assert api.get(rule_set)["deny_rules"][0]["override"] is True
    assert api.get(rule_set)["rules"] == []
    assert api.call("GET", f"{rule_set}/override_deny_rules").status == 404


@pytest.mark.parametrize(
    ("kind", "body", "token"),
    [
        ("sec_rules", {"ingress_services": []}, "rule_needs_services"),
        ("sec_rules", {"consumers": []}, "rule_needs_consumers"),
        ("sec_rules", {"providers": [{"actors": "ams", "label": {"href": "x"}}]}, None),
        ("sec_rules", {"providers": [{}]}, None),
        ("sec_rules", {"providers": [{"actors": "container_host"}]}, None),
        ("sec_rules", {"ingress_services": [{"port": 5, "to_port": 4, "proto": 6}]}, None),
        ("sec_rules", {"ingress_services": [{"port": 5, "proto": 1}]}, None),
        ("sec_rules", {"ingress_services": [{"port": 5}]}, "required_attribute_missing"),
        ("sec_rules", {"stateless": True, "sec_connect": True}, "rule_options_exclusive"),
        ("sec_rules", {"network_type": "corporate"}, None),
        ("sec_rules", {"consumers": [{"workload": {"href": "/orgs/1/labels/1"}}]}, None),
        ("sec_rules", {"consumers": [{"ip_list": {"href": "/orgs/1/ip_lists/1"}}]}, None),
        (
            "sec_rules",
            {"consumers": [{"label": {"href": "/orgs/1/labels/4711"}}]},
            "invalid_reference",
        ),
        ("deny_rules", {"ingress_services": []}, "rule_needs_services"),
        ("deny_rules", {"consumers": [{"virtual_service": {"href": "x"}}]}, None),
    ],
)
def test_rules_that_make_no_sense_are_406(
    shared_api: Api, kind: str, body: dict[str, Any], token: str | None
) -> None:
    """Each with a token of its own or the general one, and nothing stored."""
    api = shared_api
    found = api.get(f"{api.draft}/rule_sets")
    made = found[0] if found else api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": []})
    whole = {"providers": AMS, "consumers": AMS, "ingress_services": SSH, **body}
    answer = api.call("POST", f"{made['href']}/{kind}", whole)
    assert (answer.status, answer.tokens) == (406, [token or "invalid_attribute"])
    assert api.get(made["href"])["rules"] == api.get(made["href"])["deny_rules"] == []


def test_references_may_be_given_in_active_form(api: Api, rule_set: str) -> None:
    """Clients take the factory objects from active and use their hrefs in drafts."""
    rule = allow(
        api,
        rule_set,
        consumers=[{"ip_list": {"href": f"{api.active}/ip_lists/1"}}],
        ingress_services=[{"href": f"{api.active}/services/1"}],
    )
    assert rule["consumers"] == [{"ip_list": {"href": f"{api.draft}/ip_lists/1"}}]
    assert rule["ingress_services"] == [{"href": f"{api.draft}/services/1"}]


def test_scopes_keep_their_order(api: Api) -> None:
    """Of labels and groups, with exclusions, and as they were sent."""
    hrefs = [
        api.post(f"{api.org}/labels", {"key": key, "value": "x"})["href"]
        for key in ("loc", "app", "env")
    ]
    scopes = [
        [{"label": {"href": hrefs[0]}}, {"label": {"href": hrefs[1]}, "exclusion": True}],
        [{"label": {"href": hrefs[2]}}],
    ]
    made = api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": scopes})
    assert made["scopes"] == scopes
    assert [r["href"] for r in api.get(f"{api.draft}/rule_sets", labels=f'[["{hrefs[2]}"]]')] == [
        made["href"]
    ]
    assert api.get(f"{api.draft}/rule_sets", labels=f'[["{hrefs[2]}", "{hrefs[0]}"]]') == []


def test_a_rule_change_is_pending_on_its_rule_set(api: Api, rule_set: str) -> None:
    """Rule and rule set show what provisioning would do; other rules of the set do not."""
    first, second = allow(api, rule_set), allow(api, rule_set, description="second")
    assert first["update_type"] == "create"
    api.provision(rule_set)
    assert api.get(first["href"])["update_type"] is None
    api.put(first["href"], {"enabled": False})
    third = allow(api, rule_set)
    api.delete(second["href"])
    shown = api.get(rule_set)
    assert shown["update_type"] == "update"
    assert {r["href"]: r["update_type"] for r in shown["rules"]} == {
        first["href"]: "update",
        second["href"]: "delete",
        third["href"]: "create",
    }
    assert api.get(second["href"])["deleted_at"] is not None
    assert len(api.get(active(rule_set))["rules"]) == 2
    api.provision(rule_set)
    shown = api.get(rule_set)
    assert (shown["update_type"], [r["update_type"] for r in shown["rules"]]) == (None, [None] * 2)
    assert api.call("GET", second["href"]).status == 404
    assert {r["href"] for r in api.get(active(rule_set))["rules"]} == {
        active(first["href"]),
        active(third["href"]),
    }


def test_a_rule_that_was_never_provisioned_is_deleted_at_once(api: Api, rule_set: str) -> None:
    """Also when its rule set is provisioned already; a marked one is not deleted twice."""
    old = allow(api, rule_set)
    api.provision(rule_set)
    new = allow(api, rule_set)
    api.delete(new["href"])
    assert api.call("GET", new["href"]).status == api.call("DELETE", new["href"]).status == 404
    api.delete(old["href"])
    assert api.call("DELETE", old["href"]).tokens == ["sec_rule_already_deleted"]
    api.put(f"{api.org}/sec_policy/delete", [{"href": rule_set}])
    assert api.get(old["href"])["update_type"] is None


def test_a_put_of_the_rule_set_leaves_its_rules(api: Api, rule_set: str) -> None:
    """Rules are edited by their own endpoints; clients send them along or strip them."""
    allow(api, rule_set)
    api.put(rule_set, {"name": "renamed", "rules": [], "deny_rules": []})
    assert len(api.get(rule_set)["rules"]) == 1


def test_rules_of_numbered_versions(api: Api, rule_set: str) -> None:
    """Their hrefs lie in the version."""
    rule = allow(api, rule_set)
    api.provision()
    numbered = rule["href"].replace("/draft/", "/2/")
    assert api.get(numbered)["href"] == numbered
    assert api.call("GET", rule["href"].replace("/draft/", "/1/")).status == 404
    assert api.call("DELETE", numbered).status == 405


def test_rule_events(api: Api, rule_set: str) -> None:
    """Each change of a rule is an event of the rule, not of its rule set."""
    rule = allow(api, rule_set)
    api.put(rule["href"], {"enabled": False})
    api.delete(rule["href"])
    for verb in ("create", "update", "delete"):
        [event] = api.events(f"sec_rule.{verb}")
        assert event["resource_changes"][0]["resource"]["sec_rule"]["href"] == rule["href"]
    assert list(api.events("rule_set.update")) == []


def test_enforcement_boundaries(api: Api) -> None:
    """The older form of deny rules: provisioned by itself, found by its ports."""
    made = api.post(
        f"{api.draft}/enforcement_boundaries",
        {"name": "rdp", "providers": AMS, "consumers": AMS, "ingress_services": SSH},
    )
    assert (made["enabled"], made["update_type"]) == (True, "create")
    by_port = {"service_ports.port": "22", "service_address.proto": "6"}
    path = f"{api.draft}/enforcement_boundaries"
    assert [b["href"] for b in api.get(path, **by_port)] == [made["href"]]
    assert api.get(path, **{"service_ports.port": "23"}) == []
    api.provision(made["href"])
    assert api.get(active(made["href"]))["name"] == "rdp"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"port": "443"}, {"web", "well-known"}),
        ({"port": "5000"}, set()),
        ({"proto": "17"}, {"rdp"}),
        ({"name": "e"}, {"web", "well-known"}),
        ({"port": "x"}, None),
    ],
)
def test_services_are_found_by_port(
    shared_api: Api, query: dict[str, str], found: set[str] | None
) -> None:
    """A port finds the services with exactly it and the ranges that hold it."""
    api = shared_api
    path = f"{api.draft}/services"
    if len(api.get(path)) == 1:
        for name, ports in (
            ("web", [{"port": 80, "proto": 6}, {"port": 443, "proto": 6}]),
            ("well-known", [{"port": 1, "to_port": 1023, "proto": 6}]),
            ("rdp", [{"port": 3389, "proto": 6}, {"port": 3389, "proto": 17}]),
        ):
            api.post(path, {"name": name, "service_ports": ports})
    if found is None:
        assert api.call("GET", path, query=query).status == 406
    else:
        names = {service["name"] for service in api.get(path, **query)}
        assert names - {"All Services"} == found


def test_services_show_the_keys_that_clients_index(api: Api) -> None:
    """``port`` of TCP and UDP, type and code of ICMP, ``process_name`` and ``description``."""
    made = api.post(
        f"{api.draft}/services",
        {"name": "s", "service_ports": [{"proto": 6}, {"proto": 1, "icmp_type": 8}, {"proto": 47}]},
    )
    assert made["service_ports"] == [
        {"port": None, "proto": 6},
        {"icmp_type": 8, "icmp_code": None, "proto": 1},
        {"proto": 47},
    ]
    assert made["description"] is None and made["process_name"] is None
    assert "windows_services" not in made
    both = {"service_ports": SSH, "windows_services": [{"service_name": "x"}]}
    answer = api.call("PUT", made["href"], both)
    assert answer.tokens == ["service_kinds_mixed"]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.1.2.3", True),
        ("10.9.0.1", False),
        ("192.168.0.7", True),
        ("192.168.0.11", False),
        ("10.1.0.0/16", True),
        ("2001:db8::1", False),
    ],
)
def test_ip_lists_are_found_by_address(shared_api: Api, address: str, found: bool) -> None:
    """Networks and ranges include it, exclusions take it out; networks come back canonical."""
    api = shared_api
    path = f"{api.draft}/ip_lists"
    if not api.get(path, name="lan"):
        made = api.post(
            path,
            {
                "name": "lan",
                "fqdns": [],
                "ip_ranges": [
                    {"from_ip": "10.1.2.3/8", "to_ip": "", "description": ""},
                    {"from_ip": "10.9.0.0/16", "exclusion": True},
                    {"from_ip": "192.168.0.1", "to_ip": "192.168.0.10"},
                ],
            },
        )
        assert made["ip_ranges"][0] == {"from_ip": "10.0.0.0/8", "exclusion": False}
        assert made["fqdns"] == []
    hits = {entry["name"] for entry in api.get(path, ip_address=address)}
    assert ("lan" in hits) is found


LOG = {"table_name": "mangle", "chain_name": "FORWARD", "parameters": "-p tcp -j LOG"}


def test_custom_rules_are_kept_and_shown(api: Api) -> None:
    """With hrefs of their own, in draft and active; a list that is sent again changes nothing,
    with hrefs or without, and what is new or changed is pending."""
    label = {"label": {"href": api.post(f"{api.org}/labels", {"key": "app", "value": "x"})["href"]}}
    custom = {"ip_version": "4", "statements": [LOG], "actors": [label]}
    body = {"name": "r", "scopes": [[]], "ip_tables_rules": [custom, {**custom, "enabled": False}]}
    made = api.post(f"{api.draft}/rule_sets", body)
    first, second = made["ip_tables_rules"]
    assert first == {
        "href": f"{made['href']}/ip_tables_rules/1",
        "enabled": True,
        "description": None,
        "update_type": "create",
        **custom,
    }
    assert second["href"] != first["href"] and second["enabled"] is False
    api.provision()
    for again in ([custom, {**custom, "enabled": False}], [first, second]):
        api.put(made["href"], {"ip_tables_rules": again})
        assert api.get(made["href"])["update_type"] is None
    third = {**custom, "ip_version": "6", "actors": AMS}
    api.put(made["href"], {"ip_tables_rules": [third, {**second, "description": "d"}]})
    shown = api.get(made["href"])["ip_tables_rules"]
    assert [rule["update_type"] for rule in shown] == ["create", "update"]
    assert shown[1]["href"] == second["href"]
    assert len({rule["href"] for rule in (*shown, first)}) == 3
    assert len(api.get(active(made["href"]))["ip_tables_rules"]) == 2
    api.provision()
    provisioned = api.get(active(made["href"]))["ip_tables_rules"]
    assert [r["href"] for r in provisioned] == [active(r["href"]) for r in shown]
    assert api.call("DELETE", label["label"]["href"]).tokens == ["label_in_use"]


def test_deny_rules_take_and_lose_the_override(api: Api, rule_set: str) -> None:
    """It is one object: a toggled rule is a pending update under the same href."""
    rule = api.post(
        f"{rule_set}/deny_rules", {"providers": AMS, "consumers": AMS, "ingress_services": SSH}
    )
    api.provision()
    for override in (True, False, True):
        api.put(rule["href"], {"override": override})
        shown = api.get(rule["href"])
        assert (shown["override"], shown["href"]) == (override, rule["href"])
    assert api.get(rule["href"])["update_type"] == "update"
    assert api.get(active(rule["href"]))["override"] is False
    api.provision()
    assert api.get(active(rule["href"]))["override"] is True
    for attribute in ("resolve_labels_as", "stateless", "action", "priority"):
        assert attribute not in shown


def test_boundaries_change_and_are_found(api: Api) -> None:
    """By name, label and service; they are switched off and on like rules."""
    label = api.post(f"{api.org}/labels", {"key": "app", "value": "x"})["href"]
    path = f"{api.draft}/enforcement_boundaries"
    made = api.post(
        path,
        {
            "name": "wall",
            "providers": [{"label": {"href": label}}],
            "consumers": [{"ip_list": {"href": f"{api.active}/ip_lists/1"}}],
            "ingress_services": [{"href": f"{api.draft}/services/1"}],
        },
    )
    api.provision()
    api.put(made["href"], {"enabled": False, "network_type": "all"})
    assert api.get(made["href"])["update_type"] == "update"
    for query in (
        {"name": "AL"},
        {"labels": f'[["{label}"]]'},
        {"service": f"{api.active}/services/1"},
    ):
        assert [b["href"] for b in api.get(path, **query)] == [made["href"]]
    assert api.get(path, labels='[["x"]]') == []
    assert api.call("PUT", made["href"], {"providers": []}).tokens == [
        "enforcement_boundary_needs_providers"
    ]
