"""A list reads no more than it must, whatever else an org has: counted in requests."""

import time
from collections import Counter
from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store import dynamodb, objects, slices
from pce.usecases.compile_policy import compile_policy
from tests.fakes.api import Api
from tests.fakes.installation import Requests

CALLER = Counter({"GetItem": 1, "Query": 1})
"""What it takes to know the caller: the key, and the roles."""


def cost(api: Api, stores: Wiring, path: str, **query: str) -> tuple[Counter[str], Any]:
    """Requests beside the caller's of a list that the process has answered once, and its answer."""
    api.get(path, **query)
    with Requests(stores) as requests:
        answer = api.call("GET", path, query=query)
    assert answer.status == 200
    del requests.counts["UpdateItem"]  # now and then requests are counted
    return requests.counts - CALLER, answer


def test_large_collections_are_read_in_slices(
    api: Api, stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One query while they are small; of a large one, some slices of which none is large, and
    together they are the collection in its order. Labels (numbers) and workloads (UUIDs)."""
    path = f"{api.org}/labels"
    for number in range(30):
        api.post(path, {"key": "role", "value": f"r{number}"})
    new = [{"name": f"w{number}"} for number in range(60)]
    api.put(f"{api.org}/workloads/bulk_create", new, 200)
    org = OrgId(api.created["org_id"])
    whole = {name: stores.objects.all_of(org, name) for name in ("labels", "workloads")}
    assert cost(api, stores, path)[0] == {"Query": 1}
    for module in (slices, objects):
        monkeypatch.setattr(module, "SLICE", 10)
    for known in (True, False):
        if not known:
            stores.objects._sizes.clear()
        for name, stored in whole.items():
            with Requests(stores) as requests:
                assert stores.objects.all_of(org, name) == stored
            fewest = len(stored) / 10 if known else 2
            assert fewest <= requests.counts["Query"] <= len(stored) / 10 + 8
    for name, stored in whole.items():
        with Requests(stores) as requests:
            assert stores.objects.count(org, name) == len(stored)
        assert requests.counts["Query"] >= len(stored) / 10


def test_provisioned_objects_are_read_as_far_as_they_are_shown(
    api: Api, stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a filter; the total is the number of all."""
    monkeypatch.setattr(dynamodb, "READ_TOGETHER", 3)
    for number in range(8):
        ranges = [{"from_ip": f"10.0.0.{number}"}]
        api.post(f"{api.draft}/ip_lists", {"name": f"list {number}", "ip_ranges": ranges})
    api.provision()
    path = f"{api.active}/ip_lists"
    everything = api.get(path)
    assert len(everything) == 9  # with the one that every org has
    counts, answer = cost(api, stores, path, max_results="3")
    assert counts == {"GetItem": 1, "BatchGetItem": 1}  # the head, and the three
    assert (answer.headers["x-total-count"], answer.json) == ("9", everything[:3])
    assert cost(api, stores, path)[0]["BatchGetItem"] == 3
    assert cost(api, stores, path, max_results="0")[0]["BatchGetItem"] == 0
    assert cost(api, stores, path, name="list 7", max_results="1")[0]["BatchGetItem"] == 3


def test_events_are_read_from_where_they_are_asked_for(api: Api, stores: Wiring) -> None:
    """A collector that asks for the last minutes costs a query and two reads, however long the
    org's days are; no further day is looked at."""
    api.post(f"{api.org}/labels", {"key": "role", "value": "first"})
    [created] = api.events("label.create")
    counts, answer = cost(
        api, stores, f"{api.org}/events", **{"timestamp[gte]": created["timestamp"]}
    )
    assert [event["event_type"] for event in answer.json] == ["label.create"]
    assert counts["Query"] <= 3
    assert counts["GetItem"] == 2  # how long events are kept, and how old the org is


def test_small_collections_cost_a_query(api: Api, stores: Wiring) -> None:
    """Per MB: jobs, reports of scanners, what was asked of VENs."""
    for name in ("jobs", "vulnerability_reports", "vulnerabilities", "support_reports"):
        assert cost(api, stores, f"{api.org}/{name}")[0] == {"Query": 1}, name


def test_clusters_find_their_hosts_by_the_index(api: Api, stores: Wiring) -> None:
    """Not among all workloads: the change log and the index, beside the clusters themselves."""
    api.post(f"{api.org}/container_clusters", {"name": "kube"})
    api.put(f"{api.org}/workloads/bulk_create", [{"name": f"w{n}"} for n in range(50)], 200)
    compile_policy(OrgId(api.created["org_id"]), stores, time.time)
    counts, _ = cost(api, stores, f"{api.org}/container_clusters")
    assert counts == {"Query": 2, "GetObject": 1}
