"""Workloads: with and without a VEN, one by one and in bulk."""

from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.usecases.change_in_bulk import WRITTEN_TOGETHER
from tests.fakes.api import Api
from tests.fakes.pairing import pair


def workload(api: Api, name: str = "web-1", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.post(f"{api.org}/workloads", {"name": name, **more})
    return made


def label(api: Api, key: str = "role", value: str = "web") -> str:
    return str(api.post(f"{api.org}/labels", {"key": key, "value": value})["href"])


def reasons(api: Api, stores: Wiring) -> list[str]:
    return [e.reason for e in stores.objects.change_log(OrgId(api.created["org_id"]))]


def test_an_unmanaged_workload_has_every_key_that_clients_index(api: Api) -> None:
    """``labels`` is a list, ``agent`` an object without href, ``name``, ``hostname``, ``deleted``
    and ``online`` are there whatever was said."""
    made = workload(api, description="", data_center="", interfaces=[], labels=[])
    assert made["labels"] == [] and made["interfaces"] == []
    assert made["agent"].get("href") is None and made["agent"]["config"]["mode"] == "illuminated"
    assert (made["hostname"], made["deleted"], made["online"]) == (None, False, True)
    assert (made["managed"], made["ven"], made["description"]) == (False, None, None)
    assert made["enforcement_mode"] == "visibility_only"
    assert api.get(made["href"]) == api.get(f"{api.org}/workloads")[0] == made


def test_a_workload_needs_a_name_or_a_hostname(api: Api) -> None:
    """Either will do."""
    assert api.call("POST", f"{api.org}/workloads", {}).tokens == ["workload_unnamed"]
    workload(api, name="", hostname="web-1.example")


def test_labels_show_key_and_value(api: Api) -> None:
    """References may carry anything; one label of a key; deleted labels are refused."""
    web, db = label(api), label(api, value="db")
    made = workload(api, labels=[{"href": web, "key": "nonsense", "extra": 1}])
    assert made["labels"] == [{"href": web, "key": "role", "value": "web"}]
    both = api.call("PUT", made["href"], {"labels": [{"href": web}, {"href": db}]})
    assert both.tokens == ["label_key_repeated"]
    api.delete(db)
    gone = api.call("PUT", made["href"], {"labels": [{"href": db}]})
    assert gone.tokens == ["invalid_reference"] and db in gone.json[0]["message"]
    assert api.get(made["href"])["labels"][0]["href"] == web


def test_a_put_is_partial(api: Api) -> None:
    """What is not sent stays; lists that are sent replace lists; null and "" clear texts."""
    made = workload(
        api, description="x", interfaces=[{"name": "eth0", "address": "10.0.0.1", "cidr_block": 24}]
    )
    api.put(made["href"], {"data_center": "west"})
    after = api.get(made["href"])
    assert (after["description"], after["data_center"]) == ("x", "west")
    assert after["interfaces"][0]["address"] == "10.0.0.1"
    api.put(made["href"], {"interfaces": [], "description": "", "data_center": None})
    after = api.get(made["href"])
    assert (after["interfaces"], after["description"], after["data_center"]) == ([], None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"enforcement_mode": "full"}, "workload"),
        ({"online": False}, "workload"),
        ({"interfaces": [{"name": "eth0", "address": "10.0.0.9"}]}, "interfaces"),
        ({"description": "x"}, None),
        ({"name": "renamed"}, "workload"),  # flows are shown with it
    ],
)
def test_policy_hears_of_what_it_depends_on(
    api: Api, stores: Wiring, changes: dict[str, Any], reason: str | None
) -> None:
    """The change log gets an entry with the change, and only when policy or the address directory
    may follow from it."""
    href = workload(api)["href"]
    before = reasons(api, stores)
    api.put(href, changes)
    assert reasons(api, stores)[len(before) :] == ([reason] if reason else [])


