"""``policy_view``: the rules as they concern one workload."""

import time
from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases.compile_policy import compile_policy
from tests.fakes.api import Api, new_org
from tests.fakes.estate import OrgEstate

AMS = [{"actors": "ams"}]


@pytest.fixture
def estate(api: Api, stores: Wiring) -> OrgEstate:
    return OrgEstate(api, stores)


def test_rules_in_and_out_with_their_peers_by_name(estate: OrgEstate) -> None:
    """Each rule of which the workload is a side, in its direction; of no other. What is not
    provisioned is in the draft's view alone."""
    shop, web, db = (estate.label("app", "shop"), *(estate.label("role", r) for r in ("web", "db")))
    front = estate.host("front", "10.0.0.1", mode="selective", app=shop, role=web)
    rule_set = estate.rule_set("shop", [{"label": shop}])
    inside = estate.allow(rule_set, [{"label": db}], [{"label": web}], description="to database")
    denied = estate.deny(rule_set, [{"label": web}], [*AMS, {"workload": {"href": front}}])
    estate.allow(rule_set, [{"label": db}], [{"label": db}])
    view = estate.api.get(f"{estate.api.draft}/policy_view", workload=front)
    assert (view["workload"]["href"], view["pversion"]) == (front, "draft")
    assert (view["enforcement_mode"], view["firewall"]["ipv6"]) == ("selective", "by_policy")
    by_line = {(rule["href"], rule["direction"]): rule for rule in view["rules"]}
    assert by_line.keys() == {(inside, "out"), (denied, "in"), (denied, "out")}
    out = by_line[inside, "out"]
    assert (out["action"], out["description"]) == ("allow", "to database")
    assert out["rule_set"]["name"] == "shop"
    assert out["peers"] == [{"label": {**db, "key": "role", "value": "db"}}]
    assert out["scopes"] == [[{"label": {**shop, "key": "app", "value": "shop"}}]]
    assert out["services"] == [{"proto": 6, "port": 443}]
    into = by_line[denied, "in"]
    named = {"workload": {"href": front, "name": None, "hostname": "front"}}
    assert (into["action"], into["peers"]) == ("deny", [*AMS, named])
    active = estate.api.get(f"{estate.api.active}/policy_view", workload=front)
    assert (active["version"], active["rules"]) == (1, [])


def test_addresses_are_counted_in_the_policy_that_the_ven_is_to_hold(estate: OrgEstate) -> None:
    """Null in the draft, and before a compile; then as many as the peers have."""
    hosts = [estate.host(f"web-{n}", f"10.0.0.{n}") for n in (1, 2, 3)]
    estate.allow(estate.rule_set("all"), AMS, AMS)
    estate.api.provision()

    def addresses(version: str) -> list[Any]:
        view = estate.api.get(
            f"{estate.api.org}/sec_policy/{version}/policy_view", workload=hosts[0]
        )
        return [rule["addresses"] for rule in view["rules"]]

    assert addresses("active") == addresses("draft") == [None, None]
    compile_policy(estate.org_id, estate.stores, time.time)
    assert (addresses("active"), addresses("draft")) == ([3, 3], [None, None])


def test_the_workload_must_be_ones_own(estate: OrgEstate, stores: Wiring) -> None:
    """406 without one; 404 for another org's, and for one that was deleted."""
    path = f"{estate.api.active}/policy_view"
    answer = estate.api.call("GET", path)
    assert (answer.status, answer.json[0]["field"]) == (406, "workload")
    theirs = OrgEstate(new_org("Other"), stores).unmanaged("theirs", "10.0.0.1")
    gone = estate.unmanaged("gone", "10.0.0.1")
    estate.api.delete(gone)
    for href in (theirs, gone, "nonsense"):
        answer = estate.api.call("GET", path, query={"workload": href})
        assert (answer.status, answer.tokens) == (404, ["workload_not_found"])
