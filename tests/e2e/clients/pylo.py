"""`illumio-pylo` (Python, requests).

`test_public_clients.py` runs its commands; here is what its code insists on, answer by answer. A
PUT may have no body and no type. Taken down from it at work.
"""

import json
import re

from tests.e2e.clients.wire import Wire

_SESSION = (
    "Host: {host}\nUser-Agent: python-requests/2.32.5\nAccept-Encoding: gzip, deflate\n"
    "Accept: application/json\nConnection: keep-alive"
)
_BODY = (
    f"{_SESSION}\nContent-Type: application/json\nContent-Length: {{length}}\n"
    "Authorization: {authorization}"
)
_EMPTY = f"{_SESSION}\nContent-Length: 0\nAuthorization: {{authorization}}"
HEADERS = {
    "GET": f"{_SESSION}\n{{more}}\nAuthorization: {{authorization}}",
    "DELETE": _EMPTY,
    "PUT": _EMPTY,
    "POST with a body": _BODY,
    "PUT with a body": _BODY,
}
EVERYTHING = (
    "sec_policy/draft/ip_lists",
    "workloads",
    "sec_policy/draft/virtual_services",
    "labels",
    "sec_policy/draft/label_groups",
    "sec_policy/draft/services",
    "sec_policy/draft/rule_sets",
    "security_principals",
    "label_dimensions",
)


def loads_everything(wire: Wire) -> None:
    """Every command: the version, then nine lists of up to 200,000 with their totals; or, with
    `--force-async-mode`, as jobs. It indexes what follows without asking whether it is there."""
    version = wire.send("GET", "/api/v2/product_version").json
    assert re.match(r"\d+\.\d+\.\d+(-\d+)?", version["long_display"])
    lists = {}
    for path in EVERYTHING:
        answer = wire.send("GET", f"{wire.api}/{path}?max_results=200000")
        assert int(answer.headers["x-total-count"]) == len(answer.json)
        lists[path.rsplit("/", 1)[-1]] = answer.json
    for service in lists["services"]:
        assert {"description", "process_name", "deleted_at"} <= service.keys()
        for port in service.get("service_ports") or ():
            assert "port" in port or port["proto"] not in (6, 17)
    for group in lists["label_groups"]:
        assert isinstance(group["labels"], list)
    for rule_set in lists["rule_sets"]:
        for rule in rule_set["rules"]:
            assert rule["resolve_labels_as"] and rule["network_type"] in ("brn", "non_brn", "all")
            assert isinstance(rule["consuming_security_principals"], list)
    for workload in lists["workloads"]:
        assert {"name", "hostname", "deleted", "online"} <= workload.keys()
        assert workload["agent"]["config"]["mode"]
    assert isinstance(wire.as_job(f"{wire.api}/workloads"), list)


def asks_for_traffic(wire: Wire) -> None:
    """Exactly ``queued`` at once; the state from the list, which has the query from the beginning;
    draft decisions by a PUT without a body."""
    query = wire.send(
        "POST",
        f"{wire.api}/traffic_flows/async_queries",
        json.dumps(
            {
                "sources": {"include": [[]], "exclude": []},
                "destinations": {"include": [[]], "exclude": []},
                "services": {"include": [], "exclude": []},
                "sources_destinations_query_op": "and",
                "start_date": "2010-10-13T11:27:28.824Z",
                "end_date": "2126-11-29T00:00:00Z",
                "max_results": 10000,
                "query_name": "api call",
                "policy_decisions": [],
            }
        ),
    )
    assert query.json["status"] == "queued"
    href = query.json["href"]
    listed = {one["href"]: one for one in _queries(wire)}
    assert listed[href]["status"] in ("queued", "working", "completed")
    wire.ended(href, "completed")
    more = "update_rules?label_based_rules=false&offset=0&limit=250000"
    assert wire.send("PUT", f"/api/v2{href}/{more}").status in (202, 204)
    listed = {one["href"]: one for one in _queries(wire)}
    assert listed[href]["rules"] in ("queued", "working", "completed")
    assert isinstance(wire.send("GET", f"/api/v2{href}/download").json, list)


def deletes_workloads(wire: Wire) -> None:
    """An error for each that has a VEN, with the token on which it unpairs; none for the others."""
    managed = wire.send("GET", f"{wire.api}/workloads?managed=true&max_results=1").json
    bare = wire.send("POST", f"{wire.api}/workloads", '{"name": "pylo"}').json
    hrefs = [{"href": one["href"]} for one in (*managed, bare)]
    answer = wire.send("PUT", f"{wire.api}/workloads/bulk_delete", json.dumps(hrefs))
    assert answer.status == 200
    errors = {one["href"]: one.get("errors") for one in answer.json}
    assert not errors[bare["href"]]
    for one in managed:
        assert errors[one["href"]][0]["token"] == "method_not_allowed_error"


def deletes_labels(wire: Wire) -> None:
    """204 and nothing else."""
    label = wire.send("POST", f"{wire.api}/labels", '{"key": "role", "value": "pylo"}')
    assert label.status == 201
    assert wire.send("DELETE", f"/api/v2{label.json['href']}").status == 204


def asks_about_rules(wire: Wire) -> None:
    """`rule_coverage`: an edge for each question with a list for each of its services."""
    end = {"ip_list": {"href": f"{wire.org}/sec_policy/draft/ip_lists/1"}}
    workload = wire.send("GET", f"{wire.api}/workloads?max_results=1").json[0]
    question = {
        "source": end,
        "destination": {"workload": {"href": workload["href"]}},
        "services": [{"protocol": 6, "port": 443}, {"protocol": 1}],
        "resolve_labels_as": {"source": ["workloads"], "destination": ["workloads"]},
    }
    target = f"{wire.api}/sec_policy/draft/rule_coverage?include_deny_rules=True"
    covered = wire.send("POST", target, json.dumps([question])).json
    for kind in ("edges", "deny_edges"):
        [edge] = covered[kind]
        assert len(edge) == 2 and all(isinstance(keys, list) for keys in edge)
    assert isinstance(covered["rules"], dict) and isinstance(covered["deny_rules"], dict)
    search = '{"max_results": 500, "resolve_actors": true, "providers": [], "consumers": []}'
    found = wire.send("POST", f"{wire.api}/sec_policy/draft/rule_search", search)
    assert found.status == 200 and all("href" in rule for rule in found.json)


def _queries(wire: Wire) -> list[dict[str, str]]:
    return list(wire.send("GET", f"{wire.api}/traffic_flows/async_queries").json)


CONVERSATIONS = (
    loads_everything,
    asks_for_traffic,
    deletes_workloads,
    deletes_labels,
    asks_about_rules,
)
