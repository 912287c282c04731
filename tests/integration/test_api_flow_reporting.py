"""POST workloads/set_flow_reporting_frequency: VENs are asked for flows, each refusal is named."""

import uuid
from collections.abc import Iterator

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases.record_heartbeat import record_heartbeat
from tests.fakes.api import Api
from tests.fakes.installation import installed
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import Heartbeat, HeartbeatReply, HostFacts

START = 1_800_000_010


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    """An installation."""
    with installed() as stores:
        yield stores


def heartbeat(ven: PairedVen, stores: Wiring, *done: str) -> HeartbeatReply:
    facts = HostFacts(hostname="web-1", version="1.2.3-4", os_id="debian-12")
    message = Heartbeat(host=facts, uptime_seconds=7, done_actions=list(done))
    return record_heartbeat(ven.token, message, stores, START)


def ask(api: Api, *hrefs: str) -> list[dict[str, object]]:
    body = {"workloads": [{"href": href} for href in hrefs]}
    path = f"{api.org}/workloads/set_flow_reporting_frequency"
    errors: list[dict[str, object]] = api.post(path, body, 200)["errors"]
    return errors


def test_a_ven_is_asked_until_it_says_done_and_anew_when_asked_again(
    api: Api, stores: Wiring
) -> None:
    """Its next heartbeat is answered with the wish; one event names the workload."""
    ven = pair(api, stores)
    assert ask(api, ven.workload_href) == []
    [action] = heartbeat(ven, stores).actions
    assert action.type == "report_flows"
    assert [each.id for each in heartbeat(ven, stores).actions] == [action.id]
    assert heartbeat(ven, stores, action.id).actions == []
    [event] = api.events("workloads.set_flow_reporting_frequency")
    [said] = event["notifications"]
    assert said["info"]["workloads"] == [ven.workload_href]
    ask(api, ven.workload_href)
    assert heartbeat(ven, stores).actions[0].id != action.id


def test_what_cannot_be_asked_is_named_and_the_rest_is(api: Api, stores: Wiring) -> None:
    """A workload without a VEN, one that is not there, and another org's."""
    ven = pair(api, stores)
    unmanaged = api.post(f"{api.org}/workloads", {"name": "no VEN"})["href"]
    nowhere = f"{api.org}/workloads/{uuid.uuid4()}"
    foreign = f"/orgs/999/workloads/{ven.id}"
    errors = ask(api, unmanaged, nowhere, foreign, ven.workload_href)
    refused = {href for error in errors for href in error["hrefs"]}  # type: ignore[attr-defined]
    wanted = {h.replace("/workloads/", "/vens/") for h in (unmanaged, nowhere, foreign)}
    assert refused == wanted
    assert [each.type for each in heartbeat(ven, stores).actions] == ["report_flows"]


def test_a_body_that_names_none_or_too_many_is_406(api: Api) -> None:
    """And asks nobody."""
    path = f"{api.org}/workloads/set_flow_reporting_frequency"
    for body in ({}, {"workloads": []}, {"workloads": [{"href": "x"}] * 1001}):
        assert api.call("POST", path, body).tokens == ["invalid_bulk_request"]
