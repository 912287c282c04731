"""The hourly rollups for maps: whole after whatever happened, and one org's own."""

import contextlib
import time
from ipaddress import ip_address
from typing import Any

import pytest

from functions.stream_out.handler import handler as stream_out
from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store import arrivals
from pce.streaming.records import FLOWS
from pce.usecases.compile_policy import compile_policy
from pce.usecases.roll_up_flows import due_until, roll_up_flows, rollup_lanes
from pce.usecases.wake_streams import wake_streams
from tests.fakes.api import Api, new_org
from tests.fakes.interrupted import Killed, before_request
from tests.fakes.pairing import PairedVen
from tests.integration.test_streaming import paired, post

HOUR = 3_600
NOW = (int(time.time()) // HOUR + 2) * HOUR + 1_800
"""Half past an hour."""
DUE = NOW - NOW % HOUR + HOUR + 660
"""Eleven minutes past the next one."""


def org_of(api: Api) -> OrgId:
    return OrgId(api.created["org_id"])


def run(api: Api, stores: Wiring, now: int = DUE) -> int:
    """Roll up what is due; the number of rollups that were made."""
    return sum(
        roll_up_flows(lane, stores, lambda: now, now + 60).portions
        for lane in rollup_lanes(org_of(api))
    )


def shown(api: Api, start: int = NOW, end: int = NOW, **query: Any) -> dict[str, Any]:
    """The map of some hours."""
    times = {
        name: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        for name, at in (("start_date", start), ("end_date", end))
    }
    answer = api.call("GET", f"{api.org}/traffic_flows/map", query={**times, **query})
    assert answer.status == 200, answer.raw
    found: dict[str, Any] = answer.json
    return found


def connections(api: Api, **query: Any) -> int:
    return sum(edge["num_connections"] for edge in shown(api, **query)["edges"])


def test_a_map_tells_who_talks_to_whom_by_labels(api: Api, stores: Wiring) -> None:
    """Groups, service, decision and direction; counts and bytes added up over hosts and batches."""
    app = api.post(f"{api.org}/labels", {"key": "app", "value": "shop"})
    ven = paired(api, stores, "web-1")
    api.put(f"{api.org}/workloads/{ven.id}", {"labels": [{"href": app["href"]}]})
    compile_policy(org_of(api), stores, time.time)  # which tells ingestion of labels
    for seq in range(6):
        flows = {"dst_port": 443, "count": 5, "tbi": 10, "tbo": 20, "dbi": 10, "dbo": 20}
        other = {"src_ip": ip_address("192.0.2.2").packed}
        post(ven, stores, seq, flows, {**flows, **other}, {"dst_port": 22, "pd": 2}, now=NOW)
    assert run(api, stores) > 0
    labels = [{"href": app["href"], "key": "app", "value": "shop"}]
    https, ssh = shown(api)["edges"]
    assert https == {
        "src": {"unknown": True},
        "dst": {"labels": labels},
        "service": {"proto": 6, "port": 443},
        "policy_decision": "allowed",
        "flow_direction": "inbound",
        "num_connections": 60,
        "dst_dbi": 120,
        "dst_dbo": 240,
    }
    assert (ssh["service"]["port"], ssh["policy_decision"], ssh["num_connections"]) == (
        22, "blocked", 6,
    )  # fmt: skip
    assert shown(api, max_results=1)["edges"] == [https]
    assert shown(api, max_results=1)["total_edges"] == 2
    assert shown(api, start=NOW - 5 * HOUR, end=NOW - HOUR)["edges"] == []


def test_batches_that_are_repeated_or_late_count_once(api: Api, stores: Wiring) -> None:
    """Posted again, rolled up again, or hours behind: each batch is in its hour once."""
    ven = paired(api, stores, "web-1")
    for seq in (1, 1, 2, 1):
        post(ven, stores, seq, now=NOW)
    assert run(api, stores) == 1
    assert connections(api) == 2
    assert run(api, stores) == 0
    post(ven, stores, 2, now=NOW)  # again, an hour later
    stores.arrivals.note(org_of(api), ven.id, 2, NOW, 1, DUE + 60)
    late(ven, stores, 3, arrives=DUE + 120)
    assert run(api, stores, DUE + HOUR) == 1
    assert connections(api) == 3
    assert run(api, stores, DUE + 2 * HOUR) == 0


def late(ven: PairedVen, stores: Wiring, seq: int, arrives: int) -> None:
    """A batch of now that waited on its host: stored and noted when it arrives."""
    post(ven, stores, seq, now=NOW)
    stores.arrivals.note(OrgId(ven.token.org_id), ven.id, seq, NOW, 1, arrives)


@pytest.mark.parametrize("number", range(8))
def test_a_worker_that_is_killed_leaves_no_wrong_sum(api: Api, stores: Wiring, number: int) -> None:
    """Before whichever of its requests: the next run finds what is left to do."""
    ven = paired(api, stores, "web-1")
    for seq in range(3):
        post(ven, stores, seq, now=NOW)

    def dies() -> None:
        raise Killed

    with before_request(number, dies), contextlib.suppress(Killed):
        run(api, stores)
    run(api, stores)
    assert connections(api) == 3
    assert run(api, stores) == 0


def test_a_run_whose_time_is_over_goes_on_where_it_was(api: Api, stores: Wiring) -> None:
    """What was made is not made again."""
    ven = paired(api, stores, "web-1")
    for hours in range(3):
        post(ven, stores, hours, now=NOW - hours * HOUR)
        stores.arrivals.note(org_of(api), ven.id, hours, NOW - hours * HOUR, 1, NOW)
    lane = next(
        lane for lane in rollup_lanes(org_of(api))
        if lane.source == FLOWS[ven.id.bytes[15] % len(FLOWS)]
    )  # fmt: skip
    ticks = iter([DUE, DUE, DUE + 100, *[DUE + 100] * 9])
    first = roll_up_flows(lane, stores, lambda: next(ticks), DUE + 60)
    assert (first.portions, bool(first.failed)) == (1, True)
    second = roll_up_flows(lane, stores, lambda: DUE, DUE + 60)
    assert (second.portions, second.failed) == (2, "")


def test_it_is_made_once_an_hour_by_the_worker_that_is_woken(api: Api, stores: Wiring) -> None:
    """The look of every minute wakes it until it is done, at ten past."""
    post(paired(api, stores, "web-1"), stores, 1, now=NOW)
    org, woken = org_of(api), []

    def look(now: int) -> int:
        woken.clear()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(stores.queues, "wake_streamers", lambda lanes, _: woken.extend(lanes))
            wake_streams(stores, now)
        return sum(lane.startswith(f"{org}/rollup/") for lane in woken)

    assert look(DUE) == len(FLOWS)
    run(api, stores, DUE)
    assert look(DUE + 60) == look(DUE + HOUR - 60) == 0
    assert look(DUE + HOUR) == len(FLOWS)
    event = {
        "Records": [
            {
                "messageId": "1",
                "receiptHandle": "x",
                "body": f'{{"lane": "{org}/rollup/{source}"}}',
                "attributes": {"MessageGroupId": f"{org}/rollup/{source}"},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:1:streams.fifo",
            }
            for source in FLOWS
        ]
    }
    assert stream_out(event, None) == {"batchItemFailures": []}


def test_rollups_expire_and_cost_one_write_a_portion(api: Api, stores: Wiring) -> None:
    """However many batches are in it: a hundred here, of one VEN."""
    ven = paired(api, stores, "web-1")
    for seq in range(100):
        post(ven, stores, seq, now=NOW)
    writes: list[dict[str, Any]] = []
    call = stores.dynamodb.call

    def recorded(operation: str, **arguments: Any) -> Any:
        if operation == "PutItem":
            writes.append(arguments["Item"])
        return call(operation, **arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stores.dynamodb, "call", recorded)
        assert run(api, stores) == 1
    (item,) = (written for written in writes if written["pk"]["S"].endswith("#rollups"))
    assert len(writes) == 1 + len(FLOWS)  # and how far each shard got
    assert int(item["ttl"]["N"]) == NOW - NOW % HOUR + 400 * 86_400
    assert item["covers"]["S"] == due_until(DUE)


def test_another_org_sees_none_of_it(api: Api, stores: Wiring) -> None:
    """Neither in its own map nor by this org's address."""
    post(paired(api, stores, "web-1"), stores, 1, now=NOW)
    run(api, stores)
    other = new_org()
    run(other, stores)
    assert connections(api) == 1
    assert connections(other) == 0
    assert other.call("GET", f"{api.org}/traffic_flows/map").status == 403


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"start_date": "yesterday"}, "start_date"),
        ({"start_date": "2026-01-01", "end_date": "2026-03-01"}, "31 days"),
        ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, "after start_date"),
        ({"max_results": "0"}, "max_results"),
        ({"max_results": "5001"}, "max_results"),
    ],
)
def test_what_makes_no_sense_is_refused(api: Api, query: dict[str, str], said: str) -> None:
    """406, naming what is wrong."""
    answer = api.call("GET", f"{api.org}/traffic_flows/map", query=query)
    assert answer.status == 406
    assert said in answer.json[0]["message"]


def test_notes_of_a_second_that_is_not_over_wait(api: Api, stores: Wiring) -> None:
    """What is rolled up is settled: nothing can appear in front of the position."""
    assert due_until(DUE) <= arrivals.first_position(DUE - arrivals.SETTLED_AFTER_S)
    assert due_until(DUE - 61) == due_until(DUE - HOUR)
