"""Virtual services, and which workloads they are bound to."""

from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api

WEB = [{"port": 80, "proto": 6}]


def virtual_service(api: Api, name: str = "shop", **more: Any) -> dict[str, Any]:
    body = {"name": name, **({} if "service" in more else {"service_ports": WEB}), **more}
    made: dict[str, Any] = api.post(f"{api.draft}/virtual_services", body)
    return made


def active(href: str) -> str:
    return href.replace("/draft/", "/active/")


@pytest.fixture
def bindable(api: Api) -> str:
    """Active href of a virtual service."""
    href = virtual_service(api)["href"]
    api.provision(href)
    return active(href)


@pytest.fixture
def workload(api: Api) -> str:
    return str(api.post(f"{api.org}/workloads", {"name": "web-1", "hostname": "h"})["href"])


def bind(api: Api, bindable: str, workload: str, **more: Any) -> list[dict[str, Any]]:
    entry = {"virtual_service": {"href": bindable}, "workload": {"href": workload}, **more}
    made: list[dict[str, Any]] = api.post(f"{api.org}/service_bindings", [entry])
    return made


def test_a_virtual_service_has_what_clients_index(api: Api) -> None:
    """Defaults are said, labels carry key and value, and it is a draft like any other."""
    label = api.post(f"{api.org}/labels", {"key": "app", "value": "shop"})
    made = virtual_service(
        api,
        labels=[{"href": label["href"]}],
        service_addresses=[
            {"fqdn": "shop.example.com", "description": "d"},
            {"ip": "192.0.2.7", "network": {"href": api.get(f"{api.org}/networks")[0]["href"]}},
        ],
        ip_overrides=["192.0.2.9", "198.51.100.7/24"],
    )
    assert made["labels"] == [{"href": label["href"], "key": "app", "value": "shop"}]
    assert (made["apply_to"], made["pce_fqdn"], made["update_type"]) == (
        "host_only",
        None,
        "create",
    )
    assert made["ip_overrides"] == ["192.0.2.9", "198.51.100.0/24"]
    assert made["service_ports"] == WEB and "service" not in made
    api.provision(made["href"])
    assert api.get(active(made["href"]))["labels"] == made["labels"]
    assert api.get(f"{api.org}/labels", usage="true")[0]["usage"]["virtual_service"] is True


def test_service_and_ports_exclude_each_other(api: Api) -> None:
    """Sending one takes the other back, as clients do that send only the new one."""
    service = api.post(f"{api.draft}/services", {"name": "web", "service_ports": WEB})["href"]
    made = virtual_service(api)
    api.put(made["href"], {"service": {"href": service}})
    shown = api.get(made["href"])
    assert shown["service"] == {"href": service} and "service_ports" not in shown
    api.put(made["href"], {"service_ports": WEB})
    shown = api.get(made["href"])
    assert shown["service_ports"] == WEB and "service" not in shown
    both = {"service": {"href": service}, "service_ports": WEB}
    assert api.call("PUT", made["href"], both).tokens == ["virtual_service_needs_one_service"]
    assert api.call("PUT", made["href"], {"service_ports": []}).tokens == [
        "virtual_service_needs_one_service"
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"service_ports": [{"port": 80, "proto": 1}]},
        {"service_ports": [{"port": 80, "to_port": 79, "proto": 6}]},
        {"service_ports": [{"port": 80}]},
        {"apply_to": "everything"},
        {"service_addresses": [{"port": 80}]},
        {"service_addresses": [{"ip": "192.0.2.1", "fqdn": "a"}]},
        {"service_addresses": [{"ip": "192.0.2.1", "network": {"href": "/orgs/1/networks/x"}}]},
        {"ip_overrides": ["many"]},
        {"labels": [{"href": "/orgs/1/labels/4711"}]},
        {"service": {"href": "/orgs/1/sec_policy/draft/services/4711"}, "service_ports": []},
    ],
)
def test_virtual_services_that_make_no_sense_are_406(shared_api: Api, body: dict[str, Any]) -> None:
    """With nothing stored."""
    path = f"{shared_api.draft}/virtual_services"
    answer = shared_api.call("POST", path, {"name": "x", "service_ports": WEB, **body})
    assert answer.status == 406 and shared_api.get(path) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"name": "SHO"}, {"shop"}),
        ({"service_ports.port": "85"}, {"bank"}),
        ({"service_ports.proto": "17"}, set()),
        ({"service_address.fqdn": "example"}, {"shop"}),
        ({"service_address.ip": "192.0.2"}, {"bank"}),
        ({"service": "/orgs/{org}/sec_policy/active/services/1"}, {"all"}),
        ({"labels": '[["/orgs/{org}/labels/1"]]'}, {"bank"}),
    ],
)
def test_virtual_services_are_found(
    shared_api: Api, query: dict[str, str], found: set[str]
) -> None:
    """By what clients ask for; services by either href."""
    api, org = shared_api, str(shared_api.created["org_id"])
    path = f"{api.draft}/virtual_services"
    if not api.get(path):
        label = api.post(f"{api.org}/labels", {"key": "app", "value": "x"})["href"]
        virtual_service(api, service_addresses=[{"fqdn": "www.example.com"}])
        virtual_service(
            api,
            "bank",
            labels=[{"href": label}],
            service_ports=[{"port": 80, "to_port": 90, "proto": 6}],
            service_addresses=[{"ip": "192.0.2.7", "port": 80}],
        )
        virtual_service(api, "all", service={"href": f"{api.draft}/services/1"})
    asked = {name: text.replace("{org}", org) for name, text in query.items()}
    assert {each["name"] for each in api.get(path, **asked)} == found


