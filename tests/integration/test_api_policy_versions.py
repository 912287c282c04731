"""Old versions come back, crashes leave nothing half done, and two at once make one version."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store.dynamodb import DynamoDB
from pce.store.policy_versions import PolicyVersions
from pce.usecases import reset_drafts
from tests.fakes.api import Api

WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")


def ip_list(api: Api, name: str, **more: Any) -> str:
    body = {"name": name, "ip_ranges": [{"from_ip": "10.0.0.0/8"}], **more}
    return str(api.post(f"{api.draft}/ip_lists", body)["href"])


def group(api: Api, name: str, *inside: str) -> str:
    body = {"name": name, "key": "app", "sub_groups": [{"href": href} for href in inside]}
    return str(api.post(f"{api.draft}/label_groups", body)["href"])


def active(href: str) -> str:
    return href.replace("/draft/", "/active/")


def restore(api: Api, version: int) -> Any:
    return api.post(f"{api.org}/sec_policy/{version}/restore", status=200)


def contents(api: Api, version: str) -> dict[str, list[dict[str, Any]]]:
    """Everything in a version, as clients see it, but for the version in hrefs and who changed it
    when."""
    shown = {}
    for collection in (
        "label_groups",
        "services",
        "rule_sets",
        "ip_lists",
        "virtual_services",
        "enforcement_boundaries",
    ):
        documents = api.get(f"{api.org}/sec_policy/{version}/{collection}")
        shown[collection] = [_content(d, version) for d in documents if not d["deleted_at"]]
    shown["firewall_settings"] = [
        _content(api.get(f"{api.org}/sec_policy/{version}/firewall_settings"), version)
    ]
    return shown


def _content(value: Any, version: str) -> Any:
    if isinstance(value, dict):
        dropped = ("caps", "update_type", "usage")
        return {k: _content(v, version) for k, v in value.items() if k not in dropped}
    if isinstance(value, list):
        return [_content(each, version) for each in value]
    return value.replace(f"/sec_policy/{version}/", "/") if isinstance(value, str) else value


@pytest.fixture
def policy(api: Api) -> dict[str, str]:
    """One provisioned object of every kind, the rule set naming the others: version 2."""
    label = str(api.post(f"{api.org}/labels", {"key": "app", "value": "shop"})["href"])
    web = [{"port": 80, "proto": 6}]
    made = {
        "label": label,
        "ip_list": ip_list(api, "corp"),
        "service": api.post(f"{api.draft}/services", {"name": "web", "service_ports": web})["href"],
        "group": api.post(
            f"{api.draft}/label_groups", {"name": "g", "key": "app", "labels": [{"href": label}]}
        )["href"],
        "virtual_service": api.post(
            f"{api.draft}/virtual_services", {"name": "v", "service_ports": web}
        )["href"],
        "boundary": api.post(
            f"{api.draft}/enforcement_boundaries",
            {
                "name": "b",
                "providers": [{"actors": "ams"}],
                "consumers": [{"label": {"href": label}}],
                "ingress_services": web,
            },
        )["href"],
    }
    made["rule_set"] = api.post(
        f"{api.draft}/rule_sets",
        {"name": "r", "scopes": [[{"label_group": {"href": made["group"]}}]]},
    )["href"]
    made["rule"] = api.post(
        f"{made['rule_set']}/sec_rules",
        {
            "providers": [
                {"actors": "ams"},
                {"virtual_service": {"href": made["virtual_service"]}},
            ],
            "consumers": [{"ip_list": {"href": made["ip_list"]}}],
            "ingress_services": [{"href": made["service"]}],
        },
    )["href"]
    api.put(f"{api.draft}/firewall_settings", {"ipv6_mode": "block_all"})
    api.provision()
    return made


def test_an_old_version_comes_back(api: Api, policy: dict[str, str]) -> None:
    """Changed, deleted and new objects of every kind, their rules and names: the drafts are what
    the version was, and once provisioned so is the active policy. Versions stay as they were."""
    before = contents(api, "2")
    api.put(policy["rule"], {"enabled": False})
    api.delete(policy["boundary"])
    api.put(policy["rule_set"], {"scopes": [[]]})
    api.delete(policy["group"])
    api.put(policy["ip_list"], {"name": "renamed"})
    ip_list(api, "corp")  # takes the name that must come back
    api.put(f"{api.draft}/firewall_settings", {"ipv6_mode": "policy_based"})
    api.provision()
    third = contents(api, "3")
    never_provisioned = ip_list(api, "new")

    pending = restore(api, 2)
    assert contents(api, "draft") == before
    assert contents(api, "active") == third  # nothing is active by restoring
    kinds = {name: {e["update_type"] for e in found} for name, found in pending.items()}
    assert kinds == {
        "label_groups": {"create"},
        "rule_sets": {"update"},
        "ip_lists": {"update", "delete"},
        "enforcement_boundaries": {"create"},
        "firewall_settings": {"update"},
    }
    assert api.call("GET", never_provisioned).status == 404
    api.provision()
    assert contents(api, "active") == contents(api, "4") == before
    assert contents(api, "3") == third and contents(api, "2") == before
    assert api.get(f"{api.org}/sec_policy/pending") == {}
    assert len(list(api.events("sec_policy.restore"))) == 1


def test_restoring_can_be_taken_back(api: Api, policy: dict[str, str]) -> None:
    """Names that were passed on are passed back."""
    api.put(policy["ip_list"], {"name": "renamed"})
    ip_list(api, "corp")
    api.provision()
    third = contents(api, "3")
    restore(api, 2)
    api.delete(f"{api.org}/sec_policy/pending")
    assert contents(api, "draft") == contents(api, "active") == third


def test_restoring_needs_what_the_version_names(api: Api, policy: dict[str, str]) -> None:
    """A label that was deleted does not come back: 406 naming it, and no draft changes."""
    api.delete(policy["rule"])
    api.delete(policy["rule_set"])
    api.delete(policy["boundary"])
    api.delete(policy["group"])
    api.provision()
    api.delete(policy["label"])
    before = contents(api, "draft")
    answer = api.call("POST", f"{api.org}/sec_policy/2/restore", {})
    assert set(answer.tokens) == {"invalid_reference"}
    assert policy["label"] in answer.json[0]["message"]
    assert contents(api, "draft") == before
    assert api.call("POST", f"{api.org}/sec_policy/9/restore", {}).status == 404
    assert api.call("POST", f"{api.active}/restore", {}).status == 404


def test_many_drafts_are_restored(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one transaction holds, names passed on in a circle among them; what passes names
    among too many for one transaction is refused, and nothing changes."""
    monkeypatch.setattr(reset_drafts, "ITEMS_TOGETHER", 8)
    hrefs = [ip_list(api, f"list {number:02d}") for number in range(12)]
    api.provision()
    api.put(hrefs[0], {"name": "aside"})
    for at in range(1, 5):
        api.put(hrefs[at], {"name": f"list {at - 1:02d}"})
    api.put(hrefs[0], {"name": "list 04"})
    for href in hrefs[5:]:
        api.delete(href)
    api.provision()
    monkeypatch.setattr(reset_drafts, "ITEMS_TOGETHER", 4)
    assert api.call("POST", f"{api.org}/sec_policy/2/restore", {}).status == 413
    monkeypatch.setattr(reset_drafts, "ITEMS_TOGETHER", 8)
    assert len(restore(api, 2)["ip_lists"]) == 12
    names = [entry["name"] for entry in api.get(f"{api.draft}/ip_lists", name="list")]
    assert names == [f"list {number:02d}" for number in range(12)]


