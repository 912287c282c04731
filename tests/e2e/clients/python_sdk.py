"""The SDK `illumio` and its fork `illumio-py-open` (Python, requests), and what is built on them:
the Ansible collection, the MCP server, the Splunk add-on, the plugins of `plugger`.

`test_public_clients.py` runs the SDK's own suite; here is what its users ask beyond that.
``Authorization`` comes last, booleans are Python's, a DELETE says that its body is empty. Taken
down from the SDK at work, the calls of its users from their source.
"""

import json

from tests.e2e.clients.wire import Wire

_SESSION = (
    "Host: {host}\nUser-Agent: python-requests/2.32.5\nAccept-Encoding: gzip, deflate\n"
    "Accept: application/json\nConnection: keep-alive"
)
_BODY = (
    f"{_SESSION}\nContent-Type: application/json\n{{more}}\nContent-Length: {{length}}\n"
    "Authorization: {authorization}"
)
HEADERS = {
    "GET": f"{_SESSION}\n{{more}}\nAuthorization: {{authorization}}",
    "DELETE": f"{_SESSION}\nContent-Length: 0\nAuthorization: {{authorization}}",
    "POST with a body": _BODY,
    "PUT with a body": _BODY,
}


def must_connect(wire: Wire) -> None:
    """Any 2xx; an org that is not the key's must fail."""
    assert wire.send("GET", "/api/v2/health").status == 200
    assert wire.send("GET", f"{wire.api}/settings/workloads").status == 200
    assert wire.send("GET", "/api/v2/orgs/0/settings/workloads").status == 403


def gets_all(wire: Wire) -> None:
    """``max_results=0`` for the total, then as many as that."""
    for path in ("labels?key=role&", "sec_policy/draft/services?", "workloads?managed=True&"):
        counted = wire.send("GET", f"{wire.api}/{path}max_results=0")
        assert counted.json == []
        total = int(counted.headers["x-total-count"])
        listed = wire.send("GET", f"{wire.api}/{path}max_results={total}")
        assert len(listed.json) == total == int(listed.headers["x-total-count"])


def finds_the_defaults(wire: Wire) -> None:
    """It takes the first of the active ones that have the name in theirs."""
    active = f"{wire.api}/sec_policy/active"
    name = "Any+%280.0.0.0%2F0+and+%3A%3A%2F0%29"
    everywhere = wire.send("GET", f"{active}/ip_lists?name={name}").json[0]
    assert everywhere["name"] == "Any (0.0.0.0/0 and ::/0)"
    assert (
        wire.send("GET", f"{active}/services?name=All+Services").json[0]["name"] == "All Services"
    )


def asks_for_traffic(wire: Wire) -> None:
    """Bare dates; the query is in the answer, its result is an href of JSON."""
    query = wire.send(
        "POST",
        f"{wire.api}/traffic_flows/async_queries",
        '{"start_date": "2026-11-01", "end_date": "2126-12-01", "sources": {"include": [[]], '
        '"exclude": []}, "destinations": {"include": [[]], "exclude": []}, "services": {"include": '
        '[], "exclude": []}, "policy_decisions": ["allowed", "blocked", "potentially_blocked", '
        '"unknown"], "exclude_workloads_from_ip_list_query": true, '
        '"sources_destinations_query_op": "and", "max_results": 100000, "query_name": "q"}',
        more="Prefer: respond-async",
    )
    assert query.status == 202
    result = wire.ended(query.json["href"], "completed")["result"]
    assert isinstance(wire.send("GET", f"/api/v2{result}").json, list)


def runs_an_ansible_module(wire: Wire) -> None:
    """The connection is tested, then one object is looked for with ``max_results=1``: the one of
    exactly this name, though others have it in theirs. `description` is there when none was sent,
    or each run would change it."""
    must_connect(wire)
    for name in ("an profile of more words", "an profile"):
        body = f'{{"name": "{name}", "enabled": true, "enforcement_mode": "idle"}}'
        assert wire.send("POST", f"{wire.api}/pairing_profiles", body).status == 201
    target = f"{wire.api}/pairing_profiles?name=an+profile&max_results=1"
    [found] = wire.send("GET", target).json
    assert (found["name"], found["description"]) == ("an profile", "")
    labels = f"{wire.api}/labels?key=role&value=no+such+role&max_results=1"
    assert wire.send("GET", labels).json == []
    refused = wire.send("POST", f"{wire.api}/labels", '{"key": "nokey", "value": "x"}')
    assert refused.status == 406
    for one in wire.send("GET", f"{wire.api}/pairing_profiles?name=an+profile").json:
        assert wire.send("DELETE", f"/api/v2{one['href']}").status == 204