def test_virtual_services_in_bulk(api: Api) -> None:
    """Each entry has a result of its own; what is provisioned is marked, the rest is gone."""
    path = f"{api.draft}/virtual_services"
    bodies = [
        {"name": "a", "service_ports": WEB},
        {"name": "b"},
        {"name": "c", "service_ports": WEB},
    ]
    created = api.put(f"{path}/bulk_create", bodies, 200)
    assert [entry["status"] for entry in created] == ["created", "validation_failure", "created"]
    a, c = created[0]["href"], created[2]["href"]
    api.provision(a)
    changes = [{"href": a, "description": "x"}, {"href": c, "name": "a"}]
    updated = api.put(f"{path}/bulk_update", changes, 200)
    assert [entry["status"] for entry in updated] == ["updated", "validation_failure"]
    assert updated[1]["token"] == "virtual_service_not_unique"
    assert api.get(a)["update_type"] == "update"
    deleted = api.put(f"{path}/bulk_delete", [{"href": a}, {"href": c}, {"href": "x"}], 200)
    assert [[e["token"] for e in entry["errors"]] for entry in deleted] == [
        [],
        [],
        ["virtual_service_not_found"],
    ]
    assert api.get(a)["update_type"] == "delete"
    assert api.call("GET", c).status == 404
    [event] = api.events("virtual_services.bulk_delete")
    assert len(event["resource_changes"]) == 2


def test_a_rule_may_name_a_virtual_service(api: Api, workload: str) -> None:
    """On both sides; with virtual services alone it brings the ports, so the rule has none."""
    provider = virtual_service(api)["href"]
    rule_set = api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": [[]]})["href"]
    actors = [{"virtual_service": {"href": provider}}]
    rule = {
        "providers": actors,
        "consumers": [*actors, {"actors": "container_host"}, {"workload": {"href": workload}}],
        "resolve_labels_as": {"providers": ["virtual_services"], "consumers": ["workloads"]},
    }
    made = api.post(f"{rule_set}/sec_rules", rule)
    assert made["providers"] == actors and made["ingress_services"] == []
    answer = api.call("PUT", made["href"], {"ingress_services": WEB})
    assert answer.tokens == ["rule_services_not_allowed"]
    both = {"resolve_labels_as": {"providers": ["workloads", "virtual_services"]}}
    assert api.call("PUT", made["href"], both).tokens == ["rule_needs_services"]
    api.put(made["href"], {**both, "ingress_services": WEB})
    assert api.call("DELETE", provider).tokens == ["virtual_service_in_use"]
    answer = api.call(
        "POST",
        f"{api.org}/sec_policy",
        {"change_subset": {"rule_sets": [{"href": rule_set}]}},
    )
    assert answer.tokens == ["missing_dependency"] and provider in answer.json[0]["message"]
    api.provision()
    [shown] = api.get(active(rule_set))["rules"]
    assert shown["providers"] == [{"virtual_service": {"href": active(provider)}}]


