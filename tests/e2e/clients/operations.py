"""`harry10148/illumio-ops` (Python, requests).

``Authorization`` is a header of the session, so it comes before what a request adds; JSON is
accepted, always. Taken down from requests with its settings, the calls from its source.
"""

import json
import uuid

from tests.e2e.clients.wire import Wire

_SESSION = (
    "Host: {host}\nUser-Agent: python-requests/2.32.5\nAccept-Encoding: gzip, deflate\n"
    "Accept: application/json\nConnection: keep-alive\nAuthorization: {authorization}"
)
_BODY = f"{_SESSION}\nContent-Type: application/json\nContent-Length: {{length}}"
HEADERS = {
    "GET": f"{_SESSION}\n{{more}}",
    "POST with a body": _BODY,
    "PUT with a body": _BODY,
}


def watches_the_pce(wire: Wire) -> None:
    """A status that it knows in the first cluster, and 200 from a node that serves."""
    health = wire.send("GET", "/api/v2/health").json
    assert health[0]["status"] in ("normal", "warning", "error")
    assert wire.send("GET", "/api/v2/node_available").status == 200
    assert wire.send("GET", "/api/v2/product_version").json["version"]


def reads_events(wire: Wire) -> None:
    """A list, from a time on."""
    since = "timestamp%5Bgte%5D=2026-01-01T00%3A00%3A00Z&max_results=5000"
    assert isinstance(wire.send("GET", f"{wire.api}/events?{since}").json, list)


def reads_collections(wire: Wire) -> None:
    """500 at most and the total beside them; what is cut off is fetched as a job."""
    for path in (
        "workloads?managed=true&",
        "sec_policy/draft/rule_sets?",
        "sec_policy/active/rule_sets?",
        "sec_policy/active/ip_lists?",
        "sec_policy/active/label_groups?",
        "sec_policy/active/services?",
    ):
        answer = wire.send("GET", f"{wire.api}/{path}max_results=500")
        assert answer.status == 200 and len(answer.json) == int(answer.headers["x-total-count"])
    assert isinstance(wire.as_job(f"{wire.api}/workloads?managed=true"), list)
    for version in ("draft", "active"):
        target = f"{wire.api}/sec_policy/{version}/firewall_settings"
        assert isinstance(wire.send("GET", target).json, dict)


def switches_a_rule(wire: Wire) -> None:
    """Only while nothing is pending; 204 for the change, 200 with an object for what has to go
    along, 201 for provisioning. What was never provisioned is 404 among the active."""
    name = f"ops rules {uuid.uuid4().hex}"
    body = json.dumps({"name": name, "scopes": [[]], "enabled": True})
    made = wire.send("POST", f"{wire.api}/sec_policy/draft/rule_sets", body)
    href = made.json["href"]
    target = f"/api/v2{href}"
    active = target.replace("/draft/", "/active/")
    assert wire.send("GET", active).status == 404
    assert wire.send("GET", target).json["update_type"] == "create"
    _provision(wire, href)
    assert wire.send("GET", target).json["update_type"] is None
    assert wire.send("GET", active).json["enabled"] is True
    assert wire.send("PUT", target, json.dumps({"enabled": False})).status == 204
    assert wire.send("GET", target).json["update_type"] == "update"
    _provision(wire, href)
    assert wire.send("GET", active).json["enabled"] is False


def queries_traffic(wire: Wire) -> None:
    """An address as text; rules by a PUT of ``{}``; records with a draft decision; a CSV when it
    asks for one with draft columns, though it accepts JSON."""
    query = wire.send(
        "POST",
        f"{wire.api}/traffic_flows/async_queries",
        json.dumps(
            {
                "start_date": "2026-01-01T00:00:00Z",
                "end_date": "2126-01-01T00:00:00Z",
                "policy_decisions": ["allowed", "potentially_blocked", "blocked"],
                "max_results": 200000,
                "query_name": "ops",
                "sources": {"include": [], "exclude": [{"ip_address": "203.0.113.78"}]},
                "destinations": {"include": [], "exclude": [{"transmission": "broadcast"}]},
                "services": {"include": [], "exclude": []},
            }
        ),
    )
    assert query.status in (200, 201, 202)
    target = f"/api/v2{query.json['href']}"
    wire.ended(query.json["href"], "completed")
    assert wire.send("PUT", f"{target}/update_rules", "{}").status in (202, 204)
    wire.ended(query.json["href"], "completed", of="rules")
    for record in wire.send("GET", f"{target}/download").json:
        assert record["draft_policy_decision"]
    table = wire.send("GET", f"{target}/download?include_draft_policy_in_csv=true")
    assert table.text.startswith("Source IP,")


def asks_for_fast_flows(wire: Wire) -> None:
    """50 workloads a call: 200, 201 or 204."""
    managed = wire.send("GET", f"{wire.api}/workloads?managed=true&max_results=500").json
    body = json.dumps({"workloads": [{"href": one["href"]} for one in managed[:50]]})
    target = f"{wire.api}/workloads/set_flow_reporting_frequency"
    assert wire.send("POST", target, body).status in (200, 201, 204)


def orders_a_report(wire: Wire) -> None:
    """201 with an href, ``done`` in the end, and a CSV."""
    order = {
        "report_template": {"href": f"{wire.org}/report_templates/rule_hit_count_report"},
        "description": "ops",
        "report_parameters": {"report_time_range": {"last_num_days": 30}, "rule_sets": []},
        "report_format": "csv",
    }
    report = wire.send("POST", f"{wire.api}/reports", json.dumps(order))
    assert report.status == 201
    wire.ended(report.json["href"], "done")
    assert wire.send("GET", f"/api/v2{report.json['href']}/download").status == 200


def _provision(wire: Wire, href: str) -> None:
    subset = {"rule_sets": [{"href": href}]}
    target = f"{wire.api}/sec_policy/draft/dependencies"
    needed = wire.send("POST", target, json.dumps({"change_subset": subset}))
    assert needed.status == 200 and isinstance(needed.json, dict)
    body = {"update_description": "Auto-Scheduler: Status/Note Update", "change_subset": subset}
    assert wire.send("POST", f"{wire.api}/sec_policy", json.dumps(body)).status == 201


CONVERSATIONS = (
    watches_the_pce,
    reads_events,
    reads_collections,
    switches_a_rule,
    queries_traffic,
    asks_for_fast_flows,
    orders_a_report,
)
