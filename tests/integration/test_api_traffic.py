"""Traffic queries: asked through the API, run by their worker, fetched as JSON or CSV."""

import csv
import io
import json
import time
from ipaddress import ip_address
from typing import Any

import boto3
import msgspec
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError

from functions.traffic_query.handler import handler as worker
from pce.flows import answer as flow_answer
from pce.runtime.wiring import Wiring
from pce.usecases import decide_drafts, run_traffic_query
from pce.usecases.ingest_flows import ingest_flows
from tests.fakes.api import Api
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts

NOW = int(time.time())


def flow(src: str, dst: str, port: int, pd: int = 0) -> FlowSummary:
    return FlowSummary(
        src_ip=ip_address(src).packed,
        dst_ip=ip_address(dst).packed,
        proto=6,
        dst_port=port,
        dir="I",
        pd=pd,
        state="C",
        first=NOW - 60,
        last=NOW - 30,
        count=3,
        tbi=100,
        tbo=200,
        dbi=100,
        dbo=200,
    )


@pytest.fixture
def ven(api: Api, stores: Wiring) -> PairedVen:
    """A VEN that reported an allowed and a blocked connection."""
    ven = pair(api, stores, "web-1", NOW - 120)
    beat = Heartbeat(host=HostFacts(hostname="web-1", version="1.2.3-4"), uptime_seconds=1)
    flows = [flow("10.0.0.9", "10.0.0.7", 443), flow("192.0.2.1", "10.0.0.7", 22, pd=2)]
    body = encode_batch(1, NOW - 600, NOW, beat, flows)
    ingest_flows(ven.token, decode_batch(body), stores, NOW)
    return ven


def ask(api: Api, **query: Any) -> dict[str, Any]:
    body = {"query_name": "", "policy_decisions": [], **query}
    asked: dict[str, Any] = api.post(f"{api.org}/traffic_flows/async_queries", body, status=202)
    return asked


def run(api: Api, query: dict[str, Any]) -> dict[str, Any]:
    """What the query says after its worker ran."""
    work = {"org_id": api.created["org_id"], "query_id": query["href"].rsplit("/", 1)[-1]}
    reply = worker({"Records": [{"messageId": "1", "body": json.dumps(work)}]}, None)
    assert reply == {"batchItemFailures": []}
    after: dict[str, Any] = api.get(query["href"])
    return after