def test_a_binding_shows_both_ends(api: Api, bindable: str, workload: str) -> None:
    """Created in a list, shown with the workload's names, found by either end."""
    [made] = bind(
        api, bindable, workload, port_overrides=[{"port": 80, "proto": 6, "new_port": 8080}]
    )
    assert made["status"] == "created"
    shown = api.get(made["href"])
    assert shown["virtual_service"] == {"href": bindable}
    assert "container_workload" not in shown  # clients follow the href of a null
    assert shown["workload"] == {
        "href": workload,
        "name": "web-1",
        "hostname": "h",
        "deleted": False,
    }
    assert shown["port_overrides"] == [{"port": 80, "proto": 6, "new_port": 8080}]
    path = f"{api.org}/service_bindings"
    assert api.get(path, virtual_service=bindable) == api.get(path, workload=workload) == [shown]
    assert api.get(path, virtual_service=bindable + "x") == []
    api.delete(workload)
    assert api.get(made["href"])["workload"]["deleted"] is True
    api.delete(made["href"])
    assert api.get(path) == []


def test_bindings_change_policy_at_once(
    api: Api, stores: Wiring, bindable: str, workload: str
) -> None:
    """The compiler learns of both ends, of coming and of going."""
    org_id = OrgId(api.created["org_id"])
    [made] = bind(api, bindable, workload)
    entry = stores.objects.change_log(org_id)[-1]
    assert (entry.reason, set(entry.hrefs)) == ("binding", {bindable, workload})
    api.delete(made["href"])
    assert stores.objects.change_log(org_id)[-1].hrefs == entry.hrefs


def test_bindings_that_make_no_sense_are_406(api: Api, bindable: str, workload: str) -> None:
    """Each names what is wrong; in a list with good ones only the bad ones fail."""
    draft_only = virtual_service(api, "new")["href"]
    good = {"virtual_service": {"href": bindable}, "workload": {"href": workload}}
    foreign = workload.replace(api.org, "/orgs/999")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"virtual_service": {"href": draft_only}}, "virtual_service_not_active"),
        ({"workload": {"href": foreign}}, "invalid_reference"),
        ({"workload": None}, "service_binding_needs_one_workload"),
        ({"container_workload": {"href": f"{api.org}/container_workloads/x"}}, "service_binding"),
        ({"port_overrides": [{"port": 81, "proto": 6, "new_port": 1}]}, "port_override_unknown"),
        ({"port_overrides": [{"port": 80, "proto": 1, "new_port": 1}]}, "invalid_attribute"),
        (
            {"port_overrides": [{"port": 80, "proto": 6, "new_port": 9, "new_to_port": 8}]},
            "invalid_attribute",
        ),
        ({"virtual_service": None}, "required_attribute_missing"),
    ]
    path = f"{api.org}/service_bindings"
    for change, token in bad:
        answer = api.call("POST", path, [{**good, **change}])
        assert answer.status == 406 and answer.tokens[0].startswith(token), change
    assert api.get(path) == []
    results = api.post(path, [{**good, **bad[0][0]}, good, good])
    assert ["href" in result for result in results] == [False, True, False]
    assert results[2]["token"] == "service_binding_not_unique"
    two = [{**good, "port_overrides": [{"port": 80, "proto": 6, "new_port": 8080}]}]
    assert api.post(path, two)[0]["status"] == "created"  # a second instance, under another port
    assert api.call("POST", path, []).tokens == ["nothing_to_bind"]


def test_what_is_bound_cannot_be_deleted(api: Api, bindable: str, workload: str) -> None:
    """The refusal names the binding."""
    [made] = bind(api, bindable, workload)
    draft = bindable.replace("/active/", "/draft/")
    refused = api.call("DELETE", draft)
    assert refused.tokens == ["virtual_service_in_use"]
    assert made["href"] in refused.json[0]["message"]
    api.delete(made["href"])
    api.delete(draft)
    assert api.get(draft)["update_type"] == "delete"
