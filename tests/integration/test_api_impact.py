"""``impact``: whose policy a provisioning would change, before it is made."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store.objects import ObjectStore, Stored
from pce.usecases import affected_workloads, find_workloads
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


def test_it_reads_no_workload_but_the_index(estate: OrgEstate) -> None:
    """Once a compile has brought the index up to date the same workloads are named from it, and
    no workload's document is read; one that changed since counts as it is now."""
    web, db = estate.label("role", "web"), estate.label("role", "db")
    hosts = [estate.host(f"h{n}", f"10.0.0.{n}", role=web if n % 2 else db) for n in range(1, 7)]
    estate.host("idle", "10.0.0.9", mode="idle", role=web)
    rule_set = estate.rule_set("narrow")
    estate.allow(rule_set, [{"label": web}], [{"workload": {"href": hosts[1]}}])
    path = f"{estate.api.org}/sec_policy/impact"
    expected = {hosts[0], hosts[1], hosts[2], hosts[4]}
    assert {w["href"] for w in estate.api.post(path, {}, 200)["workloads"]} == expected
    _compiled(estate)
    with _no_documents(estate):
        assert {w["href"] for w in estate.api.post(path, {}, 200)["workloads"]} == expected
        estate.api.put(hosts[0], {"enforcement_mode": "idle"})
        assert estate.api.post(path, {}, 200)["workloads_affected"] == len(expected) - 1


def test_a_version_says_how_many_workloads_it_affected(estate: OrgEstate) -> None:
    """What ``impact`` said before, in the answer and in the list of versions."""
    web = estate.label("role", "web")
    estate.host("front", "10.0.0.1", role=web)
    estate.host("back", "10.0.0.2", role=estate.label("role", "db"))
    estate.allow(estate.rule_set("narrow"), [{"label": web}], [{"label": web}])
    said = estate.api.post(f"{estate.api.org}/sec_policy/impact", {}, 200)
    made = estate.api.provision()
    assert said["workloads_affected"] == made["workloads_affected"] == 1
    assert estate.api.get(f"{estate.api.org}/sec_policy")[0]["workloads_affected"] == 1


def test_without_an_index_a_large_org_is_told_what_to_do(
    estate: OrgEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``impact``: 406 before any workload is read. Provisioning goes on and says that it did not
    count, as it does beyond its own limits."""
    monkeypatch.setattr(affected_workloads, "MAX_READ", 1)
    monkeypatch.setattr(find_workloads, "MAX_PENDING", 0)
    estate.unmanaged("a", "10.0.0.1")
    estate.unmanaged("b", "10.0.0.2")
    estate.rule_set("anything")
    answer = estate.api.call("POST", f"{estate.api.org}/sec_policy/impact", {})
    assert (answer.status, answer.tokens) == (406, ["impact_not_available"])
    assert estate.api.provision()["workloads_affected"] is None
    monkeypatch.undo()
    for limit in ("MAX_COUNTED_RULES", "MAX_COUNTED_WORKLOADS"):
        with monkeypatch.context() as patched:
            patched.setattr(affected_workloads, limit, 0)
            estate.allow(estate.rule_set(limit), AMS, AMS)
            assert estate.api.provision()["workloads_affected"] is None


def _compiled(estate: OrgEstate) -> None:
    """Empty the change log, as a compile does once the index is up to date."""
    objects = estate.stores.objects
    objects.drain_change_log(
        estate.org_id, [entry.id for entry in objects.change_log(estate.org_id)]
    )


@contextmanager
def _no_documents(estate: OrgEstate) -> Iterator[None]:
    """Reading all workloads fails."""
    all_of = ObjectStore.all_of

    def refuse(self: ObjectStore, org_id: OrgId, collection: str) -> list[Stored]:
        assert collection != "workloads"
        return all_of(self, org_id, collection)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ObjectStore, "all_of", refuse)
        yield


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