def records(api: Api, query: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.call("GET", query["result"], accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    found: list[dict[str, Any]] = answer.json
    return found


def test_a_query_from_question_to_answer(api: Api, ven: PairedVen) -> None:
    """Queued and listed at once; completed with counts; records with labels, bytes and decision."""
    asked = ask(api)
    assert (asked["status"], asked["result"]) == ("queued", None)
    assert [q["href"] for q in api.get(f"{api.org}/traffic_flows/async_queries")] == [asked["href"]]
    done = run(api, asked)
    assert (done["status"], done["flows_count"], done["matches_count"]) == ("completed", 2, 2)
    assert done["result"] == f"{asked['href']}/download"
    by_port = {r["service"]["port"]: r for r in records(api, done)}
    assert by_port[443]["policy_decision"] == "allowed"
    assert by_port[22]["policy_decision"] == "blocked"
    assert by_port[443]["num_connections"] == 3
    assert (by_port[443]["dst_bi"], by_port[443]["dst_bo"]) == (100, 200)
    assert by_port[443]["dst"]["workload"]["href"] == ven.workload_href
    assert by_port[443]["dst"]["workload"]["enforcement_mode"] == "visibility_only"


@pytest.mark.parametrize(
    ("query", "ports"),
    [
        ({"policy_decisions": ["blocked"]}, {22}),
        ({"services": {"include": [{"port": 443, "proto": 6}]}}, {443}),
        ({"sources": {"include": [[{"ip_address": "192.0.2.0/24"}]]}}, {22}),
        ({"sources": {"include": [[{"ip_address": {"value": "10.0.0.9"}}]]}}, {443}),
        ({"sources": {"exclude": [{"ip_list": {"href": "ANY"}}]}}, set()),
        ({"destinations": {"include": [[{"workload": {"href": "VEN"}}]]}}, {22, 443}),
        ({"start_date": "2100-01-01T00:00:00Z"}, set()),
        ({"start_date": "0001-01-01T00:00:00Z", "end_date": ""}, {22, 443}),
        ({"max_results": 1}, None),
    ],
)
def test_what_a_query_selects(
    api: Api, ven: PairedVen, query: dict[str, Any], ports: set[int] | None
) -> None:
    """Filters, in the spellings of the various clients; hrefs mean the org's objects."""
    text = json.dumps(query).replace("ANY", f"{api.active}/ip_lists/1")
    found = records(api, run(api, ask(api, **json.loads(text.replace("VEN", ven.workload_href)))))
    if ports is None:
        assert len(found) == 1
    else:
        assert {r["service"]["port"] for r in found} == ports


def test_a_virtual_server_is_named_where_it_is_reached(
    api: Api, stores: Wiring, ven: PairedVen
) -> None:
    """By address, protocol and port of one in active policy; the same address elsewhere is not."""
    found = {"name": "vip", "vip_address": "192.0.2.80", "vip_port": 443}
    discovered = api.post(f"{api.org}/discovered_virtual_servers", found)["href"]
    server = {"name": "shop", "discovered_virtual_server": {"href": discovered}}
    href = api.post(f"{api.draft}/virtual_servers", server)["href"]
    api.provision()
    beat = Heartbeat(host=HostFacts(hostname="web-1", version="1.2.3-4"), uptime_seconds=1)
    flows = [
        msgspec.structs.replace(flow("10.0.0.7", "192.0.2.80", port), dir="O")
        for port in (443, 444)
    ]
    body = encode_batch(2, NOW - 600, NOW, beat, flows)
    ingest_flows(ven.token, decode_batch(body), stores, NOW)
    at_vip = {"include": [[{"ip_address": "192.0.2.80"}]]}
    said = {
        record["service"]["port"]: record["dst"]
        for record in records(api, run(api, ask(api, destinations=at_vip)))
    }
    named = {"href": href.replace("/draft/", "/active/"), "name": "shop"}
    assert said == {443: {"ip": "192.0.2.80", "virtual_server": named}, 444: {"ip": "192.0.2.80"}}


def test_without_accept_the_answer_is_csv(api: Api, ven: PairedVen) -> None:
    """One line of titles, one per record."""
    done = run(api, ask(api))
    answer = api.call("GET", done["result"])
    assert answer.headers["content-type"] == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.raw.decode())))
    assert {row["Port"] for row in rows} == {"443", "22"}
    assert rows[0]["Destination Hostname"] == "web-1"


@pytest.mark.parametrize(
    "query",
    [
        {"start_date": "yesterday"},
        {"policy_decisions": ["perhaps"]},
        {"max_results": 200_001},
        {"sources": {"include": [[{"label": {"href": "/orgs/1/labels/99"}}]]}},
        {"sources": {"include": [[{}]]}},
        {"services": {"include": "all"}},
    ],
)
def test_a_query_that_makes_no_sense_is_406(shared_api: Api, query: dict[str, Any]) -> None:
    """It is refused when it is asked, and is not in the list."""
    path = f"{shared_api.org}/traffic_flows/async_queries"
    assert shared_api.call("POST", path, query).status == 406
    assert shared_api.get(path) == []


def test_the_worker_is_told(api: Api, stores: Wiring) -> None:
    """A query that was accepted is in the queue, with nothing but its name."""
    sqs = boto3.client("sqs", "us-east-1")
    url = stores.environment.queues.traffic
    sqs.purge_queue(QueueUrl=url)
    asked = ask(api)
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"]) == {
        "org_id": api.created["org_id"],
        "query_id": asked["href"].rsplit("/", 1)[-1],
    }


def test_there_is_no_result_before_there_is_one(api: Api) -> None:
    """The download is 404 until the query is completed, and after it was deleted."""
    asked = ask(api)
    download = f"{asked['href']}/download"
    assert api.call("GET", download).tokens == ["traffic_result_not_found"]
    run(api, asked)
    assert api.call("GET", download).status == 200
    api.delete(asked["href"])
    assert api.call("GET", download).status == api.call("GET", asked["href"]).status == 404
    assert api.get(f"{api.org}/traffic_flows/async_queries") == []


