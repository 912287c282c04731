"""Virtual servers of load balancers: what is discovered, what policy is about, what follows."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from pce.identifiers import OrgId, tail
from pce.runtime.wiring import Wiring
from pce.usecases.compile_policy import compile_policy
from tests.fakes.api import Api, new_org
from tests.fakes.estate import OrgEstate
from tests.fakes.policies import wanted_document
from tests.fakes.policy_org import PolicyOrg
from ven_protocol.policy import PolicyDocument

VIP = "192.0.2.80"
BALANCER = "192.0.2.11"
WEB = [{"proto": 6, "port": 8080}]


@pytest.fixture
def estate(api: Api, stores: Wiring) -> OrgEstate:
    return OrgEstate(api, stores)


def discovered(api: Api, **more: Any) -> str:
    """Href of one that a load balancer has."""
    body = {"name": "shop-443", "vip_address": VIP, "vip_port": 443, **more}
    return str(api.post(f"{api.org}/discovered_virtual_servers", body)["href"])


def virtual_server(api: Api, found: str, name: str = "shop", **more: Any) -> dict[str, Any]:
    body = {"name": name, "discovered_virtual_server": {"href": found}, **more}
    made: dict[str, Any] = api.post(f"{api.draft}/virtual_servers", body)
    return made


def active(href: str) -> str:
    return href.replace("/draft/", "/active/")


def test_scripts_make_virtual_servers_of_discovered_ones(api: Api) -> None:
    """The calls of a script for load balancers: it joins lists by href and indexes them."""
    slb = api.post(f"{api.org}/slbs", {"name": "netscaler-1"})["href"]
    found = discovered(api, slb={"href": slb})
    [listed] = api.get(f"{api.org}/discovered_virtual_servers/")
    assert (listed["slb"], listed["virtual_server"]) == ({"href": slb}, None)
    assert [each["name"] for each in api.get(f"{api.org}/slbs/")] == ["netscaler-1"]
    body = {
        "name": "shop-443",
        "discovered_virtual_server": {"href": listed["href"]},
        "labels": [],
        "service": {"href": f"{api.draft}/services/1"},
        "providers": [],
        "mode": "unmanaged",
    }
    href = api.post(f"{api.draft}/virtual_servers", body)["href"]
    app = api.post(f"{api.org}/labels", {"key": "app", "value": "A-shop"})
    members = {"providers": [{"label": {"href": app["href"]}}], "labels": [{"href": app["href"]}]}
    api.put(href, members)
    [shown] = api.get(f"{api.draft}/virtual_servers")
    assert shown["discovered_virtual_server"] == {
        "href": found,
        "name": "shop-443",
        "vip_address": VIP,
        "vip_port": 443,
        "vip_proto": 6,
    }
    assert (shown["dvs_name"], shown["dvs_identifier"]) == ("shop-443", f"{VIP}:443")
    assert shown["labels"] == [{"href": app["href"], "key": "app", "value": "A-shop"}]
    assert shown["providers"] == members["providers"]
    assert (shown["mode"], shown["update_type"]) == ("unmanaged", "create")
    assert api.get(found)["virtual_server"] == {"href": href, "name": "shop-443"}


def test_it_is_drafted_provisioned_and_numbered(api: Api) -> None:
    """As every policy object: pending, active, dependent on its service, gone when provisioned."""
    service = api.post(f"{api.draft}/services", {"name": "web", "service_ports": WEB})["href"]
    href = virtual_server(api, discovered(api), service={"href": service})["href"]
    assert [p["href"] for p in api.get(f"{api.org}/sec_policy/pending")["virtual_servers"]] == [
        href
    ]
    assert api.call("GET", active(href)).status == 404
    subset = {"change_subset": {"virtual_servers": [{"href": href}]}}
    refused = api.call("POST", f"{api.org}/sec_policy", subset)
    assert refused.tokens == ["missing_dependency"] and service in refused.json[0]["message"]
    needed = api.post(f"{api.draft}/dependencies", subset, 200)
    assert [each["href"] for each in needed["services"]] == [service]
    version = api.provision()
    assert version["object_counts"]["virtual_servers"] == 1
    assert api.get(active(href))["service"] == {"href": active(service)}
    numbered = href.replace("/draft/", f"/{version['version']}/")
    assert api.get(numbered)["mode"] == "unmanaged"
    api.put(href, {"mode": "enforced"})
    assert api.get(href)["update_type"] == "update"
    assert api.get(active(href))["mode"] == "unmanaged"
    api.delete(href)
    assert api.get(href)["update_type"] == "delete"
    api.provision(href)
    assert api.call("GET", href).status == 404 and api.get(numbered)["name"] == "shop"


def test_what_is_used_stays(api: Api) -> None:
    """By drafts and by active policy: each refusal names the user."""
    slb = api.post(f"{api.org}/slbs", {"name": "lb"})["href"]
    label = api.post(f"{api.org}/labels", {"key": "role", "value": "web"})["href"]
    found = discovered(api, slb={"href": slb})
    href = virtual_server(api, found, providers=[{"label": {"href": label}}])["href"]
    rules = api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": [[]]})["href"]
    rule = {
        "providers": [{"virtual_server": {"href": href}}],
        "consumers": [{"actors": "ams"}],
        "resolve_labels_as": {"providers": ["virtual_services"], "consumers": ["workloads"]},
    }
    assert api.post(f"{rules}/sec_rules", rule)["providers"] == rule["providers"]
    for used, token, user in (
        (slb, "slb_in_use", found),
        (label, "label_in_use", href),
        (found, "discovered_virtual_server_in_use", href),
        (href, "virtual_server_in_use", rules),
    ):
        refused = api.call("DELETE", used)
        assert refused.tokens == [token] and user in refused.json[0]["message"]
    assert api.get(f"{api.org}/labels", usage="true")[0]["usage"]["virtual_server"] is True
    api.provision()
    api.delete(rules)
    api.delete(href)
    assert api.call("DELETE", found).tokens == ["discovered_virtual_server_in_use"]  # active
    api.provision()
    api.delete(found)
    api.delete(slb)


@pytest.mark.parametrize(
    ("path", "body", "token"),
    [
        ("discovered_virtual_servers", {"vip_address": "many"}, "invalid_attribute"),
        ("discovered_virtual_servers", {"vip_port": 0}, "invalid_attribute"),
        ("discovered_virtual_servers", {"vip_proto": 1}, "invalid_attribute"),
        ("discovered_virtual_servers", {"local_ips": ["10.0.0.0/8"]}, "invalid_attribute"),
        ("discovered_virtual_servers", {"slb": {"href": "/orgs/1/slbs/x"}}, "invalid_reference"),
        ("virtual_servers", {"discovered_virtual_server": None}, "required_attribute_missing"),
        ("virtual_servers", {"mode": "managed"}, "invalid_attribute"),
        ("virtual_servers", {"providers": [{"actors": "ams"}]}, "invalid_attribute"),
        ("virtual_servers", {"labels": [{"href": "/orgs/1/labels/4711"}]}, "invalid_reference"),
    ],
)
def test_what_makes_no_sense_is_406(
    shared_api: Api, path: str, body: dict[str, Any], token: str
) -> None:
    """With nothing stored."""
    api = shared_api
    good: dict[str, Any] = {"name": "x", "vip_address": "192.0.2.90", "vip_port": 443}
    where = f"{api.org}/{path}"
    if path == "virtual_servers":
        good = {
            "name": "x",
            "discovered_virtual_server": {"href": f"{api.org}/discovered_{path}/x"},
        }
        where = f"{api.draft}/{path}"
    before = api.get(where)
    answer = api.call("POST", where, {**good, **body})
    assert answer.status == 406 and token in answer.tokens
    assert api.get(where) == before


def test_one_address_and_port_is_one_virtual_server(api: Api) -> None:
    """Neither is it discovered twice, nor are two made of it."""
    found = discovered(api)
    again = {"name": "other", "vip_address": VIP, "vip_port": 443}
    path = f"{api.org}/discovered_virtual_servers"
    assert api.call("POST", path, again).tokens == ["discovered_virtual_server_not_unique"]
    api.post(path, {**again, "vip_proto": 17})
    virtual_server(api, found)
    other = {"name": "other", "discovered_virtual_server": {"href": found}}
    refused = api.call("POST", f"{api.draft}/virtual_servers", other)
    assert refused.tokens == ["virtual_server_not_unique"]


@pytest.mark.parametrize(
    ("collection", "query", "found"),
    [
        ("discovered", {"name": "SHOP"}, {"shop-443"}),
        ("discovered", {"vip": "192.0.2"}, {"shop-443", "dns"}),
        ("discovered", {"vip_port": "53"}, {"dns"}),
        ("discovered", {"vip_proto": "6"}, {"shop-443"}),
        ("virtual", {"mode": "enforced"}, {"shop"}),
        ("virtual", {"labels": '[["{org}/labels/1"]]'}, {"shop"}),
        ("virtual", {"discovered_virtual_server": "{found}"}, {"shop"}),
        ("virtual", {"service": "{org}/sec_policy/active/services/1"}, {"names"}),
    ],
)
def test_they_are_found(
    shared_api: Api, collection: str, query: dict[str, str], found: set[str]
) -> None:
    """By what clients ask for."""
    api = shared_api
    path = f"{api.org}/discovered_virtual_servers"
    if not api.get(path, vip=VIP):
        label = api.post(f"{api.org}/labels", {"key": "app", "value": "x"})["href"]
        shop = discovered(api)
        dns = discovered(api, name="dns", vip_address="192.0.2.53", vip_port=53, vip_proto=17)
        virtual_server(api, shop, labels=[{"href": label}], mode="enforced")
        virtual_server(api, dns, "names", service={"href": f"{api.draft}/services/1"})
    [shop] = [each["href"] for each in api.get(path, vip_port="443")]
    asked = {k: v.replace("{org}", api.org).replace("{found}", shop) for k, v in query.items()}
    where = path if collection == "discovered" else f"{api.draft}/virtual_servers"
    assert {each["name"] for each in api.get(where, **asked)} == found


Told = Callable[[str], dict[str, tuple[set[str], list[Any]]]]


@pytest.fixture
def told(estate: OrgEstate, stores: Wiring) -> Told:
    """What a VEN is given after the next compile: last part of a line to addresses and services."""

    def read(workload: str) -> dict[str, tuple[set[str], list[Any]]]:
        org_id = OrgId(estate.api.created["org_id"])
        compile_policy(org_id, stores, time.time)
        rows = {str(row.ven_id): row for row in stores.presence.all_of(org_id)}
        document: PolicyDocument = wanted_document(stores, rows[tail(workload)])
        return {
            rule.direction: (
                {address for peer in rule.peers for address in document.sets[peer]},
                [(service.proto, service.port) for service in rule.services],
            )
            for rule in document.rules
        }

    return read


class Shop:
    """A client, two members, and one enforced virtual server before them, in active policy."""

    def __init__(self, estate: OrgEstate, **found: Any) -> None:
        self.api = estate.api
        self.role = estate.label("role", "web")
        self.vip = estate.label("app", "shop")
        self.client = estate.host("client", "10.0.0.1")
        self.member = estate.host("web-1", "10.0.1.1", role=self.role)
        service = {"name": "backend", "service_ports": WEB}
        backend = self.api.post(f"{self.api.draft}/services", service)["href"]
        self.found = discovered(self.api, **{"local_ips": [BALANCER], **found})
        self.server = virtual_server(
            self.api,
            self.found,
            service={"href": backend},
            labels=[self.vip],
            providers=[{"label": self.role}],
            mode="enforced",
        )["href"]
        self.rule = estate.allow(
            estate.rule_set("shop"),
            [{"virtual_server": {"href": self.server}}],
            [{"workload": {"href": self.client}}],
            ingress_services=[],
            resolve_labels_as={"providers": ["virtual_services"], "consumers": ["workloads"]},
        )
        self.api.provision()


def test_consumers_reach_the_vip_and_members_hear_the_balancer(
    estate: OrgEstate, told: Told
) -> None:
    """On the VIP's port and on the virtual server's service; nobody else is let anywhere."""
    shop = Shop(estate)
    assert told(shop.client) == {"out": ({VIP}, [(6, 443)])}
    assert told(shop.member) == {"in": ({BALANCER}, [(6, 8080)])}


def test_what_follows_is_what_the_virtual_server_says(estate: OrgEstate, told: Told) -> None:
    """Members by label, port by its service or else the VIP's, rules by name or by label, and
    nothing while it is unmanaged."""
    shop = Shop(estate)
    reached = {"out": ({VIP}, [(6, 443)])}
    shop.api.put(shop.rule, {"providers": [{"label": shop.vip}]})
    shop.api.provision()
    assert told(shop.client) == reached
    assert told(shop.member) == {"in": ({BALANCER}, [(6, 8080)])}
    shop.api.put(shop.server, {"service": None})
    shop.api.provision()
    assert told(shop.member) == {"in": ({BALANCER}, [(6, 443)])}
    shop.api.put(shop.found, {"local_ips": []})  # the balancer keeps consumers' addresses
    assert told(shop.client) == reached
    assert told(shop.member) == {"in": ({"10.0.0.1"}, [(6, 443)])}
    shop.api.put(shop.server, {"mode": "unmanaged"})
    shop.api.provision()
    assert told(shop.client) == told(shop.member) == {}


def test_what_is_discovered_acts_at_once(estate: OrgEstate, told: Told, stores: Wiring) -> None:
    """A VIP that moves, another pool, another member: no provisioning; and a compile that goes on
    with what it knew says what one from scratch says."""
    shop = Shop(estate)
    told(shop.client)
    shop.api.put(shop.found, {"vip_address": "192.0.2.81", "local_ips": ["192.0.2.12"]})
    assert told(shop.client) == {"out": ({"192.0.2.81"}, [(6, 443)])}
    assert told(shop.member) == {"in": ({"192.0.2.12"}, [(6, 8080)])}
    shop.api.put(shop.found, {"description": "moved"})
    more = estate.host("web-2", "10.0.1.2", role=shop.role)
    assert told(more) == {"in": ({"192.0.2.12"}, [(6, 8080)])}
    shop.api.put(more, {"labels": []})
    assert told(more) == {}
    PolicyOrg(stores, estate.org_id).assert_converged()


def test_explain_names_the_rule_at_both_hops(estate: OrgEstate) -> None:
    """From the client to the VIP, and from the balancer to a member; not from the client."""
    shop = Shop(estate)
    path = f"{estate.api.active}/explain"

    def decided(src: str, dst: str, port: str, end: str) -> tuple[str, int]:
        said = estate.api.get(path, src=src, dst=dst, proto="tcp", port=port)
        [decision] = said["decisions"]
        return decision[end]["decision"], len(decision[end]["rules"])

    assert decided("10.0.0.1", VIP, "443", "source") == ("allowed", 1)
    assert decided("10.0.0.1", VIP, "80", "source") == ("blocked", 0)
    assert decided(BALANCER, "10.0.1.1", "8080", "destination") == ("allowed", 1)
    assert decided("10.0.0.1", "10.0.1.1", "8080", "destination") == ("blocked", 0)
    said = estate.api.get(path, src="10.0.0.1", dst=VIP, proto="tcp", port="443")
    [rule] = said["decisions"][0]["source"]["rules"]
    server = {"href": active(shop.server), "name": "shop"}
    assert rule["providers"] == [{"virtual_server": server}]
    search = f"{estate.api.active}/rule_search"
    named = {"providers": [{"virtual_server": {"href": active(shop.server)}}]}
    for resolve in (False, True):
        [hit] = estate.api.post(search, {**named, "resolve_actors": resolve}, 200)
        assert hit["href"] == active(shop.rule)
    view = estate.api.get(f"{estate.api.active}/policy_view", workload=shop.member)
    [line] = view["rules"]
    assert (line["direction"], line["services"][0]["port"]) == ("in", 8080)


def test_provisioning_a_virtual_server_concerns_its_members(estate: OrgEstate) -> None:
    """And the consumers of rules that name it: the impact counts both, and nobody else."""
    shop = Shop(estate)
    estate.host("bystander", "10.0.0.9")
    shop.api.put(shop.server, {"mode": "unmanaged"})
    said = estate.api.post(f"{estate.api.org}/sec_policy/impact", {}, 200)
    assert {w["href"] for w in said["workloads"]} == {shop.client, shop.member}


def test_another_orgs_virtual_servers_are_not_there(api: Api) -> None:
    """Neither to be read nor to be referred to."""
    found = discovered(api)
    other = new_org("Other")
    assert other.call("GET", found).status == 403
    body = {"name": "x", "discovered_virtual_server": {"href": found}}
    path = f"{other.draft}/virtual_servers"
    assert other.call("POST", path, body).tokens == ["invalid_reference"]
