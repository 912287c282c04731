"""Draft, active and numbered policy: what provisioning promises."""

from typing import Any

import pytest

from pce.access.roles import EVERYTHING
from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store import policy_versions
from pce.store.objects import ObjectStore
from pce.usecases import provision as provisioning
from pce.usecases.caller import Caller
from tests.fakes.api import Api


def ip_list(api: Api, name: str = "corp", **more: Any) -> dict[str, Any]:
    body = {"name": name, "ip_ranges": [{"from_ip": "10.0.0.0/8"}], **more}
    made: dict[str, Any] = api.post(f"{api.draft}/ip_lists", body)
    return made


def refused_name(api: Api, name: str = "corp") -> bool:
    body = {"name": name, "ip_ranges": [{"from_ip": "10.0.0.0/8"}]}
    return api.call("POST", f"{api.draft}/ip_lists", body).tokens == ["ip_list_not_unique"]


def active(href: str) -> str:
    return href.replace("/draft/", "/active/")


def test_an_org_begins_with_a_provisioned_policy(api: Api) -> None:
    """Clients look the factory objects up in the active version, and take element 0."""
    [any_ip] = api.get(f"{api.active}/ip_lists", name="Any (0.0.0.0/0 and ::/0)")
    assert [r["from_ip"] for r in any_ip["ip_ranges"]] == ["0.0.0.0/0", "::/0"]
    [all_services] = api.get(f"{api.active}/services", name="All Services")
    assert all_services["service_ports"] == [{"proto": -1}]
    assert api.get(f"{api.active}/firewall_settings")["ipv6_mode"] == "policy_based"
    assert [v["version"] for v in api.get(f"{api.org}/sec_policy")] == [1]
    assert api.get(f"{api.org}/sec_policy/pending") == {}


def test_factory_objects_stay(api: Api) -> None:
    """Nobody can take away what clients rely on."""
    for name in ("ip_lists", "services"):
        assert api.call("DELETE", f"{api.draft}/{name}/1").tokens == [
            f"{name[:-1]}_is_factory_object"
        ]


def test_a_new_object_is_a_draft_until_it_is_provisioned(api: Api) -> None:
    """201 with ``update_type: create``; 404 in active before, equal and null after."""
    draft = ip_list(api)
    assert draft["update_type"] == "create" and draft["href"].startswith(f"{api.draft}/ip_lists/")
    assert api.call("GET", active(draft["href"])).status == 404
    version = api.provision(draft["href"])
    assert (version["version"], version["object_counts"]) == (2, {"ip_lists": 1})
    assert api.get(draft["href"])["update_type"] is None
    provisioned = api.get(active(draft["href"]))
    assert provisioned["name"] == "corp" and provisioned["href"] == active(draft["href"])


def test_update_type_follows_the_difference(api: Api) -> None:
    """create, null, update, delete: always what provisioning would do now."""
    href = ip_list(api)["href"]
    api.put(href, {"description": "before it was ever provisioned"})
    assert api.get(href)["update_type"] == "create"
    api.provision()
    api.put(href, {"description": "after"})
    assert api.get(href)["update_type"] == "update"
    assert api.get(active(href))["description"] == "before it was ever provisioned"
    api.delete(href)
    assert api.get(href)["update_type"] == "delete"
    api.provision(href)
    assert api.call("GET", href).status == api.call("GET", active(href)).status == 404


def test_a_put_that_changes_nothing_is_no_change(api: Api) -> None:
    """No pending change, no event, for what is the same already."""
    href = ip_list(api)["href"]
    api.provision()
    api.put(href, {"name": "corp", "description": ""})
    assert api.get(href)["update_type"] is None
    assert list(api.events("ip_list.update")) == []