def test_records_say_what_the_draft_would_decide(api: Api, ven: PairedVen) -> None:
    """``update_rules``: queued, then completed; each record has the decision and the rules of each
    kind, in JSON and, where it is asked for, in CSV. A repeat follows the draft."""
    done = run(api, ask(api))
    update = f"{done['href']}/update_rules"
    assert done["rules"] is None and all("rules" not in r for r in records(api, done))
    api.put(ven.workload_href, {"enforcement_mode": "full"})
    rule_set = api.post(f"{api.draft}/rule_sets", {"name": "all", "scopes": [[]]})["href"]
    any_ip = {"href": f"{api.draft}/ip_lists/1"}
    rule = {
        "providers": [{"actors": "ams"}],
        "consumers": [{"ip_list": any_ip}],
        "ingress_services": [{"proto": 6, "port": 443}],
    }
    allow = api.post(f"{rule_set}/sec_rules", {**rule, "enabled": True})["href"]
    query = {"label_based_rules": "false", "offset": "0", "limit": "250000"}
    assert api.call("PUT", update, {}, query=query).status == 202
    assert api.get(done["href"])["rules"] == "queued"
    assert run(api, done)["rules"] == "completed"
    by_port = {r["service"]["port"]: r for r in records(api, done)}
    assert by_port[443]["draft_policy_decision"] == "allowed"
    assert by_port[443]["rules"] == [{"href": allow}]
    assert by_port[22]["draft_policy_decision"] == "blocked_no_rule"
    assert by_port[22]["rules"] == by_port[22]["deny_rules"] == []
    deny = api.post(f"{rule_set}/deny_rules", {**rule, "override": True})["href"]
    assert api.call("PUT", update, {}).status == 202
    run(api, done)
    by_port = {r["service"]["port"]: r for r in records(api, done)}
    assert by_port[443]["draft_policy_decision"] == "blocked_by_override_deny"
    assert by_port[443]["override_deny_rules"] == [{"href": deny}]
    for wanted, titled in (("true", True), ("false", False)):
        query = {"include_draft_policy_in_csv": wanted}
        text = api.call("GET", f"{done['href']}/download", query=query).raw.decode()
        assert ("Draft Policy Decision" in text) is titled
    for bad in ({"limit": "-1"}, {"offset": "x"}, {"label_based_rules": "maybe"}):
        answer = api.call("PUT", update, {}, query=bad)
        assert (answer.status, answer.json[0]["field"]) == (406, next(iter(bad)))


def test_too_many_connections_for_draft_decisions(
    api: Api, ven: PairedVen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``rules`` is then ``failed``, with a message; the result stays as it was."""
    done = run(api, ask(api))
    monkeypatch.setattr(decide_drafts, "MAX_CONNECTIONS", 1)
    api.call("PUT", f"{done['href']}/update_rules", {})
    after = run(api, done)
    assert (after["status"], after["rules"]) == ("completed", "failed")
    assert "more than 1 different connections" in after["message"]
    assert all("rules" not in r for r in records(api, done))


def test_a_cancelled_query_is_not_run(api: Api) -> None:
    """PUT asks for cancellation; the worker leaves it alone."""
    asked = ask(api)
    api.put(asked["href"], {"status": "cancel_requested"})
    assert run(api, asked)["status"] == "cancelled"
    answer = api.call("PUT", f"{asked['href']}/update_rules", {})
    assert (answer.status, answer.tokens) == (406, ["traffic_query_not_completed"])


def test_a_repeated_message_changes_nothing(api: Api, ven: PairedVen) -> None:
    """SQS delivers at least once."""
    asked = ask(api)
    assert run(api, asked) == run(api, asked)


def test_a_query_that_fails_says_so(
    api: Api, ven: PairedVen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients poll until a final state: one that our fault prevents is ``failed``, and the message
    is delivered again, which may still complete it."""
    asked = ask(api)
    work = {"org_id": api.created["org_id"], "query_id": asked["href"].rsplit("/", 1)[-1]}
    event = {"Records": [{"messageId": "1", "body": json.dumps(work)}]}
    with monkeypatch.context() as patch:
        patch.setattr(run_traffic_query, "run_query", lambda *arguments: 1 / 0)
        with pytest.raises(BatchProcessingError):
            worker(event, None)
    assert api.get(asked["href"])["status"] == "failed"
    assert run(api, asked)["status"] == "completed"


def test_an_answer_that_is_not_whole_says_so(
    api: Api, ven: PairedVen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that stops at the limit of memory is completed with what it found."""
    monkeypatch.setattr(flow_answer, "MAX_FLOWS", 1)
    assert run(api, ask(api))["truncated"] is True
