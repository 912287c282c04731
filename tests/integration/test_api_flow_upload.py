"""Flows that people upload, as lines of text."""

import uuid

from pce.runtime.wiring import Wiring
from tests.fakes.api import Api


def test_uploaded_flows_are_found(api: Api, stores: Wiring) -> None:
    """They are counted, line by line; a query finds them, with an unknown decision."""
    text = "10.1.0.1,10.1.0.2,443,6\n10.1.0.1,10.1.0.2,53,17\nnonsense\n10.1.0.1,::1,1,6\n"
    said = api.call("POST", f"{api.org}/agents/bulk_traffic_flows", text.encode())
    assert said.status == 201
    assert (said.json["num_flows_received"], said.json["num_flows_failed"]) == (4, 2)
    assert [line.split(":")[0] for line in said.json["failed_flows"]] == [
        "nonsense",
        "10.1.0.1,",
    ]
    found = api.post(f"{api.org}/traffic_flows/traffic_analysis_queries", {}, 200)
    assert {(f["service"]["port"], f["policy_decision"]) for f in found} == {
        (443, "unknown"),
        (53, "unknown"),
    }
    metrics = api.get(f"{api.org}/traffic_flows/database_metrics")
    assert metrics["hours_with_flows"] == 1


def test_an_upload_without_a_flow_is_refused(api: Api) -> None:
    """406, as are more lines than clients send at a time."""
    path = f"{api.org}/agents/bulk_traffic_flows"
    assert api.call("POST", path, b"").tokens == ["invalid_flow_upload"]
    many = b"10.0.0.1,10.0.0.2,80,6\n" * 1001
    assert api.call("POST", path, many).tokens == ["invalid_flow_upload"]
    assert api.call("POST", path, b"\xff\xfe").tokens == ["malformed_body"]


def test_an_answer_at_once_is_limited(api: Api) -> None:
    """A query that makes no sense is 406; an unknown href too."""
    path = f"{api.org}/traffic_flows/traffic_analysis_queries"
    assert api.call("POST", path, {"policy_decisions": ["perhaps"]}).status == 406
    nobody = {"workload": {"href": f"{api.org}/workloads/{uuid.uuid4()}"}}
    assert api.call("POST", path, {"sources": {"include": [[nobody]]}}).status == 406