def test_the_older_mode_is_understood(api: Api) -> None:
    """``agent.config`` of older clients sets enforcement mode and visibility."""
    href = workload(api)["href"]
    api.put(href, {"agent": {"config": {"mode": "enforced", "log_traffic": False}}})
    after = api.get(href)
    assert (after["enforcement_mode"], after["visibility_level"]) == ("full", "flow_drops")
    assert after["agent"]["config"]["mode"] == "enforced"
    assert [w["href"] for w in api.get(f"{api.org}/workloads", mode="enforced")] == [href]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"name": "WEB"}, {"web-1", "web-2"}),
        ({"hostname": "example"}, {"web-2"}),
        ({"ip_address": "10.0.0.1"}, {"web-1"}),
        ({"managed": "True"}, set()),
        ({"managed": "false"}, {"web-1", "web-2", "db"}),
        ({"online": "no"}, {"db"}),
        ({"enforcement_mode": "full"}, {"db"}),
        ({"enforcement_modes": '["full", "idle"]'}, {"db"}),
        ({"labels": '[["/LABEL/web"]]'}, {"web-1", "web-2"}),
        ({"labels": '[["/LABEL/web", "/LABEL/prod"], ["/LABEL/db"]]'}, {"web-2", "db"}),
        ({"labels": "[]"}, {"web-1", "web-2", "db"}),
        ({"external_data_set": "cmdb"}, {"db"}),
        ({"external_data_set": "cm"}, set()),
    ],
)
def test_filters(three: tuple[Api, dict[str, str]], query: dict[str, str], found: set[str]) -> None:
    """Texts match in part and in any case, the rest exactly; labels inner AND, outer OR."""
    api, labels = three
    for value, href in labels.items():
        query = {name: text.replace(f"/LABEL/{value}", href) for name, text in query.items()}
    assert {w["name"] for w in api.get(f"{api.org}/workloads", **query)} == found


@pytest.fixture(scope="module")
def three(shared_api: Api) -> tuple[Api, dict[str, str]]:
    api = shared_api
    labels = {
        value: label(api, key, value)
        for key, value in (("role", "web"), ("role", "db"), ("env", "prod"))
    }
    web, prod = {"href": labels["web"]}, {"href": labels["prod"]}
    nic = [{"name": "eth0", "address": "10.0.0.1"}]
    workload(api, "web-1", labels=[web], interfaces=nic)
    workload(api, "web-2", labels=[web, prod], hostname="web2.Example.com")
    workload(
        api,
        "db",
        labels=[{"href": labels["db"]}],
        enforcement_mode="full",
        online=False,
        external_data_set="cmdb",
        external_data_reference="1",
    )
    return api, labels


def test_a_deleted_workload_stays_readable_and_leaves_policy(api: Api, stores: Wiring) -> None:
    """By its href with ``deleted: true``; its external data are free; a second deletion says so."""
    external = {"external_data_set": "cmdb", "external_data_reference": "1"}
    href = workload(api, **external)["href"]
    api.delete(href)
    assert (api.get(href)["deleted"], api.get(href)["online"]) == (True, False)
    assert api.get(f"{api.org}/workloads") == []
    assert api.call("DELETE", href).tokens == ["workload_already_deleted"]
    assert reasons(api, stores)[-1] == "workload"
    workload(api, **external)


def test_a_workload_may_go_while_a_rule_names_it(api: Api) -> None:
    """As machines do; the rule can still be switched off, but not name it anew."""
    href = workload(api)["href"]
    rule_set = api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": [[]]})
    actors = [{"workload": {"href": href}}]
    rule = api.post(
        f"{rule_set['href']}/sec_rules",
        {
            "providers": actors,
            "consumers": [{"actors": "ams"}],
            "ingress_services": [{"port": 22, "proto": 6}],
        },
    )
    api.delete(href)
    api.put(rule["href"], {"enabled": False})
    assert api.call("PUT", rule["href"], {"consumers": actors}).status == 204  # named already
    other = api.post(f"{api.draft}/rule_sets", {"name": "other", "scopes": [[]]})
    refused = api.call(
        "POST",
        f"{other['href']}/sec_rules",
        {"providers": actors, "consumers": actors, "ingress_services": [{"port": 1, "proto": 6}]},
    )
    assert refused.tokens == ["invalid_reference"]