def test_modified_objects_are_told_per_version(api: Api, policy: dict[str, str]) -> None:
    """Against the version before; of the draft what is pending."""
    api.put(policy["ip_list"], {"description": "x"})
    api.delete(policy["boundary"])
    path = "{}/sec_policy/{}/modified_objects"
    pending = {e["href"]: e["change_type"] for e in api.get(path.format(api.org, "draft"))}
    assert pending == {policy["ip_list"]: "update", policy["boundary"]: "delete"}
    api.provision()
    [update, delete] = api.get(path.format(api.org, "3"))
    assert (update["href"], update["name"]) == (policy["ip_list"].replace("draft", "3"), "corp")
    assert (update["update_type"], delete["update_type"]) == ("update", "delete")
    assert delete["href"] == policy["boundary"].replace("draft", "2")
    assert api.get(delete["href"])["name"] == "b"
    assert api.get(path.format(api.org, "active")) == [update, delete]
    assert {e["change_type"] for e in api.get(path.format(api.org, "1"))} == {"create"}
    assert api.get(path.format(api.org, "draft")) == []
    assert api.call("GET", path.format(api.org, "9")).status == 404


def test_two_active_objects_never_share_a_name(api: Api) -> None:
    """A rename frees a name at once; the one that takes it is provisioned with it or after it."""
    old = ip_list(api, "corp")
    api.provision()
    api.put(old, {"name": "other"})
    new = ip_list(api, "corp")
    subset = {"change_subset": {"ip_lists": [{"href": new}]}}
    refused = api.call("POST", f"{api.org}/sec_policy", subset)
    assert refused.tokens == ["name_taken"]
    assert old in refused.json[0]["message"] and new in refused.json[0]["message"]
    api.provision(old, new)


def test_drafts_that_are_right_may_make_a_circle_together(api: Api) -> None:
    """One group leaves another and takes it in: provisioning only the taking in is refused."""
    inner = group(api, "inner")
    outer = group(api, "outer", inner)
    api.provision()
    api.put(outer, {"sub_groups": []})
    api.put(inner, {"sub_groups": [{"href": outer}]})
    subset = {"change_subset": {"label_groups": [{"href": inner}]}}
    refused = api.call("POST", f"{api.org}/sec_policy", subset)
    assert refused.tokens == ["label_group_cycle"]
    assert inner in refused.json[0]["message"] and outer in refused.json[0]["message"]
    assert api.get(active(inner))["sub_groups"] == []
    api.provision(inner, outer)


