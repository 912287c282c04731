"""Reports, and what is counted by application."""

import csv
import io
import json
import time
from typing import Any

import pytest

from functions.traffic_query.handler import handler as worker
from pce.runtime.wiring import Wiring
from pce.usecases.compile_policy import compile_policy
from tests.fakes.api import Api
from tests.fakes.pairing import pair

DAY = {"report_time_range": {"last_num_days": 1}}


def _order(api: Api, parameters: dict[str, Any] = DAY, **more: Any) -> dict[str, Any]:
    template = {"href": f"{api.org}/report_templates/rule_hit_count_report"}
    return {"report_template": template, "report_parameters": parameters, **more}


def _work(api: Api, report: str) -> None:
    body = json.dumps({"org_id": api.created["org_id"], "report_id": report.rpartition("/")[2]})
    record = {"messageId": "1", "body": body, "eventSource": "aws:sqs", "attributes": {}}
    assert worker({"Records": [record]}, None) == {"batchItemFailures": []}


def _table(api: Api, report: str) -> list[dict[str, str]]:
    answer = api.call("GET", f"{report}/download")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(answer.raw.decode())))


@pytest.fixture
def rules(api: Api) -> list[str]:
    """A rule set with a rule for HTTPS, and one that nothing matches; both are active."""
    rule_set = api.post(f"{api.draft}/rule_sets", {"name": "web", "scopes": [[]]})["href"]
    ams = [{"actors": "ams"}]
    anybody = [{"ip_list": {"href": f"{api.draft}/ip_lists/1"}}]
    hrefs = [
        api.post(
            f"{rule_set}/sec_rules",
            {
                "providers": ams,
                "consumers": anybody,
                "ingress_services": [{"proto": 6, "port": port}],
            },
        )["href"]
        for port in (443, 8443)
    ]
    api.provision(rule_set)
    return [href.replace("draft", "active") for href in hrefs]


def test_rule_hits_are_counted(api: Api, rules: list[str], stores: Wiring) -> None:
    """Each active rule has a line, also when nothing hit it."""
    pair(api, stores)
    compile_policy(api.created["org_id"], stores, time.time)
    flows = b"192.0.2.1,10.0.0.7,443,6\n192.0.2.2,10.0.0.7,443,6\n192.0.2.2,10.0.0.7,22,6\n"
    assert api.call("POST", f"{api.org}/agents/bulk_traffic_flows", flows).status == 201
    made = api.post(f"{api.org}/reports", _order(api, description="weekly", report_format="csv"))
    assert (made["status"], made["report_type"]) == ("queued", "rule_hit_count_report")
    assert api.call("GET", f"{made['href']}/download").tokens == ["report_file_not_found"]
    _work(api, made["href"])
    done = api.get(made["href"])
    assert (done["status"], done["progress_percentage"]) == ("done", 100)
    table = _table(api, made["href"])
    assert [row["Rule HREF"] for row in table] == rules
    assert {row["Rule Type"] for row in table} == {"allow"}
    assert [row["Hit Count"] for row in table] == ["2", "0"]
    assert [report["href"] for report in api.get(f"{api.org}/reports")] == [made["href"]]
    api.delete(made["href"])
    assert api.call("GET", made["href"]).status == 404
    assert [e["event_type"] for e in api.events("report.delete")] == ["report.delete"]


def test_a_report_of_named_rule_sets_holds_those(api: Api, rules: list[str]) -> None:
    """Others have no line."""
    other = api.post(f"{api.draft}/rule_sets", {"name": "other", "scopes": [[]]})["href"]
    api.provision(other)
    named = {**DAY, "rule_sets": [{"href": other.replace("draft", "active")}]}
    made = api.post(f"{api.org}/reports", _order(api, named))["href"]
    _work(api, made)
    assert _table(api, made) == []