def test_bulk_creation_answers_for_each_entry(api: Api, stores: Wiring) -> None:
    """In order, with hrefs for the good and reasons for the bad; the bad stop nobody."""
    web = label(api)
    external = {"external_data_set": "cmdb", "external_data_reference": "1"}
    results = api.put(
        f"{api.org}/workloads/bulk_create",
        [
            {"name": "a", "labels": [{"href": web}], **external},
            {},
            {"name": "b", "labels": [{"href": f"{api.org}/labels/99"}]},
            {"name": "c", **external},
            "d",
            {"name": "e"},
        ],
        status=200,
    )
    assert [r["status"] for r in results] == [
        "created",
        "validation_failure",
        "validation_failure",
        "validation_failure",
        "validation_failure",
        "created",
    ]
    assert [r.get("token") for r in results] == [
        None,
        "workload_unnamed",
        "invalid_reference",
        "workload_not_unique",
        "invalid_attribute",
        None,
    ]
    assert {w["href"] for w in api.get(f"{api.org}/workloads")} == {
        results[0]["href"],
        results[5]["href"],
    }
    changed = [
        change["resource"]["workload"]["name"]
        for event in api.events("workloads.bulk_create")
        for change in event["resource_changes"]
    ]
    assert sorted(changed) == ["a", "e"]


def test_bulk_changes_of_more_than_one_transaction(api: Api, stores: Wiring) -> None:
    """More entries than fit into a transaction are all created, changed and deleted; more than
    1,000 are refused."""
    names = [f"w{number:04d}" for number in range(WRITTEN_TOGETHER + 1)]
    created = api.put(
        f"{api.org}/workloads/bulk_create", [{"name": name} for name in names], status=200
    )
    assert {r["status"] for r in created} == {"created"}
    updated = api.put(
        f"{api.org}/workloads/bulk_update",
        [{"href": r["href"], "description": "x"} for r in created],
        status=200,
    )
    assert [r["href"] for r in updated] == [r["href"] for r in created]
    found = api.get(f"{api.org}/workloads", max_results="2000", description="x")
    assert {w["name"] for w in found} == set(names)
    deleted = api.put(
        f"{api.org}/workloads/bulk_delete", [{"href": r["href"]} for r in created], status=200
    )
    assert all(r["errors"] == [] for r in deleted)
    assert api.get(f"{api.org}/workloads") == []
    too_many = api.call("PUT", f"{api.org}/workloads/bulk_create", [{"name": "x"}] * 1001)
    assert (too_many.status, too_many.tokens) == (406, ["invalid_bulk_request"])


def test_bulk_updates_name_what_they_cannot_change(api: Api, stores: Wiring) -> None:
    """Unknown, deleted and foreign hrefs fail alone; an href that comes twice is changed once and
    said to have changed meanwhile."""
    one, gone = workload(api, "one")["href"], workload(api, "gone")["href"]
    api.delete(gone)
    results = api.put(
        f"{api.org}/workloads/bulk_update",
        [
            {"href": one, "description": "first"},
            {"href": one, "description": "second"},
            {"href": gone, "description": "x"},
            {"href": one.replace(api.org, "/orgs/99"), "description": "x"},
            {"description": "x"},
        ],
        status=200,
    )
    assert [r.get("token") for r in results] == [
        None,
        "conflict",
        "workload_already_deleted",
        "workload_not_found",
        "workload_not_found",
    ]
    assert api.get(one)["description"] == "first"


def test_managed_workloads_are_unpaired_not_deleted(api: Api, stores: Wiring) -> None:
    """Alone and in bulk the refusal has the token by which clients know."""
    ven = pair(api, stores)
    assert api.call("DELETE", ven.workload_href).tokens == ["method_not_allowed_error"]
    [result] = api.put(
        f"{api.org}/workloads/bulk_delete", [{"href": ven.workload_href}], status=200
    )
    assert result["errors"][0]["token"] == "method_not_allowed_error"
    assert api.get(ven.workload_href)["deleted"] is False


