"""Every event in events/ is answered as its file's name says, by the real handler, in process."""

import base64
import gzip
import importlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from infra.functions import FUNCTIONS
from pce.identifiers import OrgId
from pce.objects.report import RULE_HIT_COUNT
from pce.runtime.wiring import wiring
from pce.usecases import export_collection
from pce.usecases.caller import Caller
from pce.usecases.make_report import order_report
from pce_local.http_events import http_response
from tests.fakes.installation import installed
from ven_protocol.flows import FlowSummary, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts
from ven_protocol.paths import AgentToken

ROOT = Path(__file__).resolve().parent.parent.parent
EVENTS = ROOT / "events"
CASES = sorted(EVENTS.glob("*/*.json"))

#: Cases of queue functions in which messages fail: function/case -> positions of those.
FAILING = {"bolts_fan_out/one-of-two-damaged": [0]}


def invoke(function: str, event: dict[str, Any]) -> Any:
    """Call a function's handler as Lambda does; the result has to be JSON."""
    handler = importlib.import_module(f"functions.{function}.handler").handler
    return json.loads(json.dumps(handler(event, None)))


@pytest.fixture(scope="module")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """An installation with one org; what org_create returned."""
    packages = tmp_path_factory.mktemp("ven")
    (packages / "ven-25.2.0.tar.gz").write_bytes(gzip.compress(b"the VEN"))
    with installed(PCE_VEN_PACKAGES=str(packages), PCE_VEN_RELEASES="25.2.0"):
        yield invoke("org_create", load("org_create/new-org", {}))


@pytest.fixture
def known(org: dict[str, Any]) -> dict[str, str]:
    """What placeholders stand for: a fresh VEN of the org, whose policy has been computed."""
    of_org = {
        "org_id": str(org["org_id"]),
        "activation_code": org["activation_code"],
        "api_basic": _basic(org["api_key"], org["api_secret"]),
        "unique": uuid.uuid4().hex[:8],
    }
    activated = json.loads(invoke("ven_activate", load("ven_activate/201-pair", of_org))["body"])
    token = AgentToken.parse(activated["agent_token"])
    assert token is not None
    of_ven = {
        **of_org,
        **_container_host(of_org),
        "agent_token": str(token),
        "ven_id": str(token.ven_id),
        "ven_hex": token.ven_id.hex,
        "flow_batch": base64.b64encode(gzip.compress(_flows())).decode(),
    }
    invoke("policy_compile", load("policy_compile/one-org", of_ven))
    up = invoke("ven_heartbeat", load("ven_heartbeat/200-up", of_ven))
    return {**of_ven, "etag": json.loads(up["body"])["etag"]}


def _container_host(of_org: dict[str, str]) -> dict[str, str]:
    """Another VEN, of a container cluster."""
    creation = load("api/201-container-cluster", of_org | {"unique": uuid.uuid4().hex[:8]})
    made = json.loads(invoke("api", creation)["body"])
    cluster = {
        "cluster_id": made["href"].rsplit("/", 1)[-1],
        "cluster_token": made["container_cluster_token"],
    }
    paired = invoke("ven_activate", load("ven_activate/201-container-host", of_org | cluster))
    token = AgentToken.parse(json.loads(paired["body"])["agent_token"])
    assert token is not None
    return {**cluster, "host_token": str(token), "host_id": str(token.ven_id)}


def load(case: str, known: dict[str, str]) -> dict[str, Any]:
    """The event of a case, placeholders filled in."""
    text = (EVENTS / f"{case}.json").read_text()
    event: dict[str, Any] = json.loads(
        re.sub(r"\{\{(\w+)\}\}", lambda place: known[place[1]], text)
    )
    return event


@pytest.mark.parametrize("function", [spec.name for spec in FUNCTIONS])
def test_every_function_has_an_event(function: str) -> None:
    """What cannot be invoked by hand cannot be debugged."""
    assert list((EVENTS / function).glob("*.json"))


@pytest.mark.parametrize("case", [f"{file.parent.name}/{file.stem}" for file in CASES])
def test_event(case: str, known: dict[str, str]) -> None:
    """The status in the file's name; of a batch, exactly the damaged messages are named."""
    function, _, name = case.partition("/")
    if function == "traffic_query":
        known["query_id"] = _new_traffic_query(known)
        known["report_id"] = _new_report(known)
        known["job_id"] = _new_export(known)
    event = load(case, known)
    result = invoke(function, event)

    if "Records" in event:
        failed = [event["Records"][at]["messageId"] for at in FAILING.get(case, [])]
        assert result == {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
    elif "requestContext" in event:
        status = int(name[:3])
        assert http_response(result).status == status, result
        if status >= 400 and "routeKey" in event:
            problems = json.loads(result["body"])
            assert problems and all({"token", "message"} <= set(one) for one in problems)
    elif function == "sweep":
        assert result["seen"] >= 1
    elif function == "stream_wake":
        assert result["failing"] == 0
    elif function == "archive_place":
        assert [one["result"] for one in result["records"]] == ["Ok", "ProcessingFailed"]
        assert result["records"][0]["metadata"] == {"partitionKeys": {"org_id": "1", "pd": "0"}}
    elif case == "org_create/owner":
        assert result["username"] == f"admin@{known['org_id']}.invalid"
    else:
        assert result.keys() >= {"org_id", "api_key", "api_secret", "activation_code"}


def _basic(key: str, secret: str) -> str:
    return base64.b64encode(f"{key}:{secret}".encode()).decode()


def _flows() -> bytes:
    """A window that ended just now: one connection to the database."""
    now = int(time.time())
    flow = FlowSummary(
        src_ip=b"\x0a\x14\x00\x09",
        dst_ip=b"\x0a\x14\x00\x11",
        proto=6,
        dst_port=5432,
        dir="I",
        pd=1,
        first=now - 300,
        last=now - 5,
    )
    host = HostFacts(hostname="db1.example.com", version="1.0.0")
    heartbeat = Heartbeat(host=host, uptime_seconds=86_400)
    return encode_batch(1, now - 600, now, heartbeat, [flow])


def _new_traffic_query(known: dict[str, str]) -> str:
    """A query that waits for its worker: made through the management API."""
    event = load("api/202-traffic-query", known)
    reply = invoke("api", event)
    assert reply["statusCode"] == 202, reply
    return str(json.loads(reply["body"])["href"]).rsplit("/", 1)[-1]


def _new_export(known: dict[str, str]) -> str:
    """A job that waits for its worker, as the management API makes one for a large org."""
    org = OrgId(int(known["org_id"]))
    caller = Caller(org, "/users/1", "admin", time.time(), ())
    with mock.patch.object(export_collection, "MADE_AT_ONCE", -1):
        href = export_collection.export_hosts(caller, "/workloads", "workloads", {}, wiring())
    assert href is not None
    return href.rpartition("/")[2]


def _new_report(known: dict[str, str]) -> str:
    """A report that waits for its worker."""
    caller = Caller(OrgId(int(known["org_id"])), "/users/1", "admin", time.time(), ())
    body = {
        "report_template": {"href": caller.path("report_templates", RULE_HIT_COUNT)},
        "report_parameters": {"report_time_range": {"last_num_days": 1}},
    }
    return str(order_report(caller, body, wiring())["href"]).rpartition("/")[2]