def test_a_draft_that_was_never_provisioned_is_deleted_at_once(api: Api) -> None:
    """It is gone, its name is free, and a second deletion is 404."""
    href = ip_list(api)["href"]
    api.delete(href)
    assert api.call("GET", href).status == 404
    assert api.call("DELETE", href).status == 404
    assert [i["name"] for i in api.get(f"{api.draft}/ip_lists", name="corp")] == []
    again = ip_list(api)
    api.provision()
    assert api.get(active(again["href"]))["name"] == "corp"
    assert refused_name(api)  # what the first one left behind did not free it again


def test_a_provisioned_object_keeps_its_name_until_its_deletion_is_provisioned(api: Api) -> None:
    """Two objects of one name are never active together."""
    href = ip_list(api)["href"]
    api.provision()
    api.delete(href)
    assert refused_name(api)
    assert api.call("DELETE", href).tokens == ["ip_list_already_deleted"]
    assert api.call("PUT", href, {"name": "x"}).tokens == ["ip_list_already_deleted"]
    api.provision()
    ip_list(api)


def test_names_are_unique(api: Api) -> None:
    """A second object of the same name, or a rename onto it, is 406 and changes nothing."""
    ip_list(api, "one")
    two = ip_list(api, "two", external_data_set="cmdb", external_data_reference="7")
    body = {"ip_ranges": [{"from_ip": "10.0.0.0/8"}]}
    assert refused_name(api, "one")
    assert api.call("PUT", two["href"], {"name": "one"}).tokens == ["ip_list_not_unique"]
    external = {"external_data_set": "cmdb", "external_data_reference": "7"}
    answer = api.call("POST", f"{api.draft}/ip_lists", {"name": "three", **body, **external})
    assert answer.tokens == ["ip_list_not_unique"]
    assert {i["name"] for i in api.get(f"{api.draft}/ip_lists")} >= {"one", "two"}
    api.put(two["href"], {"name": "free"})
    ip_list(api, "two")


def test_only_what_is_named_is_provisioned(api: Api) -> None:
    """``change_subset`` leaves everything else pending."""
    one, two = ip_list(api, "one"), ip_list(api, "two")
    api.provision(one["href"])
    assert api.call("GET", active(two["href"])).status == 404
    pending = api.get(f"{api.org}/sec_policy/pending")
    assert [entry["href"] for entry in pending["ip_lists"]] == [two["href"]]


@pytest.mark.parametrize(
    "subset",
    [
        {"ip_lists": [{"href": "/orgs/1/sec_policy/draft/ip_lists/4711"}]},
        {"ip_lists": [{"href": "/orgs/99/sec_policy/draft/ip_lists/1"}]},
        {"labels": [{"href": "/orgs/1/labels/1"}]},
        {"ip_lists": ["text"]},
        "everything",
    ],
)
def test_a_subset_that_names_nothing_is_406(shared_api: Api, subset: object) -> None:
    """Whatever is wrong with the subset, no version is made."""
    path = f"{shared_api.org}/sec_policy"
    assert shared_api.call("POST", path, {"change_subset": subset}).status == 406
    assert len(shared_api.get(path)) == 1


def test_nothing_pending_is_406(api: Api) -> None:
    """A version is only made of changes."""
    assert api.call("POST", f"{api.org}/sec_policy", {}).tokens == ["nothing_to_provision"]


@pytest.fixture
def rule_set(api: Api) -> dict[str, Any]:
    """A rule set whose one rule names an IP list and a service, none of it provisioned."""
    corp = ip_list(api)
    ssh = api.post(
        f"{api.draft}/services", {"name": "ssh", "service_ports": [{"port": 22, "proto": 6}]}
    )
    made = api.post(f"{api.draft}/rule_sets", {"name": "shop", "scopes": [[]]})
    api.post(
        f"{made['href']}/sec_rules",
        {
            "providers": [{"actors": "ams"}],
            "consumers": [{"ip_list": {"href": corp["href"]}}],
            "ingress_services": [{"href": ssh["href"]}],
        },
    )
    found: dict[str, Any] = api.get(made["href"])
    return found