def test_what_the_ven_says_cannot_be_changed(api: Api, stores: Wiring) -> None:
    """Hostname, interfaces, addresses and systems of managed workloads are ignored in what clients
    send; the rest is theirs to change."""
    ven = pair(api, stores, hostname="db-1")
    api.put(
        ven.workload_href,
        {"hostname": "x", "interfaces": [], "online": False, "os_id": "", "name": "my db"},
    )
    after = api.get(ven.workload_href)
    assert (after["hostname"], after["name"], after["online"]) == ("db-1", "my db", True)
    assert after["interfaces"] != []


def test_interfaces_are_a_collection_of_their_own(api: Api) -> None:
    """Listed, and read by name."""
    made = workload(
        api,
        interfaces=[
            {"name": "eth0", "address": "10.0.0.1"},
            {"name": "eth0", "address": "fe80::1"},
        ],
    )
    listed = api.get(f"{made['href']}/interfaces")
    assert [i["address"] for i in listed] == ["10.0.0.1", "fe80::1"]
    assert [i["link_state"] for i in listed] == [None, None]  # what was not said stays unsaid
    assert api.get(f"{made['href']}/interfaces/eth0")["address"] == "10.0.0.1"
    assert api.call("GET", f"{made['href']}/interfaces/eth9").status == 404
    twice = [{"name": "eth0", "address": "10.0.0.1"}] * 2
    assert api.call("PUT", made["href"], {"interfaces": twice}).status == 406


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("enforcement_mode", ("idle", "visibility_only", "selective", "full")),
        (
            "visibility_level",
            (
                "flow_off",
                "flow_drops",
                "flow_summary",
                "flow_full_detail",
                "enhanced_data_collection",
            ),
        ),
    ],
)
def test_modes_and_visibility_per_workload(
    api: Api, stores: Wiring, attribute: str, words: tuple[str, ...]
) -> None:
    """Each word is taken, singly and in bulk, found by its filter, and told to the compiler with
    the workload's href; another word is refused and changes nothing."""
    org_id = OrgId(api.created["org_id"])
    href = workload(api)["href"]
    for number, word in enumerate((*words, words[0])):
        if number % 2:
            api.put(href, {attribute: word})
        else:
            said = api.put(
                f"{api.org}/workloads/bulk_update", [{"href": href, attribute: word}], 200
            )
            assert said == [{"href": href, "status": "updated"}]
        assert api.get(href)[attribute] == word
        assert [w["href"] for w in api.get(f"{api.org}/workloads", **{attribute: word})] == [href]
    entries = stores.objects.change_log(org_id)[-len(words) :]
    assert all((e.reason, e.hrefs) == ("workload", (href,)) for e in entries)
    assert api.call("PUT", href, {attribute: "maybe"}).tokens == ["invalid_attribute"]
    [refused] = api.put(
        f"{api.org}/workloads/bulk_update", [{"href": href, attribute: "maybe"}], 200
    )
    assert refused["status"] == "validation_failure" and "maybe" in refused["message"]
    assert api.get(href)[attribute] == words[0]


def test_an_import_creates_and_changes(api: Api) -> None:
    """An entry with an href changes that workload, one without makes a new one; in order."""
    old = api.post(f"{api.org}/workloads", {"name": "old"})["href"]
    entries = [{"name": "new"}, {"href": old, "description": "x"}, {"name": 5}]
    said = api.put(f"{api.org}/workloads/bulk_import", entries, 200)
    assert [entry["status"] for entry in said] == ["created", "updated", "validation_failure"]
    assert api.get(old)["description"] == "x"


def test_services_are_selected_by_deny_rules(api: Api) -> None:
    """The older attribute is refused unless it is empty: nothing would follow from it."""
    port = [{"port": 22, "proto": 6}]
    body = {"name": "w", "selectively_enforced_services": port}
    answer = api.call("POST", f"{api.org}/workloads", body)
    assert answer.tokens == ["selectively_enforced_services_not_supported"]
    made = api.post(f"{api.org}/workloads", {**body, "selectively_enforced_services": []})
    assert made["selectively_enforced_services"] == []