class Killed(BaseException):
    """The process ended here."""


@contextmanager
def killed_at(number: int, *, before: bool) -> Iterator[list[str]]:
    """The process dies before or after its write ``number`` to the store; yields the writes."""
    call = DynamoDB.call
    writes: list[str] = []

    def dying(self: Any, operation: str, *arguments: Any, **more: Any) -> Any:
        if operation not in WRITES:
            return call(self, operation, *arguments, **more)
        writes.append(operation)
        if len(writes) == number and before:
            raise Killed
        answer = call(self, operation, *arguments, **more)
        if len(writes) == number:
            raise Killed
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DynamoDB, "call", dying)
        yield writes


def each_death(do: Callable[[], Any]) -> Iterator[int]:
    """Kills ``do`` before and after each of its writes; yields after each death how many writes
    there had been."""
    number = 0
    while True:
        number += 1
        for before in (True, False):
            with killed_at(number, before=before) as writes:
                try:
                    do()
                except Killed:
                    pass
                else:
                    return
            yield len(writes) - before


def test_a_provisioning_that_dies_changes_nothing_or_all(api: Api, policy: dict[str, str]) -> None:
    """Killed before and after every single write: what is active is the old version whole or the
    new one whole, versions are consecutive, and the next provisioning does the rest."""
    api.put(policy["ip_list"], {"description": "x"})
    api.delete(policy["boundary"])
    old = contents(api, "active")
    new: Any = None
    deaths = []
    for writes in each_death(api.provision):
        deaths.append(writes)
        now = contents(api, "active")
        version = api.get(f"{api.org}/sec_policy")[0]["version"]
        if version == 2:
            assert now == old
        else:
            new = new or now
            assert now == new == contents(api, "3") and version == 3
            break
    assert deaths == sorted(deaths) and len(deaths) >= 4
    assert new["ip_lists"][-1]["description"] == "x" and new["enforcement_boundaries"] == []
    # What the death left of the deleted draft does not stand in anybody's way.
    assert api.call("GET", policy["boundary"]).status == 404
    ip_list(api, "another")
    assert api.provision()["version"] == 4


def test_a_restore_that_dies_is_done_by_the_next(
    api: Api, policy: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after every single write, of which there are several: each draft is the old
    or the new state whole, nothing is active by it, and repeating the request ends as usual."""
    monkeypatch.setattr(reset_drafts, "ITEMS_TOGETHER", 3)
    wanted = contents(api, "2")
    api.put(policy["ip_list"], {"name": "renamed"})
    api.delete(policy["boundary"])
    for changed in ("service", "group", "virtual_service", "rule"):
        api.put(policy[changed], {"description": "x"})
    api.provision()
    third = contents(api, "3")
    deaths = 0
    for _ in each_death(lambda: restore(api, 2)):
        deaths += 1
        assert contents(api, "active") == third
    restore(api, 2)
    assert deaths >= 3
    assert contents(api, "draft") == wanted


def test_of_two_provisionings_at_once_one_wins(
    api: Api, stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that both read the same head: one is 201, the other 409, and one version is
    made; the loser's change is still pending."""
    hrefs = [ip_list(api, name) for name in ("one", "two")]
    prepare = PolicyVersions.prepare
    both_prepared = threading.Barrier(2, timeout=30)

    def prepare_together(self: Any, *arguments: Any) -> tuple[str, int]:
        prepared = prepare(self, *arguments)
        both_prepared.wait()
        return prepared

    monkeypatch.setattr(PolicyVersions, "prepare", prepare_together)

    def provision(href: str) -> Any:
        subset = {"change_subset": {"ip_lists": [{"href": href}]}}
        return api.call("POST", f"{api.org}/sec_policy", subset)

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(provision, hrefs))
    assert sorted(answer.status for answer in answers) == [201, 409]
    lost = next(answer for answer in answers if answer.status == 409)
    assert lost.tokens == ["conflict"] and f"{api.org}/sec_policy/2" in lost.json[0]["message"]
    won = [answer.status == 201 for answer in answers].index(True)
    assert api.get(active(hrefs[won]))["update_type"] is None
    assert api.call("GET", active(hrefs[1 - won])).status == 404
    assert api.get(hrefs[1 - won])["update_type"] == "create"
    assert [v["version"] for v in api.get(f"{api.org}/sec_policy")] == [2, 1]
    log = stores.objects.change_log(OrgId(api.created["org_id"]))
    assert [e.hrefs for e in log if e.reason == "provision"][1:] == [(f"{api.org}/sec_policy/2",)]