def test_active_policy_never_refers_to_what_is_not_active(
    api: Api, rule_set: dict[str, Any]
) -> None:
    """Provisioning a rule set without what its rules name is refused, naming it; the dependencies
    endpoint says what to add; with it all goes."""
    answer = api.call(
        "POST",
        f"{api.org}/sec_policy",
        {"change_subset": {"rule_sets": [{"href": rule_set["href"]}]}},
    )
    assert answer.tokens == ["missing_dependency"] * 2
    subset = {"change_subset": {"rule_sets": [{"href": rule_set["href"]}]}}
    needed = api.post(f"{api.draft}/dependencies", subset, status=200)
    assert set(needed) == {"ip_lists", "services"}
    as_list = api.post(f"{api.draft}/dependencies", [{"href": rule_set["href"]}], status=200)
    assert {entry["href"] for entry in as_list} == {
        entry["href"] for entries in needed.values() for entry in entries
    }
    api.provision(rule_set["href"], *(entry["href"] for entry in as_list))
    [rule] = api.get(active(rule_set["href"]))["rules"]
    assert rule["consumers"][0]["ip_list"]["href"].startswith(f"{api.active}/ip_lists/")
    assert rule["ingress_services"][0]["href"].startswith(f"{api.active}/services/")


def test_what_is_used_cannot_be_deleted(api: Api, rule_set: dict[str, Any]) -> None:
    """The refusal names who uses it; once nobody does, deletion and disuse go together."""
    api.provision()
    [rule] = rule_set["rules"]
    used = rule["consumers"][0]["ip_list"]["href"]
    refused = api.call("DELETE", used)
    assert refused.tokens == ["ip_list_in_use"] and rule_set["href"] in refused.json[0]["message"]
    api.put(rule["href"], {"consumers": [{"actors": "ams"}]})
    api.delete(used)
    assert api.call(
        "POST", f"{api.org}/sec_policy", {"change_subset": {"ip_lists": [{"href": used}]}}
    ).tokens == ["missing_dependency"]
    needed = api.post(f"{api.draft}/dependencies", [{"href": used}], status=200)
    assert [entry["href"] for entry in needed] == [rule_set["href"]]
    api.provision(used, rule_set["href"])
    assert api.call("GET", active(used)).status == 404


def test_versions_never_change(api: Api) -> None:
    """A number shows what was provisioned under it, whatever happens later."""
    href = ip_list(api)["href"]
    api.provision()
    api.put(href, {"name": "renamed"})
    api.provision()
    api.delete(href)
    api.provision()
    numbered = href.replace("/draft/", "/{}/")
    assert api.get(numbered.format(2))["name"] == "corp"
    assert api.get(numbered.format(3))["name"] == "renamed"
    assert api.get(numbered.format(3))["href"] == numbered.format(3)
    assert api.call("GET", numbered.format(4)).status == 404
    assert api.call("GET", numbered.format(9)).tokens == ["sec_policy_not_found"]
    assert [v["version"] for v in api.get(f"{api.org}/sec_policy")] == [4, 3, 2, 1]
    assert api.get(f"{api.org}/sec_policy/2")["created_by"]["href"].startswith("/users/")


def test_reverting_takes_drafts_back(api: Api) -> None:
    """New drafts disappear, changed and deleted ones are what is active again."""
    kept, changed = ip_list(api, "kept"), ip_list(api, "changed")
    api.provision()
    api.put(changed["href"], {"name": "other", "description": "x"})
    api.delete(kept["href"])
    new = ip_list(api, "new")
    api.put(f"{api.org}/sec_policy/delete", [{"href": changed["href"]}])
    assert api.get(changed["href"])["name"] == "changed"
    assert api.get(changed["href"])["update_type"] is None
    assert len(api.get(f"{api.org}/sec_policy/pending")["ip_lists"]) == 2
    api.delete(f"{api.org}/sec_policy/pending")
    assert api.get(f"{api.org}/sec_policy/pending") == {}
    assert api.get(kept["href"])["update_type"] is None
    assert api.call("GET", new["href"]).status == 404
    ip_list(api, "other")
    ip_list(api, "new")


