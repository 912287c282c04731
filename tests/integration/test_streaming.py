"""Flow summaries and audit events reach the archive and a real rsyslog: in order per VEN, at least
once whatever dies when, with a backlog that can be seen, and never another org's."""

import contextlib
import json
import time
import uuid
import zlib
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from functions.stream_out.handler import handler as stream_out
from functions.stream_wake.handler import handler as stream_wake
from pce.access.roles import EVERYTHING
from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store.event_log import first_position
from pce.streaming.archive_object import place_of
from pce.streaming.lanes import Lane
from pce.streaming.records import EVENTS, FLOWS, SOURCES
from pce.usecases.caller import Caller
from pce.usecases.ingest_flows import ingest_flows
from pce.usecases.roll_up_flows import ROLLUP
from pce.usecases.stream_destinations import delivery_of
from pce.usecases.stream_records import stream_records
from pce.usecases.wake_streams import wake_streams
from tests.fakes.api import Api, new_org
from tests.fakes.installation import Requests, fake_aws
from tests.fakes.pairing import PairedVen, pair
from tests.fakes.syslog_receiver import SyslogReceiver, syslog_receiver
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts

NOW = int(time.time()) + 600
"""Flows arrive after everything that tests make was made."""
LATER = NOW + 120
"""When everything of now is settled."""
HOUR = 3_600


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyslogReceiver]:
    with syslog_receiver(tmp_path_factory.mktemp("rsyslog")) as running:
        yield running


def post(ven: PairedVen, stores: Wiring, seq: int, *flows: dict[str, Any], now: int = NOW) -> None:
    """Post a batch; each summary carries the VEN's and the batch's number as its process."""
    usual = {
        "src_ip": ip_address("192.0.2.1").packed,
        "dst_ip": ip_address("10.0.0.7").packed,
        "proto": 6,
        "dst_port": 443,
        "dir": "I",
        "state": "C",
        "pd": 0,
        "first": now - 60,
        "last": now - 30,
        "process": f"{ven.id}/{seq}",
    }
    beat = Heartbeat(host=HostFacts(hostname="web-1", version="1.2.3-4"), uptime_seconds=1)
    summaries = [FlowSummary(**{**usual, **flow}) for flow in flows or ({},)]
    body = encode_batch(seq, now - 600, now, beat, summaries)
    ingest_flows(ven.token, decode_batch(body), stores, now)


def paired(api: Api, stores: Wiring, hostname: str) -> PairedVen:
    """A VEN that was paired in this moment."""
    return pair(api, stores, hostname, int(time.time()))


def happened(api: Api, stores: Wiring, event_type: str) -> list[dict[str, Any]]:
    """Audit events of a type, also those of the tests' own hours."""
    org = OrgId(api.created["org_id"])
    events, _ = stores.event_log.after(org, first_position(NOW - 700), NOW + 9 * HOUR, 1_000)
    return [event for event in events if event["event_type"] == event_type]


def make_destination(api: Api, port: int, **remote: Any) -> dict[str, Any]:
    """A destination that wants everything."""
    names = ("allowed", "potentially_blocked", "blocked")
    body = {
        "pce_scope": ["pce.test"],
        "type": "remote_syslog",
        "audit_event_logger": {
            "configuration_event_included": True,
            "system_event_included": True,
            "min_severity": "informational",
        },
        "traffic_event_logger": {f"traffic_flow_{n}_event_included": True for n in names},
        "remote_syslog": {"address": "127.0.0.1", "port": port, "protocol": 6, **remote},
    }
    made: dict[str, Any] = api.post(f"{api.org}/settings/syslog/destinations", body)
    return made


def lane(api: Api, destination: dict[str, Any] | None, source: str) -> Lane:
    id = "archive" if destination is None else destination["href"].rsplit("/", 1)[-1]
    return Lane(OrgId(api.created["org_id"]), id, source)


def run(stores: Wiring, lanes: list[Lane], now: int = LATER) -> list[str]:
    """Take lanes forward; why each failed, if it did."""
    return [stream_records(one, stores, lambda: now, now + 60).failed for one in lanes]


def all_lanes(api: Api, destination: dict[str, Any] | None) -> list[Lane]:
    return [lane(api, destination, source) for source in SOURCES]


def processes(lines: list[str], ven: PairedVen) -> list[int]:
    """Batches of a VEN in the order in which their summaries came."""
    found = [json.loads(line) for line in lines]
    named = [document["pn"].split("/") for document in found if "pn" in document]
    return [int(seq) for id, seq in named if id == str(ven.id)]


