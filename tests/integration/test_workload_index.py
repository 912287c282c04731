"""Filtered lists of workloads answer from the index what reading everything would answer."""

import itertools
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases import find_workloads, read_hosts
from pce.usecases.compile_policy import compile_policy
from tests.fakes.api import Api
from tests.fakes.installation import Requests

MODES = ("idle", "visibility_only", "selective", "full")


@pytest.fixture(autouse=True)
def always_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a large org: these orgs are so small that reading them whole would be cheaper."""
    monkeypatch.setattr(find_workloads, "WORTH_ONE_BY_ONE", 0)


@pytest.fixture
def labels(api: Api) -> list[str]:
    values = itertools.product(("role", "env"), ("a", "b", "c"))
    return [api.post(f"{api.org}/labels", {"key": k, "value": v})["href"] for k, v in values]


def _random_workload(number: int, labels: list[str], rnd: random.Random) -> dict[str, Any]:
    chosen = [rnd.choice(labels[:3]), rnd.choice(labels[3:])][: rnd.randrange(3)]
    return {
        "name": rnd.choice([f"Host-{number}", "Web", "web-2"]),
        "hostname": rnd.choice(["", f"host-{number}.example.com"]),
        "online": rnd.random() < 0.7,
        "enforcement_mode": rnd.choice(MODES),
        "visibility_level": rnd.choice(["flow_summary", "flow_off", "flow_drops"]),
        "labels": [{"href": href} for href in chosen],
    }


def _queries(labels: list[str]) -> Iterator[dict[str, str]]:
    yield {}
    yield {"max_results": "3"}
    for name in ("name", "hostname"):
        for text in ("host", "WEB", "example", "1"):
            yield {name: text, "max_results": "4"}
    for mode in MODES:
        yield {"enforcement_mode": mode, "online": "true"}
    yield {"enforcement_modes": '["idle", "full"]', "managed": "no"}
    yield {"mode": "illuminated", "visibility_level": "flow_off"}
    yield {"managed": "true"}
    for row in itertools.combinations(labels, 2):
        yield {"labels": json.dumps([row, [labels[0]]])}


def _answers(api: Api, labels: list[str]) -> list[tuple[str, list[str]]]:
    return [
        (answer.headers["x-total-count"], [workload["href"] for workload in answer.json])
        for query in _queries(labels)
        for answer in [api.call("GET", f"{api.org}/workloads", query=query)]
    ]


def test_the_index_answers_what_reading_everything_answers(
    api: Api, stores: Wiring, labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after a compile, with changes on top that no compile has seen, and after the next."""
    rnd = random.Random(7)
    org = api.created["org_id"]
    path = f"{api.org}/workloads"
    new = [_random_workload(number, labels, rnd) for number in range(40)]
    hrefs = [made["href"] for made in api.put(f"{path}/bulk_create", new, 200)]
    compile_policy(org, stores, time.time)
    for step in range(3):
        for number in rnd.sample(range(len(hrefs)), 4):
            changed = _random_workload(100 * step + number, labels, rnd)
            api.put(hrefs[number], {k: v for k, v in changed.items() if v != ""})
        api.delete(hrefs.pop(rnd.randrange(len(hrefs))))
        hrefs.append(api.post(path, _random_workload(1000 + step, labels, rnd))["href"])
        if step == 1:
            compile_policy(org, stores, time.time)
        by_index = _answers(api, labels)
        with monkeypatch.context() as patch:
            patch.setattr(read_hosts, "find_workloads", lambda *_: None)
            assert by_index == _answers(api, labels)


def test_a_filtered_list_reads_what_it_shows(api: Api, stores: Wiring, labels: list[str]) -> None:
    """One query for the change log, one GET for the index, one batch for the workloads shown and
    one for their labels, a read of the policy's head and one of its firewall settings, which say
    what workloads follow from them; the rest of the org is not read."""
    rnd = random.Random(1)
    new = [_random_workload(number, labels, rnd) for number in range(200)]
    new[17] |= {"name": "the-one", "labels": [{"href": labels[0]}]}
    api.put(f"{api.org}/workloads/bulk_create", new, 200)
    compile_policy(api.created["org_id"], stores, time.time)
    api.get(f"{api.org}/workloads", name="the-one")  # what the process keeps is read now
    with Requests(stores) as requests:
        [found] = api.get(f"{api.org}/workloads", name="the-one")
    assert found["labels"][0]["value"] == "a"
    # One GetItem and one Query: the caller's key and roles.
    counts = {"GetItem": 2, "Query": 2, "GetObject": 1, "BatchGetItem": 3}
    del requests.counts["UpdateItem"]  # now and then requests are counted
    assert requests.counts == counts


def test_without_an_index_everything_is_read(api: Api, labels: list[str]) -> None:
    """Before the first compile, and with more new workloads than are worth looking up."""
    api.post(f"{api.org}/workloads", {"name": "first"})
    assert [w["name"] for w in api.get(f"{api.org}/workloads", name="first")] == ["first"]
