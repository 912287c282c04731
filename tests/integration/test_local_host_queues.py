"""Queues and the schedule of the local host invoke functions as Lambda's event sources do."""

import json
import statistics
from datetime import datetime

import pytest

from pce_local.queue_poller import LOOK_EVERY_S, failed_messages
from pce_local.resources import MAX_RECEIVES, VISIBILITY_TIMEOUT_S
from tests.fakes.local_host import FAKE_FUNCTIONS, LocalHost, wait_until


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    state = tmp_path_factory.mktemp("queues") / "state"
    with LocalHost(state, functions_dir=FAKE_FUNCTIONS, sweep_interval_s=1) as host:
        yield host


@pytest.fixture
def client(host):
    client = host.client()
    yield client
    client.close()


def send(client, queue, *messages):
    order = json.dumps({"queue": queue, "messages": messages})
    assert client.call("POST", "/api/v2/send", order).status == 200


def handled(host, function, case):
    """(body, tries) of the messages of a case in order of arrival, repeats included."""
    return [
        (json.loads(record["body"]), int(record["attributes"]["ApproximateReceiveCount"]))
        for line in host.recorded(function)
        for record in line["event"]["Records"]
        if json.loads(record["body"])["case"] == case
    ]


def test_message_of_the_first_start_is_not_lost(host):
    """What org_create queues, before anything is served, is handled like any other."""
    assert wait_until(lambda: handled(host, "policy_compile", "first org"))


def test_event_has_the_shape_of_sqs(host, client):
    """Every field that Lambda's SQS event source documents."""
    send(client, "bolts", {"case": "shape"})
    (line,) = wait_until(lambda: host.recorded("bolts_fan_out"))
    (record,) = line["event"]["Records"]
    assert json.loads(record["body"])["case"] == "shape"
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:bolts"
    assert record["awsRegion"] == "us-east-1"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["messageAttributes"]["kind"] == {"stringValue": "test", "dataType": "String"}
    assert {"messageId", "receiptHandle", "md5OfBody"} <= record.keys()


def test_each_queue_has_its_function(host, client):
    """The three queues of the product reach the three functions behind them."""
    send(client, "compile", {"case": "each", "group": "1"})
    send(client, "traffic", {"case": "each"})
    wait_until(lambda: handled(host, "policy_compile", "each"))
    wait_until(lambda: handled(host, "traffic_query", "each"))


def test_delayed_message_arrives_when_it_is_due(host, client):
    """Not before, and rung for like any other: not found by looking around seconds later."""
    send(client, "bolts", {"case": "delayed", "delay_s": 1})
    wait_until(lambda: handled(host, "bolts_fan_out", "delayed"))
    (line,) = (
        line for line in host.recorded("bolts_fan_out") if line["bodies"][0]["case"] == "delayed"
    )
    assert 1 <= line["at"] - line["bodies"][0]["sent"] < 1 + LOOK_EVERY_S / 2


def test_message_arrives_at_once(host, client):
    """A sent message rings the poller: it is not found by looking around every few seconds."""
    for number in range(20):
        send(client, "bolts", {"case": "quick", "number": number})
        wait_until(
            lambda want=number + 1: len(handled(host, "bolts_fan_out", "quick")) == want,
            every_s=0.005,
        )
    delays = [
        line["at"] - line["bodies"][0]["sent"]
        for line in host.recorded("bolts_fan_out")
        if line["bodies"][0]["case"] == "quick"
    ]
    assert statistics.median(delays) < 0.25, delays  # seconds; looking around would give 1.5


def test_groups_stay_in_order(host, client):
    """Messages of one FIFO group arrive in the order in which they were sent."""
    messages = [
        {"case": "order", "group": str(number % 3), "number": number} for number in range(30)
    ]
    send(client, "compile", *messages)
    bodies = wait_until(
        lambda: len(found := handled(host, "policy_compile", "order")) >= 30 and found
    )
    for group in "012":
        numbers = [body["number"] for body, _ in bodies if body["group"] == group]
        assert numbers == sorted(numbers)
        assert len(numbers) == 10


def test_only_failed_messages_come_back(host, client):
    """What batchItemFailures names is tried again after the visibility timeout, nothing else."""
    send(client, "bolts", {"case": "partial"}, {"case": "partial", "fail": 1})
    tries = wait_until(
        lambda: len(found := handled(host, "bolts_fan_out", "partial")) >= 3 and found,
        timeout_s=VISIBILITY_TIMEOUT_S + 20,
    )
    assert sorted((body.get("fail", 0), count) for body, count in tries) == [(0, 1), (1, 1), (1, 2)]


@pytest.mark.slow
@pytest.mark.timeout(MAX_RECEIVES * (VISIBILITY_TIMEOUT_S + 2) + 60)
def test_message_that_always_fails_ends_in_the_dead_letter_queue(host, client):
    """A function that raises fails its batch; after five tries the message is set aside."""
    send(client, "traffic", {"case": "dead", "raise": True})

    def depth():
        order = json.dumps({"queue": "traffic_queries-dlq"})
        return client.call("POST", "/api/v2/depth", order).json()

    # A message is moved when it would be received once more.
    wait_until(lambda: depth() == 1, timeout_s=MAX_RECEIVES * (VISIBILITY_TIMEOUT_S + 2) + 20)
    tries = [count for _, count in handled(host, "traffic_query", "dead")]
    assert tries == list(range(1, MAX_RECEIVES + 1))
    assert "goes to the dead-letter queue" in host.said()
    send(client, "traffic", {"case": "after"})
    wait_until(lambda: handled(host, "traffic_query", "after"))


def test_malformed_report_of_failures_fails_the_batch():
    """Lambda trusts a report only when every id in it is one of the batch's."""
    batch = [{"MessageId": "a"}, {"MessageId": "b"}]
    assert failed_messages(None, batch) == set()
    assert failed_messages({"batchItemFailures": []}, batch) == set()
    assert failed_messages({"batchItemFailures": [{"itemIdentifier": "b"}]}, batch) == {"b"}
    for report in ([{"itemIdentifier": "c"}], [{"itemIdentifier": ""}], [{}], ["a"], "a"):
        assert failed_messages({"batchItemFailures": report}, batch) == {"a", "b"}


def test_sweep_runs_at_once_and_never_overlaps_itself(host):
    """The fake sweep takes longer than its interval: each begins after the last has ended."""
    lines = wait_until(lambda: len(found := host.recorded("sweep")) >= 6 and found)
    phases = [line["phase"] for line in lines[:6]]
    assert phases == ["begin", "end"] * 3
    event = lines[0]["event"]
    assert event["source"] == "aws.scheduler"
    assert event["detail-type"] == "Scheduled Event"
    assert datetime.fromisoformat(event["time"]).utcoffset() is not None
