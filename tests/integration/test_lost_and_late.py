"""What a crash, a lost wake-up, a large change or somebody faster may not do."""

import random
import time
from dataclasses import replace
from unittest import mock

import pytest
from botocore.exceptions import EndpointConnectionError

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store.change import Change, PresenceChange
from pce.store.dynamodb import DynamoDBError
from pce.store.objects import ObjectStore
from pce.store.policies import _part_key
from pce.usecases import compile_policy as compiling
from pce.usecases.change_ven_state import deactivate
from pce.usecases.compile_policy import compile_policy
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.record_reports import record_interfaces
from tests.fakes.api import Api
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import (
    Deactivate,
    Heartbeat,
    HostFacts,
    Interface,
    InterfacesReport,
)


def org_of(ven: PairedVen) -> OrgId:
    return OrgId(ven.token.org_id)


def now() -> int:
    return int(time.time())


def test_a_lost_wake_up_is_not_the_callers_error(api: Api, stores: Wiring) -> None:
    """The pairing is written: were it answered with an error, its use of the code would be given
    back, and the machine would pair again. The change stays in the log, for the sweep."""
    lost = EndpointConnectionError(endpoint_url="https://sqs.test")
    with mock.patch.object(stores.queues._client, "send_message", side_effect=lost):
        ven = pair(api, stores, now=now())
    assert [shown["href"] for shown in api.get(f"{api.org}/vens")] == [ven.href]
    assert "activate" in {entry.reason for entry in stores.objects.change_log(org_of(ven))}


def test_a_refusal_that_is_no_race_is_not_called_one(api: Api, stores: Wiring) -> None:
    """A missing table or right must be seen: callers answer a conflict by trying again, and the
    sweep takes it for a heartbeat that was faster."""
    change = Change(OrgId(1), events=({"href": "/orgs/1/events/x", "timestamp": "2026-01-01T"},))
    tables = replace(stores.environment.tables, events="nowhere")
    with pytest.raises(DynamoDBError, match="ResourceNotFound"):
        ObjectStore(stores.dynamodb, tables).commit(change)


def test_a_change_too_large_for_its_event_is_made_all_the_same(api: Api, stores: Wiring) -> None:
    """The event then says who changed what, without the values."""
    ven = pair(api, stores, now=now())
    noise = random.Random(1)

    def report() -> InterfacesReport:
        return InterfacesReport(
            interfaces=[
                Interface(name=noise.randbytes(50).hex(), address=f"10.0.{at // 256}.{at % 256}")
                for at in range(4096)
            ]
        )

    record_interfaces(ven.token, report(), stores, now())
    last = report()
    record_interfaces(ven.token, last, stores, now() + 2)
    stored = stores.objects.get(org_of(ven), "workloads", str(ven.id))
    assert stored is not None
    assert stored.document["interfaces"][0]["name"] == last.interfaces[0].name
    events = list(api.events("workload_interfaces.update"))
    assert [bool(event["resource_changes"][0]["changes"]) for event in events] == [False, True]


def test_a_suspended_ven_stays_suspended_when_it_is_heard_again(api: Api, stores: Wiring) -> None:
    """Whatever had been raised about it before: else it would be taken out of policy for silence,
    which suspending it was to prevent."""
    ven = pair(api, stores, now=now())
    warned = PresenceChange(ven.id, flags="w")
    stores.objects.commit(Change(org_of(ven), presence=(warned,)))
    api.put(ven.href, {"status": "suspended"})
    heartbeat = Heartbeat(host=HostFacts(hostname="web-1", version="1.2.3-4"), uptime_seconds=5)
    record_heartbeat(ven.token, heartbeat, stores, now())
    row = stores.presence.get(org_of(ven), ven.id)
    assert row is not None
    assert (row.status, row.flags) == ("suspended", frozenset())


def test_a_deactivated_workload_gives_its_names_back(api: Api, stores: Wiring) -> None:
    """As one that a person unpairs does."""
    ven = pair(api, stores, now=now())
    reference = {"external_data_set": "cmdb", "external_data_reference": "7"}
    api.put(ven.workload_href, reference)
    deactivate(ven.token, Deactivate(), stores, now())
    api.post(f"{api.org}/workloads", {"name": "successor", **reference})


def test_a_compile_that_dies_leaves_no_target_to_expire(api: Api, stores: Wiring) -> None:
    """The policy changes, the compile dies before it names the new targets, the policy changes
    back: what the VENs hold is what they are to hold, and it must stay."""
    ven = pair(api, stores, now=now())
    org_id = org_of(ven)
    compile_policy(org_id, stores, time.time)
    before = stores.presence.get(org_id, ven.id)
    api.put(ven.workload_href, {"enforcement_mode": "full"})
    with (
        mock.patch.object(compiling, "_retarget", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        compile_policy(org_id, stores, time.time)
    api.put(ven.workload_href, {"enforcement_mode": "visibility_only"})
    compile_policy(org_id, stores, time.time)
    after = stores.presence.get(org_id, ven.id)
    assert before is not None
    assert after is not None
    assert before.target == after.target
    item = stores.policies._get(_part_key(org_id, after.target, 0))
    assert item is not None
    assert "ttl" not in item


@pytest.mark.parametrize(
    ("timestamp", "found"),
    [
        ("9999-12-31T23:59:59-14:00", 1),
        ("0001-01-01T00:00:00+14:00", 0),
        ("2000-01-01", 0),
    ],
)
def test_events_are_found_up_to_any_time(api: Api, timestamp: str, found: int) -> None:
    """However far away it is, and however far from UTC."""
    query = {"timestamp[lte]": timestamp, "event_type": "org.create"}
    assert len(api.get(f"{api.org}/events", **query)) == found


def test_events_up_to_a_time_are_those_of_utc(api: Api) -> None:
    """Now is still yesterday, or already tomorrow, elsewhere."""
    for hours in (-12, 12):
        there = time.gmtime(time.time() + hours * 3600 + 5)
        until = time.strftime("%Y-%m-%dT%H:%M:%S", there) + f"{hours:+03d}:00"
        assert len(api.get(f"{api.org}/events", **{"timestamp[lte]": until})) == 1


def test_a_job_of_events_holds_more_than_a_page(api: Api) -> None:
    """A page has 100 events; an asynchronous request asks for all."""
    entries = [{"name": f"w-{at}"} for at in range(105)]
    for entry in entries:
        api.put(f"{api.org}/workloads/bulk_create", [entry], 200)
    assert len(api.get(f"{api.org}/events")) == 100
    answer = api.call("GET", f"{api.org}/events", prefer="respond-async")
    job = api.get(answer.headers["location"])
    assert len(api.get(job["result"]["href"])) == 106


def test_an_event_of_an_impossible_time_is_not_found(api: Api) -> None:
    """It is the id of something else."""
    id = "ffffffff-ffff-7fff-bfff-ffffffffffff"
    assert api.call("GET", f"{api.org}/events/{id}").status == 404
