"""Collections and settings that clients read and write, and that policy does not follow from."""

from datetime import UTC, datetime

import pytest

from tests.fakes.api import Api

SID = "S-1-5-21-3623811015-3361044348-30300820-1013"


def test_security_principals_are_named_by_their_sid(api: Api) -> None:
    """Created one by one or in bulk; the href ends in the SID; a rule may name one, and then it
    stays."""
    path = f"{api.org}/security_principals"
    made = api.post(path, {"sid": SID, "name": "Finance"})
    assert (made["href"], made["deleted"]) == (f"{path}/{SID}", False)
    assert made["used_by_ruleset"] is False
    assert api.call("POST", path, {"sid": SID, "name": "Again"}).status == 406
    said = api.put(f"{path}/bulk_create", [{"sid": "S-1-2", "name": "B"}, {"name": "C"}], 200)
    assert [entry["status"] for entry in said] == ["created", "validation_failure"]
    rule_set = api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": [[]]})["href"]
    rule = {
        "providers": [{"actors": "ams"}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"port": 443, "proto": 6}],
        "consuming_security_principals": [{"href": made["href"]}],
    }
    api.post(f"{rule_set}/sec_rules", rule)
    assert api.get(made["href"])["used_by_ruleset"] is True
    assert api.call("DELETE", made["href"]).tokens == ["security_principal_in_use"]
    api.put(made["href"], {"name": "Accounting"})
    assert [p["name"] for p in api.get(path, name="account")] == ["Accounting"]
    api.delete(f"{path}/S-1-2")


def test_traffic_collectors_read_as_clients_expect(api: Api) -> None:
    """A transmission is written as a word and read as a letter; a target is read whole."""
    path = f"{api.org}/settings/traffic_collector"
    drop = {"transmission": "broadcast", "action": "drop", "target": {"proto": 17, "dst_port": 67}}
    made = api.post(path, drop)
    assert made["href"].startswith(f"{path}/") and made["transmission"] == "B"
    assert made["target"] == {"proto": 17, "dst_port": 67, "dst_ip": "0.0.0.0/0"}
    api.put(made["href"], {"transmission": "multicast", "target": drop["target"]})
    assert api.get(made["href"])["transmission"] == "M"
    assert api.call("PUT", made["href"], {"action": "aggregate"}).status == 406
    assert api.call("POST", path, {"transmission": "unicast", "action": "drop"}).status == 406
    aggregate = {"transmission": "multicast", "action": "aggregate"}
    assert "target" not in api.post(path, aggregate)
    api.delete(made["href"])
    assert len(api.get(path)) == 1


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("settings", {"label_display": "key_value", "advanced_ruleset_display": True}),
        ("settings/reports", {"report_retention_days": 3, "max_queued_reports": 5}),
        (
            "settings/trusted_proxy_ips",
            {"trusted_proxy_ips": [{"pce_fqdn": None, "ip": "192.0.2.0/24"}]},
        ),
    ],
)
def test_settings_keep_what_is_said(api: Api, path: str, change: dict[str, object]) -> None:
    """What is said is kept, what is not said has its default; nonsense changes nothing."""
    before = api.get(f"{api.org}/{path}")
    api.put(f"{api.org}/{path}", change)
    assert api.get(f"{api.org}/{path}") == before | change
    assert api.call("PUT", f"{api.org}/{path}", {name: {"a": 1} for name in change}).status == 406
    assert api.get(f"{api.org}/{path}") == before | change


def test_optional_features_are_a_list(api: Api) -> None:
    """Of what can be switched; what is not there cannot be switched on, and is off already."""
    path = f"{api.org}/optional_features"
    assert api.get(path) == [{"name": "lightning_default", "enabled": True}]
    api.put(path, [{"name": "lightning_default", "enabled": False}])
    api.put(path, [{"name": "labels_ui", "enabled": False}])
    assert api.get(path) == [{"name": "lightning_default", "enabled": False}]
    unknown = api.call("PUT", path, [{"name": "labels_ui", "enabled": True}])
    assert (unknown.status, unknown.tokens) == (406, ["unknown_optional_feature"])
    assert api.call("PUT", path, [{"enabled": True}]).status == 406


def test_what_does_not_exist_cannot_be_switched_on(api: Api) -> None:
    """A setting without an effect is refused rather than kept."""
    answer = api.call("PUT", f"{api.org}/settings", {"use_census_permissions": True})
    assert answer.tokens == ["use_census_permissions_not_supported"]
    api.put(f"{api.org}/settings", {"use_census_permissions": False})


def test_a_traffic_query_is_no_longer_than_the_org_allows(api: Api) -> None:
    """Once the org has said how long; both forms of query."""
    long = {"start_date": "2020-01-01T00:00:00Z", "end_date": "2030-01-01T00:00:00Z"}
    short = {"start_date": datetime.now(UTC).isoformat()}
    asked = f"{api.org}/traffic_flows/async_queries"
    at_once = f"{api.org}/traffic_flows/traffic_analysis_queries"
    assert api.call("POST", asked, long).status == 202
    api.put(f"{api.org}/settings", {"max_explorer_query_timespan_days": 7})
    for path, status in ((asked, 202), (at_once, 200)):
        assert api.call("POST", path, long).tokens == ["query_timespan_too_long"]
        assert api.call("POST", path, short).status == status


def test_label_types_say_whether_groups_use_them(api: Api) -> None:
    """``usage`` tells labels and label groups of a key apart."""
    label = api.post(f"{api.org}/labels", {"key": "app", "value": "erp"})
    group = {"name": "g", "key": "app", "labels": [{"href": label["href"]}]}
    api.post(f"{api.draft}/label_groups", group)
    usage = {d["key"]: d["usage"] for d in api.get(f"{api.org}/label_dimensions")}
    assert usage["app"] == {"labels": True, "label_groups": True}
    assert usage["loc"] == {"labels": False, "label_groups": False}