def collects_for_splunk(wire: Wire) -> None:
    """Health with a time and a type, then each collection as a job, unprovisioned ones left out."""
    must_connect(wire)
    for cluster in wire.send("GET", "/api/v2/health").json:
        assert cluster["type"] == "standalone" and cluster["fqdn"] and cluster["nodes"]
    for path in (
        "labels",
        "sec_policy/active/ip_lists",
        "sec_policy/active/services",
        "workloads",
        "sec_policy/active/rule_sets",
    ):
        assert isinstance(wire.as_job(f"{wire.api}/{path}"), list)
    target = f"{wire.api}/workloads?managed=True&agent.active_pce_fqdn=localhost"
    assert isinstance(wire.as_job(target), list)


def manages_deny_rules_by_mcp(wire: Wire) -> None:
    """Filters that nobody knows are passed over; rules of a rule set carry what it prints, and deny
    rules are made, toggled to override and removed."""
    assert wire.send("GET", f"{wire.api}/workloads?include=labels&max_results=5").status == 200
    body = '{"name": "mcp rules", "enabled": true, "scopes": [[]]}'
    rules = wire.send("POST", f"{wire.api}/sec_policy/draft/rule_sets", body).json["href"]
    made = wire.send(
        "POST",
        f"/api/v2{rules}/deny_rules",
        '{"enabled": true, "providers": [{"actors": "ams"}], "consumers": [{"actors": "ams"}], '
        '"ingress_services": [{"port": 3389, "proto": 6}], "unscoped_consumers": false, '
        '"override": true}',
    )
    assert made.status == 201 and made.json["override"] is True
    [listed] = wire.send("GET", f"/api/v2{rules}/deny_rules").json
    assert listed.keys() >= {"href", "override", "enabled", "description", "consumers"}
    target = f"/api/v2{made.json['href']}"
    assert wire.send("PUT", target, '{"override": false}').status == 204
    assert wire.send("DELETE", target).status == 204
    found = f"{wire.api}/sec_policy/draft/rule_sets?name=mcp+rules&enabled=True"
    [shown] = wire.send("GET", found).json
    assert (shown["rules"], shown["deny_rules"]) == ([], [])
    assert wire.send("DELETE", f"/api/v2{rules}").status == 204


def works_for_plugger(wire: Wire) -> None:
    """The mode of old, and labels put back without what was read beside their hrefs. `/users` lies
    below no org, and a workload has `processes`."""
    workload = wire.send("POST", f"{wire.api}/workloads", '{"name": "plugged"}').json["href"]
    target = f"/api/v2{workload}"
    mode = '{"agent": {"config": {"mode": "enforced"}}}'
    assert wire.send("PUT", target, mode).status == 204
    assert wire.send("GET", target).json["enforcement_mode"] == "full"
    label = wire.send("POST", f"{wire.api}/labels", '{"key": "role", "value": "plugged"}').json
    body = json.dumps({"labels": [{"href": label["href"]}]})
    assert wire.send("PUT", target, body).status == 204
    [shown] = wire.send("GET", target).json["labels"]
    assert (shown["key"], shown["value"]) == ("role", "plugged")
    assert isinstance(wire.send("GET", f"{target}/processes").json, list)
    assert all(
        user["href"].startswith("/users/") for user in wire.send("GET", "/api/v2/users").json
    )
    assert wire.send("GET", f"{wire.api}/workloads?max_results=10000").status == 200
    for href in (workload, label["href"]):
        assert wire.send("DELETE", f"/api/v2{href}").status == 204


def reverts_with_the_fork(wire: Wire) -> None:
    """`illumio-py-open` sends lists of hrefs where others send a change subset."""
    draft = f"{wire.api}/sec_policy/draft"
    body = '{"name": "fork", "ip_ranges": [{"from_ip": "10.63.0.0/16"}]}'
    href = wire.send("POST", f"{draft}/ip_lists", body).json["href"]
    listed = f'[{{"href": "{href}"}}]'
    dependencies = wire.send("POST", f"{draft}/dependencies", listed)
    assert dependencies.status == 200 and isinstance(dependencies.json, list)
    assert wire.send("PUT", f"{wire.api}/sec_policy/delete", listed).status == 204
    assert wire.send("GET", f"/api/v2{href}").status == 404


CONVERSATIONS = (
    must_connect,
    gets_all,
    finds_the_defaults,
    asks_for_traffic,
    runs_an_ansible_module,
    collects_for_splunk,
    manages_deny_rules_by_mcp,
    works_for_plugger,
    reverts_with_the_fork,
)
