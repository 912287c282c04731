"""Two people at once: nobody's change is lost, and nobody waits for ever."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from pce.store.objects import ObjectStore
from pce.usecases.write_object import ATTEMPTS
from tests.fakes.api import Api

COMMIT = ObjectStore.commit


class Meanwhile:
    """Somebody else's calls, each made just before the next commit."""

    def __init__(self, *calls: Any) -> None:
        self._calls: Iterator[Any] = iter(calls)
        self.commits = 0

    def commit(self, store: ObjectStore, change: Any) -> str:
        self.commits += 1
        call = next(self._calls, None)
        if call is not None:
            with mock.patch.object(ObjectStore, "commit", COMMIT):
                call()
        return COMMIT(store, change)

    def __enter__(self) -> "Meanwhile":
        self._patch = mock.patch.object(
            ObjectStore, "commit", lambda store, change: self.commit(store, change)
        )
        self._patch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.stop()


@pytest.fixture
def workload(api: Api) -> str:
    return str(api.post(f"{api.org}/workloads", {"name": "web-1"})["href"])


def test_partial_updates_of_two_people_are_both_kept(api: Api, workload: str) -> None:
    """The one who was slower is read and decided again, on top of the other's change."""
    with Meanwhile(lambda: api.put(workload, {"description": "theirs"})) as meanwhile:
        api.put(workload, {"data_center": "mine"})
    after = api.get(workload)
    assert (after["description"], after["data_center"]) == ("theirs", "mine")
    assert meanwhile.commits == 2


def test_who_always_loses_is_told_so(api: Api, workload: str) -> None:
    """409 after a few tries, and nothing of it is stored."""
    busy = [
        lambda number=number: api.put(workload, {"description": str(number)})
        for number in range(ATTEMPTS)
    ]
    with Meanwhile(*busy) as meanwhile:
        answer = api.call("PUT", workload, {"data_center": "mine"})
    assert (answer.status, answer.tokens) == (409, ["conflict"])
    assert workload in answer.json[0]["message"]
    assert meanwhile.commits == ATTEMPTS + 1  # the last writes the event of the failure
    assert api.get(workload)["data_center"] is None


def test_two_rules_at_once_are_both_in_their_rule_set(api: Api) -> None:
    """Rules share their rule set's document; none overwrites another."""
    rule_set = api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": [[]]})["href"]
    body = {
        "providers": [{"actors": "ams"}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"port": 22, "proto": 6}],
    }
    with Meanwhile(lambda: api.post(f"{rule_set}/sec_rules", body)):
        mine = api.post(f"{rule_set}/sec_rules", body)["href"]
    rules = [rule["href"] for rule in api.get(rule_set)["rules"]]
    assert len(set(rules)) == 2 and mine in rules


def test_of_two_labels_alike_one_is_made(api: Api) -> None:
    """The claim on the name decides, whoever looked first."""
    body = {"key": "role", "value": "web"}
    with Meanwhile(lambda: api.post(f"{api.org}/labels", body)):
        answer = api.call("POST", f"{api.org}/labels", body)
    assert (answer.status, answer.tokens) == (406, ["label_not_unique"])
    assert len(api.get(f"{api.org}/labels")) == 1


def test_a_change_meets_a_deletion(api: Api, workload: str) -> None:
    """What was deleted meanwhile is not brought back by an update."""
    with Meanwhile(lambda: api.delete(workload)):
        answer = api.call("PUT", workload, {"description": "x"})
    assert answer.tokens == ["workload_already_deleted"]
    assert api.get(workload)["deleted"] is True


def test_two_deletions_make_one_event(api: Api, workload: str) -> None:
    """The second one learns that it is deleted already."""
    with Meanwhile(lambda: api.delete(workload)):
        answer = api.call("DELETE", workload)
    assert answer.tokens == ["workload_already_deleted"]
    events = api.events("workload.delete")
    assert sorted(event["status"] for event in events) == ["failure", "success"]


def test_renames_swap_nothing_by_half(api: Api) -> None:
    """A rename takes the new name and frees the old one in one step."""
    hrefs = [
        api.post(
            f"{api.draft}/services", {"name": name, "service_ports": [{"port": 1, "proto": 6}]}
        )["href"]
        for name in ("one", "two")
    ]
    with Meanwhile(lambda: api.put(hrefs[1], {"name": "three"})):
        api.put(hrefs[0], {"name": "two"})
    names = {api.get(href)["name"] for href in hrefs}
    assert names == {"two", "three"}
    api.put(hrefs[1], {"name": "one"})