def archived(stream: str, org_id: int) -> list[dict[str, Any]]:
    """Documents of an org in the objects that Firehose wrote."""
    s3 = fake_aws().client("s3")
    listed = s3.list_objects_v2(Bucket="archive", Prefix=f"streamed/{stream}/")
    documents = []
    for found in listed.get("Contents", []):
        rest = s3.get_object(Bucket="archive", Key=found["Key"])["Body"].read()
        while rest:
            member = zlib.decompressobj(wbits=31)  # one gzip member
            lines, place = member.decompress(rest), place_of(rest)
            rest = member.unused_data
            if place["org_id"] == str(org_id):
                documents += [json.loads(line) for line in lines.splitlines()]
    return documents


# Ingestion


def test_a_flow_post_makes_one_request_more(api: Api, stores: Wiring) -> None:
    """A heartbeat, the batch, and the note of its arrival."""
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1)
    with Requests(stores) as requests:
        post(ven, stores, 2)
    assert requests.counts == {"UpdateItem": 1, "PutItem": 2}


def test_killed_between_storing_and_noting(
    api: Api, stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The VEN gets no answer and posts again: the batch is there, and is noted now."""
    ven = paired(api, stores, "web-1")

    def die(*args: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as killed:
        killed.setattr(stores.arrivals, "note", die)
        with pytest.raises(ConnectionError):
            post(ven, stores, 1)
    run(stores, all_lanes(api, None))
    assert not archived("summaries", api.created["org_id"])
    post(ven, stores, 1)
    post(ven, stores, 1)
    run(stores, all_lanes(api, None))
    assert len(archived("summaries", api.created["org_id"])) == 1


# Waking


def test_only_lanes_with_a_backlog_are_woken(api: Api, stores: Wiring) -> None:
    """Flows of one VEN wake one lane of flows; when all is sent nothing is woken."""
    paired(api, stores, "quiet")
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1)
    for lanes in waiting(api, stores):
        run(stores, [lanes])
    assert not list(waiting(api, stores))
    post(ven, stores, 2, now=NOW + 60)
    assert [one.source for one in waiting(api, stores)] == [FLOWS[ven.id.bytes[15] % len(FLOWS)]]


def waiting(api: Api, stores: Wiring) -> Iterator[Lane]:
    """The org's lanes that one look over all orgs wakes, without rollups; nobody takes messages but
    this."""
    sqs = fake_aws().client("sqs")
    url = stores.environment.queues.streams
    wake_streams(stores, LATER)
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            one = Lane.named(json.loads(message["Body"])["lane"])
            if one.org_id == api.created["org_id"] and one.destination != ROLLUP:
                yield one
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_functions_wake_and_stream(
    api: Api, stores: Wiring, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The minute's look sends messages, a worker takes each; a large backlog is a metric."""
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1)
    monkeypatch.setattr("functions.stream_wake.handler.now_s", lambda: NOW + HOUR)
    found = stream_wake({}, None)
    assert found["lanes"] >= 2 and found["backlog_s"] >= HOUR - 120
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["StreamBacklogSeconds"] == found["backlog_s"]
    monkeypatch.setattr("functions.stream_out.handler.time.time", lambda: LATER)
    for one in all_lanes(api, None):
        body = json.dumps({"lane": one.name})
        reply = stream_out({"Records": [{"messageId": "1", "body": body}]}, None)
        assert reply == {"batchItemFailures": []}
    assert len(archived("summaries", api.created["org_id"])) == 1


# The archive


def test_everything_reaches_the_archive(api: Api, stores: Wiring) -> None:
    """Flows of every decision, those of idle hosts too, and all audit events; once."""
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1, {}, {"pd": 1}, {"pd": 2, "state": "N"}, {"pd": 3, "state": "S"})
    lanes = all_lanes(api, None)
    assert run(stores, lanes) == [""] * 5
    org = api.created["org_id"]
    flows = archived("summaries", org)
    assert sorted(flow["pd"] for flow in flows) == [0, 1, 2, 3]
    assert {flow["org_id"] for flow in flows} == {org}
    assert {flow["dst_href"] for flow in flows} == {ven.workload_href}
    assert {flow["network"] for flow in flows} == {"Corporate"}
    events = archived("auditable", org)
    listed = [event["href"] for event in api.get(f"{api.org}/events")][::-1]
    assert [event["href"] for event in events if event["href"] in listed] == listed
    assert run(stores, lanes) == [""] * 5
    assert len(archived("summaries", org)) == 4
    assert len(archived("auditable", org)) == len(events)