def test_hits_count_where_the_firewall_settings_say(
    api: Api, rules: list[str], stores: Wiring
) -> None:
    """``rule_hit_count_enabled_scopes``: flows with an end in one of them; all without any."""
    pair(api, stores)
    label = api.post(f"{api.org}/labels", {"key": "role", "value": "counted"})
    body = {"name": "g", "key": "role", "labels": [{"href": label["href"]}]}
    group = api.post(f"{api.draft}/label_groups", body)
    for address, labels in (("10.5.0.1", body["labels"]), ("10.5.0.2", [])):
        workload = {
            "name": "w",
            "labels": labels,
            "interfaces": [{"name": "e", "address": address}],
        }
        api.post(f"{api.org}/workloads", workload)
    compile_policy(api.created["org_id"], stores, time.time)
    flows = b"10.5.0.1,10.0.0.7,443,6\n10.5.0.2,10.0.0.7,443,6\n"
    assert api.call("POST", f"{api.org}/agents/bulk_traffic_flows", flows).status == 201
    for scopes, hits in (([], "2"), ([[{"label_group": {"href": group["href"]}}]], "1")):
        api.put(f"{api.draft}/firewall_settings", {"rule_hit_count_enabled_scopes": scopes})
        api.call("POST", f"{api.org}/sec_policy", {})
        made = api.post(f"{api.org}/reports", _order(api))["href"]
        _work(api, made)
        assert [row["Hit Count"] for row in _table(api, made)] == [hits, "0"]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"report_time_range": {}},
        {"report_time_range": {"last_num_days": 0}},
        {"report_time_range": {"start_date": "2026-11-01", "end_date": "2026-11-02"}},
        {"report_time_range": {"start_date": "2026-11-01T00:00:00Z"}},
        {
            "report_time_range": {
                "start_date": "2026-11-03T00:00:00Z",
                "end_date": "2026-11-02T00:00:00Z",
            }
        },
        {**DAY, "rule_sets": [{"href": "/orgs/1/sec_policy/active/rule_sets/99"}]},
    ],
)
def test_a_report_that_makes_no_sense_is_refused(api: Api, parameters: dict[str, Any]) -> None:
    """406, and none is made; a date alone is no time."""
    assert api.call("POST", f"{api.org}/reports", _order(api, parameters)).status == 406
    assert api.get(f"{api.org}/reports") == []


def test_reports_that_wait_are_limited(api: Api) -> None:
    """By the org's own setting."""
    api.put(f"{api.org}/settings/reports", {"max_queued_reports": 1})
    api.post(f"{api.org}/reports", _order(api))
    assert api.call("POST", f"{api.org}/reports", _order(api)).tokens == ["too_many_queued_reports"]


def test_application_groups_are_counted(api: Api) -> None:
    """By application, environment and location; scanners' findings by group and together."""
    app = api.post(f"{api.org}/labels", {"key": "app", "value": "erp"})
    env = api.post(f"{api.org}/labels", {"key": "env", "value": "prod"})
    labels = [{"href": label["href"]} for label in (app, env)]
    new = [{"name": f"w{n}", "labels": labels, "enforcement_mode": "full"} for n in range(2)]
    made = api.put(f"{api.org}/workloads/bulk_create", [*new, {"name": "alone"}], 200)
    [group] = api.get(f"{api.org}/app_group_summary")["nodes"]
    assert (group["num_workloads"], group["mode"]) == (2, [0, 0, 0, 2])
    web = {"name": "v", "service_ports": [{"proto": 6, "port": 443}], "labels": labels}
    api.post(f"{api.draft}/virtual_services", web)
    vip = {"name": "vip", "vip_address": "192.0.2.80", "vip_port": 443}
    found = api.post(f"{api.org}/discovered_virtual_servers", vip)["href"]
    server = {"name": "v", "discovered_virtual_server": {"href": found}, "labels": labels[:1]}
    api.post(f"{api.draft}/virtual_servers", server)
    of_app, group = api.get(f"{api.org}/app_group_summary")["nodes"]
    assert (of_app["num_workloads"], of_app["num_virtual_servers"]) == (0, 1)
    assert (group["num_workloads"], group["num_virtual_services"]) == (2, 1)
    vulnerability = {"reference_id": "v", "name": "V", "score": 50}
    [known] = api.post(f"{api.org}/vulnerabilities", [vulnerability])
    finding = {
        "ip_address": "10.0.0.1",
        "workload": {"href": made[0]["href"]},
        "vulnerability": {"href": known["href"]},
    }
    report = {"name": "scan", "detected_vulnerabilities": [finding]}
    api.put(f"{api.org}/vulnerability_reports/scan", report)
    [risk] = api.get(f"{api.org}/app_groups/risk_summary")
    assert risk["vulnerability_summary"]["num_vulnerabilities"] == 1
    details = api.get(f"{risk['href']}/risk_details")
    assert details["detected_vulnerabilities"][0]["vulnerability"]["name"] == "V"
    assert api.get(f"{api.org}/reports/risk_summary")["num_workloads_with_vulnerabilities"] == 1
    assert api.call("GET", f"{api.org}/app_groups/1x99/risk_details").status == 404
