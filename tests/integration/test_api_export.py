"""Asynchronous reads of large orgs: a worker writes the file, piece by piece."""

import gzip
import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.traffic_query.handler import handler as worker
from pce.runtime.wiring import Wiring
from pce.store import archive
from pce.usecases import export_collection, run_export, stream_hosts
from tests.fakes.api import Api, new_org
from tests.fakes.installation import fake_aws


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every org counts as large, and a batch is small."""
    monkeypatch.setattr(export_collection, "MADE_AT_ONCE", -1)
    monkeypatch.setattr(stream_hosts, "BATCH", 3)


@pytest.fixture
def hosts(api: Api) -> Api:
    """Eleven workloads, one of them deleted."""
    role = api.post(f"{api.org}/labels", {"key": "role", "value": "web"})["href"]
    new = [
        {"name": f"w{n}", "online": n % 2 == 0, "labels": [{"href": role}] if n < 4 else []}
        for n in range(11)
    ]
    made = api.put(f"{api.org}/workloads/bulk_create", new, 200)
    api.delete(made[5]["href"])
    return api


def _messages() -> Iterator[dict[str, Any]]:
    sqs = fake_aws().client("sqs")
    url = sqs.get_queue_url(QueueName="traffic_queries")["QueueUrl"]
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            yield {"messageId": message["MessageId"], "body": message["Body"]}


def _work() -> Any:
    records = [{**record, "eventSource": "aws:sqs", "attributes": {}} for record in _messages()]
    return worker({"Records": records}, None)


def _begin(api: Api, path: str, **query: str) -> str:
    answer = api.call("GET", f"{api.org}/{path}", query=query, prefer="respond-async")
    assert (answer.status, answer.raw) == (202, b"")
    return answer.headers["location"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"name": "w1"},
        {"online": "true", "max_results": "2"},
        {"include_deleted": "yes"},
        {"security_policy_sync_state": "syncing"},
        {"name": "nobody"},
    ],
)
def test_the_file_is_the_list(hosts: Api, query: dict[str, str]) -> None:
    """What a list at once would hold, in the order of ids; the job is pending before."""
    job = _begin(hosts, "workloads", **query)
    assert hosts.get(job)["status"] == "pending" and hosts.get(job)["result"] == {}
    assert _work() == {"batchItemFailures": []}
    done = hosts.get(job)
    assert (done["status"], done["result"]["href"]) == ("done", job.replace("jobs", "datafiles"))
    assert "work" not in done
    expected = hosts.get(f"{hosts.org}/workloads", **query)
    assert hosts.get(done["result"]["href"]) == sorted(expected, key=lambda w: w["href"])


def test_vens_are_written_too(api: Api) -> None:
    """An org without any has an empty list."""
    job = _begin(api, "vens", status="active")
    _work()
    assert api.get(api.get(job)["result"]["href"]) == []


def test_a_malformed_parameter_makes_no_job(api: Api) -> None:
    """406 at once, as without a job."""
    query = {"labels": "[["}
    answer = api.call("GET", f"{api.org}/workloads", query=query, prefer="respond-async")
    assert answer.status == 406
    assert api.get(f"{api.org}/jobs") == []


def test_a_large_file_is_fetched_from_the_bucket(
    hosts: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer leads there, with a signature that works for minutes."""
    monkeypatch.setattr(export_collection, "MAX_FILE_IN_ANSWER", 10)
    job = _begin(hosts, "workloads")
    _work()
    answer = hosts.call("GET", hosts.get(job)["result"]["href"])
    assert (answer.status, answer.raw) == (302, b"")
    with urllib.request.urlopen(answer.headers["location"]) as reply:
        body = reply.read()
        assert reply.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(body)) == hosts.get(f"{hosts.org}/workloads")


def test_a_job_that_fails_says_so_and_may_be_repeated(
    hosts: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message comes back, and the next worker does it; nothing is left of the first file."""

    def broken(*_: Any) -> Iterator[dict[str, Any]]:
        yield {"href": "x"}
        raise RuntimeError

    job = _begin(hosts, "workloads")
    [message] = [{**m, "eventSource": "aws:sqs", "attributes": {}} for m in _messages()]
    with monkeypatch.context() as patch:
        patch.setattr(run_export, "stream_hosts", broken)
        with pytest.raises(Exception, match="All records failed"):
            worker({"Records": [message]}, None)
    failed = hosts.get(job)
    assert (failed["status"], failed["result"]) == (
        "failed",
        {"message": "our fault: RuntimeError"},
    )
    assert hosts.call("GET", job.replace("jobs", "datafiles")).status == 404
    for _ in range(2):  # the second time there is nothing to do
        worker({"Records": [message]}, None)
    assert hosts.get(job)["status"] == "done"


def test_a_job_is_its_owners(hosts: Api, stores: Wiring) -> None:
    """Another org's is 404, its file too."""
    job = _begin(hosts, "workloads")
    _work()
    other = new_org("Other")
    mine = job.replace(hosts.org, other.org)
    assert other.call("GET", mine).status == 404
    assert other.call("GET", mine.replace("jobs", "datafiles")).status == 404


@pytest.mark.parametrize(
    "pieces", [[], [b"x"], [b"x" * 7] * 5, [b"x" * 30], [b"", b"x" * 9, b"x" * 10]]
)
def test_an_upload_is_made_of_parts(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is as large as S3 wants it, but for the last; none waits longer than it must."""
    monkeypatch.setattr(archive, "PART_BYTES", 10)
    gathered: Callable[..., Iterator[bytes]] = archive._gathered
    parts = list(gathered(pieces))
    assert b"".join(parts) == b"".join(pieces)
    assert all(len(part) >= 10 for part in parts[:-1])
    assert all(len(part) < 10 + max(map(len, pieces)) for part in parts)
