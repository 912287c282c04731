"""Filtered lists of VENs answer from index and presence what reading everything would answer."""

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases import find_vens, find_workloads, read_hosts
from pce.usecases.compile_policy import compile_policy
from pce.usecases.record_heartbeat import record_heartbeat
from tests.fakes.api import Api
from tests.fakes.installation import Requests
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import HealthCondition, Heartbeat, HostFacts

NOW = 1_800_000_000
BROKEN = HealthCondition(code="agent.policy_refused", severity="error", message="no")


@pytest.fixture
def vens(api: Api, stores: Wiring) -> list[PairedVen]:
    """Nine VENs that differ in all that lists are filtered by; one is uninstalled."""
    rnd = random.Random(5)
    labels = [
        api.post(f"{api.org}/labels", {"key": "role", "value": v})["href"] for v in ("a", "b")
    ]
    vens = []
    for number in range(9):
        ven = pair(api, stores, hostname=f"host-{number}")
        facts = HostFacts(
            hostname=rnd.choice([f"host-{number}", "web", "WEB-1"]),
            version=rnd.choice(["1.2.3", "1.10.0"]),
            os_id=rnd.choice(["debian-12", "rhel-9"]),
        )
        health = [BROKEN] if number % 5 == 0 else []
        message = Heartbeat(host=facts, uptime_seconds=1, health=health)
        record_heartbeat(ven.token, message, stores, NOW + 60 * number)
        api.put(ven.workload_href, {"labels": [{"href": rnd.choice(labels)}]})
        if number % 4 == 0:
            api.put(ven.href, {"name": rnd.choice(["Web", "db"]), "status": "suspended"})
        vens.append(ven)
    api.post(f"{api.org}/workloads", {"name": "unmanaged", "labels": [{"href": labels[0]}]})
    api.put(f"{api.org}/vens/unpair", {"vens": [{"href": vens[8].href}]}, 200)
    return vens


def _queries(api: Api) -> Iterator[dict[str, str]]:
    yield {}
    yield {"max_results": "3"}
    yield {"max_results": "0"}
    yield {"include_deleted": "true"}
    for text in ("web", "host", "nobody"):
        yield {"hostname": text, "max_results": "2"}
        yield {"name": text}
    labels = json.dumps([[api.get(f"{api.org}/labels")[-1]["href"]]])
    for more in ({}, {"status": "suspended"}, {"health": "error"}, {"os": "rhel"}):
        yield {"labels": labels, **more}
    yield {"status": "suspended", "max_results": "1"}
    yield {"last_heartbeat_at[gte]": "2027-01-15T08:05:00Z", "version[gte]": "1.9"}
    yield {"disconnected_before": "2027-01-15T08:05:00Z", "ip_address": "10.0.0"}
    yield {"condition": "agent.policy_refused", "upgrade_pending": "false"}


def _answers(api: Api) -> list[tuple[str, list[Any]]]:
    return [
        (answer.headers["x-total-count"], answer.json)
        for query in _queries(api)
        for answer in [api.call("GET", f"{api.org}/vens", query=query)]
    ]


def test_index_and_presence_answer_what_reading_everything_answers(
    api: Api, stores: Wiring, vens: list[PairedVen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the index as of a compile, and with changes on top that no compile has seen; with
    documents read by their ids, and with all of them."""
    compile_policy(api.created["org_id"], stores, time.time)
    for step in range(2):
        by_index = _answers(api)
        assert [total for total, _ in by_index[:4]] == ["8", "8", "8", "9"]
        with monkeypatch.context() as patch:
            patch.setattr(find_vens, "workload_facts", lambda *_: None)
            patch.setattr(read_hosts, "READ_BY_ID", 0)
            assert by_index == _answers(api)
        if step == 0:
            api.put(vens[0].workload_href, {"labels": []})
            facts = HostFacts(hostname="web", version="1.2.3")
            message = Heartbeat(host=facts, uptime_seconds=1)
            record_heartbeat(vens[1].token, message, stores, NOW + 3600)


def test_a_filtered_list_reads_what_it_shows(
    api: Api, stores: Wiring, vens: list[PairedVen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change log and the index; a batch of presence for a status; then a batch of workloads,
    VENs, presence and labels each, of those that are shown. (GetItem and another Query: the
    caller's key and roles.)"""
    monkeypatch.setattr(find_workloads, "WORTH_ONE_BY_ONE", 0)
    compile_policy(api.created["org_id"], stores, time.time)
    index = {"GetItem": 1, "Query": 2, "GetObject": 1}
    label = api.get(vens[2].href)["labels"][0]["href"]
    for query, batches in (
        ({"max_results": "2"}, 4),
        ({"labels": json.dumps([[label]])}, 4),
        ({"hostname": "host-"}, 4),
        ({"status": "suspended"}, 5),
        ({"status": "suspended", "version[gte]": "1.9"}, 6),
    ):
        api.get(f"{api.org}/vens", **query)  # what the process keeps is read now
        with Requests(stores) as requests:
            assert api.get(f"{api.org}/vens", **query)
        del requests.counts["UpdateItem"]  # now and then requests are counted
        assert requests.counts == {**index, "BatchGetItem": batches}, query
    with Requests(stores) as requests:
        assert api.get(f"{api.org}/vens", max_results="0") == []
    assert requests.counts["BatchGetItem"] == 0


def test_a_list_that_is_too_long_for_one_answer_says_what_to_do(
    api: Api, stores: Wiring, vens: list[PairedVen], monkeypatch: pytest.MonkeyPatch
) -> None:
    """406, with the index and without: ask asynchronously, filter, or lower max_results, each of
    which is answered."""
    monkeypatch.setattr(read_hosts, "MOST_AT_ONCE", 5)
    for _ in range(2):
        for collection, joined in (("vens", "health"), ("workloads", "policy_health")):
            path = f"{api.org}/{collection}"
            for query in ({"max_results": "100"}, {joined: "active"}):
                answer = api.call("GET", path, query=query)
                assert (answer.status, answer.tokens) == (406, ["answer_too_large"])
                assert "respond-async" in answer.json[0]["message"]
            assert len(api.get(path, max_results="5")) == 5
            assert api.call("GET", path, query={"max_results": "2"}).headers["x-total-count"] in (
                "8",
                "9",
            )
            assert api.get(path, hostname="nobody") == []
        compile_policy(api.created["org_id"], stores, time.time)