def test_what_may_still_be_joined_by_others_waits(api: Api, stores: Wiring) -> None:
    """A post of this moment is not read yet: one that began before it may still be under way."""
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1)
    lanes = all_lanes(api, None)
    run(stores, lanes, NOW + 29)
    assert not archived("summaries", api.created["org_id"])
    run(stores, lanes, NOW + 31)
    assert len(archived("summaries", api.created["org_id"])) == 1


# Syslog


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_everything_reaches_rsyslog(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver, transport: str
) -> None:
    """Over each transport, in order, numbered; not the flows of idle hosts."""
    remote = {
        "udp": {"protocol": 17},
        "tcp": {},
        "tls": {"tls_enabled": True, "tls_verify_cert": True, "tls_ca_bundle": rsyslog.ca_bundle},
    }[transport]
    destination = make_destination(api, getattr(rsyslog, transport), **remote)
    ven = paired(api, stores, "web-1")
    for seq in range(1, 4):
        post(ven, stores, seq, {}, {"pd": 3, "state": "S"})
    before = len(rsyslog.raw)
    assert run(stores, all_lanes(api, destination)) == [""] * 5
    shown = api.get(destination["href"])["delivery"]
    count = shown["records_delivered"]
    messages = rsyslog.messages(before + count)[before:]
    flows = [m for m in messages if m.application == "illumio_pce/collector"]
    assert processes([m.text for m in flows], ven) == [1, 2, 3]
    assert [m.sequence for m in flows] == [1, 2, 3]
    events = [json.loads(m.text) for m in messages if m.application == "illumio_pce/agent"]
    assert "syslog_destination.create" in {event["event_type"] for event in events}
    assert len(messages) == count


def test_a_destination_that_is_down_for_an_hour(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver
) -> None:
    """Its backlog is seen in the API, an event tells of it, the archive goes on, and when it is
    back it gets everything, each VEN's in order."""
    destination = make_destination(api, rsyslog.tcp)
    vens = [paired(api, stores, f"web-{n}") for n in range(3)]
    lanes = all_lanes(api, destination)
    rsyslog.stop()
    tried = 0
    for minute in range(0, 60, 5):
        now = NOW + 60 * minute
        for ven in vens:
            if minute % 10 == 0:
                post(ven, stores, minute, now=now)
        tried += sum(bool(failed) for failed in run(stores, lanes, now + 90))
    assert tried
    assert run(stores, all_lanes(api, None), NOW + HOUR) == [""] * 5
    assert len(archived("summaries", api.created["org_id"])) == 18
    shown = delivery(api, stores, destination, NOW + HOUR)
    assert shown["backlog_seconds"] >= HOUR - 60
    assert "127.0.0.1" in shown["last_error"] and shown["failing_since"]
    assert len(happened(api, stores, "syslog_destination.delivery_failed")) == 1

    rsyslog.start()
    before = len(rsyslog.raw)
    back = NOW + HOUR + 700
    assert run(stores, lanes, back) == [""] * 5
    shown = delivery(api, stores, destination, back)
    assert (shown["failing_since"], shown["last_error"]) == (None, None)
    assert shown["backlog_seconds"] == 0
    messages = rsyslog.messages(before + shown["records_delivered"])[before:]
    texts = [m.text for m in messages if m.application == "illumio_pce/collector"]
    for ven in vens:
        assert processes(texts, ven) == list(range(0, 60, 10))
    assert len(happened(api, stores, "syslog_destination.delivery_resumed")) == 1


def delivery(api: Api, stores: Wiring, destination: dict[str, Any], now: int) -> dict[str, Any]:
    caller = Caller(OrgId(api.created["org_id"]), "/users/1", "x", now, EVERYTHING)
    return delivery_of(caller, destination, stores)


def test_one_dead_destination_holds_up_no_other(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver
) -> None:
    """Each goes its own way; one that is deleted leaves nothing behind."""
    dead, alive = make_destination(api, 9), make_destination(api, rsyslog.tcp)
    before = len(rsyslog.raw)
    assert all(run(stores, [lane(api, dead, EVENTS)]))
    assert run(stores, [lane(api, alive, EVENTS)]) == [""]
    rsyslog.messages(before + 1)
    api.delete(dead["href"])
    left = stores.lanes.of_org(OrgId(api.created["org_id"]))
    assert {one.destination for one in left} == {lane(api, alive, EVENTS).destination}
    assert run(stores, [lane(api, dead, EVENTS)]) == [""]