def test_two_at_once_make_one_version(api: Api, stores: Wiring) -> None:
    """Of two provisionings that read the same head one commits; the other is 409 and changes
    nothing."""
    one, two = ip_list(api, "one"), ip_list(api, "two")
    prepare = policy_versions.PolicyVersions.prepare
    raced = []

    def race(self: Any, *arguments: Any) -> tuple[str, int]:
        prepared = prepare(self, *arguments)
        if not raced:
            raced.append(True)
            api.provision(two["href"])
        return prepared

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_versions.PolicyVersions, "prepare", race)
        answer = api.call(
            "POST",
            f"{api.org}/sec_policy",
            {"change_subset": {"ip_lists": [{"href": one["href"]}]}},
        )
    assert (answer.status, answer.tokens) == (409, ["conflict"])
    assert api.call("GET", active(one["href"])).status == 404
    assert api.get(active(two["href"]))["name"] == "two"
    api.provision(one["href"])


def test_a_draft_deleted_while_it_is_provisioned_is_a_pending_deletion(api: Api) -> None:
    """The race ends in a state that a person can see and provision, with both names usable."""
    href = ip_list(api)["href"]
    prepare = policy_versions.PolicyVersions.prepare

    def race(self: Any, *arguments: Any) -> tuple[str, int]:
        api.delete(href)
        return prepare(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_versions.PolicyVersions, "prepare", race)
        api.provision(href)
    assert api.get(active(href))["name"] == "corp"
    assert api.get(href)["update_type"] == "delete"
    again = ip_list(api)  # the name was free at once
    api.provision(href, again["href"])
    assert api.call("GET", href).status == 404
    assert refused_name(api)


def test_a_draft_changed_while_it_is_provisioned_stays_pending(api: Api) -> None:
    """What was read is provisioned; the later change is provisioned next time."""
    href = ip_list(api)["href"]
    prepare = policy_versions.PolicyVersions.prepare

    def race(self: Any, *arguments: Any) -> tuple[str, int]:
        api.put(href, {"description": "later"})
        return prepare(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_versions.PolicyVersions, "prepare", race)
        api.provision(href)
    assert api.get(active(href))["description"] is None
    assert api.get(href)["update_type"] == "update"


def test_an_interrupted_provisioning_changed_nothing(api: Api) -> None:
    """Killed after every revision and the manifest were written: the old version is active, and the
    same request succeeds later."""
    href = ip_list(api)["href"]

    def killed(self: Any, change: Any) -> str:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            api.provision(href)
    assert api.call("GET", active(href)).status == 404
    assert [v["version"] for v in api.get(f"{api.org}/sec_policy")] == [1]
    assert api.provision(href)["version"] == 2


