"""Limits of the management API: requests a minute, objects of an org."""

from collections.abc import Iterator
from unittest import mock

import pytest

from functions.api import handler as api_handler
from pce.objects import limits
from pce.runtime.wiring import Wiring
from pce.store.tallies import Tallies
from pce.usecases.limit_requests import COUNTED_TOGETHER, REQUESTS_A_MINUTE, UNPAIRS_A_MINUTE
from tests.fakes.api import Api, new_org
from tests.fakes.installation import Requests

MINUTE = 1_800_000_000.0
assert MINUTE % 60 == 0


@pytest.fixture
def minute() -> Iterator[list[float]]:
    """The time as the API function sees it: the beginning of a minute."""
    now = [MINUTE]
    with mock.patch.object(api_handler, "now", lambda: now[0]):
        yield now


def test_a_key_makes_so_many_requests_a_minute(
    api: Api, stores: Wiring, minute: list[float]
) -> None:
    """All of them are answered, the next one is 429 in the form that clients repeat after, and the
    next minute begins anew. Another key does not notice."""
    with Requests(stores) as requests:
        for _ in range(REQUESTS_A_MINUTE):
            assert api.call("GET", "/product_version").status == 200
    assert requests.counts["UpdateItem"] == REQUESTS_A_MINUTE // COUNTED_TOGETHER
    minute[0] += 18
    with Requests(stores) as requests:
        refused = api.call("GET", "/product_version")
    assert (refused.status, refused.tokens) == (429, ["too_many_requests_error"])
    assert refused.headers["retry-after"] == "42"
    assert sum(requests.counts.values()) == 0  # nothing is read for who is over the limit
    assert new_org("Other").call("GET", "/product_version").status == 200
    minute[0] += 42
    assert api.call("GET", "/product_version").status == 200


def test_a_key_unpairs_so_often_a_minute(api: Api, minute: list[float]) -> None:
    """By both paths together; what is too much unpairs nothing, and other calls go on."""
    nobody = {"vens": [{"href": f"{api.org}/vens/7d0c7a52-0000-4000-8000-000000000000"}]}
    for at in range(UNPAIRS_A_MINUTE):
        path = "vens" if at % 2 else "workloads"
        assert api.call("PUT", f"{api.org}/{path}/unpair", nobody).status == 200
    refused = api.call("PUT", f"{api.org}/vens/unpair", nobody)
    assert (refused.status, refused.tokens) == (429, ["too_many_requests_error"])
    assert refused.headers["retry-after"] == "60"
    assert api.call("GET", f"{api.org}/vens").status == 200
    minute[0] += 60
    assert api.call("PUT", f"{api.org}/vens/unpair", nobody).status == 200


def test_processes_count_together(stores: Wiring) -> None:
    """Of two processes each knows of the other's requests, but for those not yet added; and nobody
    is refused before the limit."""
    table, dynamodb = stores.environment.tables.objects, stores.dynamodb
    one, other = (Tallies(table, dynamodb) for _ in range(2))
    totals = []
    for number in range(1, 301):
        totals += [one.add("both", MINUTE, 10).after, other.add("both", MINUTE, 10).after]
        assert all(2 * number - 20 <= total <= 2 * number for total in totals[-2:])
    assert one.known("both", MINUTE) > REQUESTS_A_MINUTE
    assert one.known("both", MINUTE + 60) == 0


def test_who_has_no_secret_uses_up_nobodys_requests(api: Api, minute: list[float]) -> None:
    """Only good credentials count."""
    with mock.patch("pce.usecases.limit_requests.REQUESTS_A_MINUTE", 20):
        for _ in range(30):
            assert api.call("GET", "/product_version", authorization=api.auth[:-4]).status == 401
        assert api.call("GET", "/product_version").status == 200


def test_objects_are_limited_softly_and_hard(api: Api, stores: Wiring) -> None:
    """From the soft limit on the event of each new object says so; at the hard limit it is 406
    with an event, in bulk for the entries that are too many. Deleted ones do not count."""
    with mock.patch.dict(limits.LIMITS, workloads=10), mock.patch.object(limits, "SOFT_SHARE", 0.5):
        workloads = f"{api.org}/workloads"
        made = [api.post(workloads, {"name": f"w{n}"}) for n in range(5)]
        [event] = list(api.events("workload.create"))[:1]
        assert (event["severity"], event["notifications"]) == ("info", [])
        api.post(workloads, {"name": "w5"})
        [event] = list(api.events("workload.create"))[:1]
        assert event["severity"] == "warning"
        [notification] = event["notifications"]
        assert notification["notification_type"] == "soft_limit.exceeded"
        assert notification["info"] == {
            "object_type": "workloads",
            "count": 6,
            "soft_limit": 5,
            "hard_limit": 10,
        }
        results = api.put(f"{workloads}/bulk_create", [{"name": f"b{n}"} for n in range(6)], 200)
        statuses = [result.get("token", result["status"]) for result in results]
        assert statuses == ["created"] * 4 + ["object_limit_exceeded"] * 2
        refused = api.call("POST", workloads, {"name": "more"})
        assert (refused.status, refused.tokens) == (406, ["object_limit_exceeded"])
        [event] = list(api.events("workload.create"))[:1]
        assert event["status"] == "failure"
        assert event["notifications"][0]["notification_type"] == "hard_limit.exceeded"
        for workload in made[:2]:
            api.delete(workload["href"])
        stores.object_counts._counts.clear()  # a minute later
        assert api.call("POST", workloads, {"name": "room again"}).status == 201