def test_a_destination_that_was_mended_is_tried_at_once(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver
) -> None:
    """Its next try was minutes away; a change of its settings ends the wait."""
    destination = make_destination(api, 9)
    events = lane(api, destination, EVENTS)
    assert all(run(stores, [events]))
    assert run(stores, [events], LATER + 1) == [""], "it waits"
    before = len(rsyslog.raw)
    remote = {"address": "127.0.0.1", "port": rsyslog.tcp, "protocol": 6}
    api.put(destination["href"], {"remote_syslog": remote})
    assert run(stores, [events], LATER + 2) == [""]
    assert rsyslog.messages(before + 1)


def test_killed_after_each_send(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between sending and noting repeats the same messages under the same
    numbers; nothing is left out, and a VEN's order holds apart from the repeats."""
    monkeypatch.setattr("pce.usecases.stream_records.BATCHES_AT_ONCE", 2)
    destination = make_destination(api, rsyslog.tcp)
    ven = paired(api, stores, "web-1")
    for seq in range(1, 8):
        post(ven, stores, seq)
    before = len(rsyslog.raw)
    source = FLOWS[ven.id.bytes[15] % len(FLOWS)]
    save = stores.lanes.save

    class Killed(Exception):
        """The process is gone."""

    def die(*args: Any) -> bool:
        raise Killed

    for _ in range(4):
        monkeypatch.setattr(stores.lanes, "save", die)
        with pytest.raises(Killed):
            run(stores, [lane(api, destination, source)])
        monkeypatch.setattr(stores.lanes, "save", save)
        one_step = iter([LATER, LATER]).__next__  # then the time is over
        with contextlib.suppress(StopIteration):
            stream_records(lane(api, destination, source), stores, one_step, LATER + 1)
    messages = rsyslog.messages(before + 14)[before:]
    assert [m.sequence for m in messages] == [1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6, 7, 7]
    assert all(processes([m.text], ven) == [m.sequence] for m in messages)


def test_two_workers_of_one_lane(api: Api, stores: Wiring, rsyslog: SyslogReceiver) -> None:
    """The slower one cannot move the lane back, nor past what it did not send."""
    destination = make_destination(api, rsyslog.tcp)
    one = lane(api, destination, EVENTS)
    run(stores, [one])
    moved = stores.lanes.load(one)
    assert moved is not None
    late = moved.past("0" * 8, 3)
    assert not stores.lanes.save(one, None, late)
    assert not stores.lanes.save(one, late, late)
    assert stores.lanes.load(one) == moved


def test_a_destination_gets_only_its_own_org(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver
) -> None:
    """Another org's flows and events reach neither its destination nor its part of the archive."""
    other = new_org("Other")
    destination = make_destination(api, rsyslog.tcp)
    mine, theirs = paired(api, stores, "a"), paired(other, stores, "b")
    post(mine, stores, 1)
    post(theirs, stores, 2)
    before = len(rsyslog.raw)
    run(stores, [*all_lanes(api, destination), *all_lanes(api, None), *all_lanes(other, None)])
    delivered = api.get(destination["href"])["delivery"]["records_delivered"]
    texts = [m.text for m in rsyslog.messages(before + delivered)[before:]]
    assert processes(texts, mine) == [1] and not processes(texts, theirs)
    assert not [text for text in texts if f'"/orgs/{other.created["org_id"]}/' in text]
    for one, ven in ((api, mine), (other, theirs)):
        flows = archived("summaries", one.created["org_id"])
        assert {flow["pn"].split("/")[0] for flow in flows} == {str(ven.id)}
    assert other.call("GET", destination["href"]).status == 403
    path = destination["href"].replace(api.org, other.org)
    assert other.call("GET", path).status == 404
    assert other.call("DELETE", path).status == 404


def test_a_damaged_batch_is_passed_over(api: Api, stores: Wiring) -> None:
    """What cannot be read is counted, and holds up nothing."""
    org, ven = OrgId(api.created["org_id"]), paired(api, stores, "a")
    stores.flows.put(org, ven.id, 1, NOW, [b"damaged"])
    stores.arrivals.note(org, ven.id, 1, NOW, 1, NOW)
    stores.arrivals.note(org, uuid.UUID(int=ven.id.int & 3), 9, NOW, 1, NOW)  # never stored
    post(ven, stores, 2)
    source = FLOWS[ven.id.bytes[15] % len(FLOWS)]
    done = stream_records(lane(api, None, source), stores, lambda: LATER, LATER + 9)
    assert (done.records, done.damaged) == (1, 1)