def test_a_manifest_of_many_chunks_is_one_version(
    api: Api, stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size does not matter: what does not fit into one item is still one version."""
    monkeypatch.setattr(policy_versions, "MANIFEST_CHUNK", 3)
    for number in range(8):
        ip_list(api, f"list {number}")
    api.provision()
    version, documents = stores.policy_versions.active_documents(OrgId(api.created["org_id"]))
    fresh = policy_versions.PolicyVersions(stores.objects)
    assert version == 2 and len(documents["ip_lists"]) == 9
    assert fresh.active_documents(OrgId(api.created["org_id"])) == (version, documents)


def test_provisioning_wakes_the_compiler_once(api: Api, stores: Wiring) -> None:
    """A version is one entry of the change log, written with it."""
    org_id = OrgId(api.created["org_id"])
    ip_list(api)
    before = len(stores.objects.change_log(org_id))
    api.provision()
    log = stores.objects.change_log(org_id)
    assert len(log) == before + 1
    assert (log[-1].reason, log[-1].hrefs) == ("provision", (f"{api.org}/sec_policy/2",))
    [event] = api.get(f"{api.org}/events", event_type="sec_policy.create")
    assert event["action"]["http_status_code"] == 201
    assert event["resource_changes"][0]["resource"]["sec_policy"]["version"] == 2


def test_unchanged_documents_are_not_read_again(api: Api, stores: Wiring) -> None:
    """The compiler's second look costs one read, however much is provisioned."""
    from tests.fakes.installation import Requests

    org_id = OrgId(api.created["org_id"])
    stores.policy_versions.active_documents(org_id)
    with Requests(stores) as requests:
        stores.policy_versions.active_documents(org_id)
    assert sum(requests.counts.values()) == 1


def test_firewall_settings_are_one_object(api: Api) -> None:
    """PUT on the draft, then provisioned by its href; it cannot be deleted."""
    href = f"{api.draft}/firewall_settings"
    api.put(href, {"ipv6_mode": "block_all", "log_dropped_multicast": False})
    assert api.get(href)["update_type"] == "update"
    api.post(
        f"{api.org}/sec_policy",
        {"change_subset": {"firewall_settings": [{"href": href}]}},
    )
    assert api.get(active(href))["ipv6_mode"] == "block_all"
    assert api.get(href)["update_type"] is None
    assert api.call("DELETE", href).status == 405


def test_a_provisioning_reads_the_head_before_the_drafts(api: Api, stores: Wiring) -> None:
    """The order that makes races harmless: a draft read before the head could be newer than the
    version that the commit is conditional on."""
    ip_list(api)
    order = []
    caller = Caller(OrgId(api.created["org_id"]), "/users/1", "x", 1_800_000_000, EVERYTHING)
    head, drafts = policy_versions.PolicyVersions.head, policy_versions.PolicyVersions.drafts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            policy_versions.PolicyVersions,
            "head",
            lambda self, *a: order.append("head") or head(self, *a),
        )
        patch.setattr(
            policy_versions.PolicyVersions,
            "drafts",
            lambda self, *a, **k: order.append("drafts") or drafts(self, *a, **k),
        )
        provisioning.provision(caller, {}, stores)
    assert order[:2] == ["head", "drafts"]


def test_firewall_settings_hold_what_clients_send(api: Api) -> None:
    """Every attribute comes back from draft and active as it was sent; others stay as they are."""
    label = api.post(f"{api.org}/labels", {"key": "env", "value": "prod"})["href"]
    scopes: list[list[dict[str, Any]]] = [[{"label": {"href": label}}]]
    sent = {
        "ike_authentication_type": "certificate",
        "static_policy_scopes": scopes,
        "containers_inherit_host_policy_scopes": scopes,
        "blocked_connection_reject_scopes": [[]],
        "loopback_interfaces_in_policy_scopes": scopes,
        "ip_forwarding_enabled_scopes": scopes,
        "rule_hit_count_enabled_scopes": scopes,
        "firewall_coexistence": [
            {"illumio_primary": True, "scope": [{"href": label}], "workload_mode": "enforced"}
        ],
        "allow_ipv6": False,
        "ipv6_mode": "block_all",
        "allow_dhcp_client": False,
        "allow_traceroute": False,
        "allow_igmp": False,
        "allow_captive_portal_outbound": True,
        "log_dropped_multicast": False,
        "log_dropped_broadcast": True,
        "network_detection_mode": "manual",
    }
    before = api.get(f"{api.draft}/firewall_settings")
    assert before.keys() >= sent.keys() and not before["firewall_coexistence"]
    for name, value in sent.items():
        api.put(f"{api.draft}/firewall_settings", {name: value})
    assert api.get(f"{api.draft}/firewall_settings").items() >= sent.items()
    assert api.get(f"{api.active}/firewall_settings")["allow_igmp"] is True
    api.provision()
    assert api.get(f"{api.active}/firewall_settings").items() >= sent.items()
    assert api.get(f"{api.org}/sec_policy/1/firewall_settings")["allow_igmp"] is True
    usage = api.get(f"{api.org}/labels", usage="true")[0]["usage"]
    assert usage["static_policy_scopes"] and usage["firewall_coexistence_scope"]
    assert api.call("DELETE", label).tokens == ["label_in_use"]
