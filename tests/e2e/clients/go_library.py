"""The Go library `brian1917/illumioapi` and the `workloader` that is built on it (Go, net/http).

Sends ``Content-Type`` with everything and never ``Accept``, offers gzip, doubles slashes in some
paths. Taken down from workloader at work.
"""

import re
from typing import Any

from tests.e2e.clients.wire import Wire

_HEAD = "Host: {host}\nUser-Agent: Go-http-client/1.1"
_TAIL = (
    "Authorization: {authorization}\nContent-Type: application/json\n{more}\nAccept-Encoding: gzip"
)
_BODY = f"{_HEAD}\nContent-Length: {{length}}\n{_TAIL}"
HEADERS = {
    "GET": f"{_HEAD}\n{_TAIL}",
    "DELETE": f"{_HEAD}\n{_TAIL}",
    "POST": _BODY,
    "POST with a body": _BODY,
    "PUT with a body": _BODY,
}


def adds_a_pce_by_key(wire: Wire) -> None:
    """`pce-add --api-key` is content with 200."""
    assert wire.send("GET", f"{wire.api}/labels?max_results=1").status == 200


def adds_a_pce_by_password(wire: Wire) -> None:
    """`pce-add` logs in with an e-mail address and makes a key, below a slash that is doubled; it
    takes the first org and fails without any. `pce-remove` finds the key and deletes it. Before
    and after it an owner invites the user, and removes them."""
    user = wire.send("POST", "/api/v2/users", '{"username":"go@example.com"}').json
    accepted = wire.send(
        "POST",
        "/api/v2/login_users/accept_invitation",
        f'{{"username":"go@example.com","token":"{user["invitation"]["token"]}",'
        '"password":"Correct-horse-7-battery"}',
    )
    assert accepted.status in (200, 201, 204)
    wire.log_in("go@example.com", "Correct-horse-7-battery")
    token = wire.send("POST", "/api/v2/login_users/authenticate?pce_fqdn=localhost")
    assert token.status in (200, 201)
    wire.authorization = f"Token token={token.json['auth_token']}"
    login = wire.send("GET", "/api/v2/users/login").json
    assert isinstance(login["orgs"][0]["org_id"], int) and login["orgs"][0]["href"] == wire.org
    wire.log_in(login["auth_username"], login["session_token"])
    keys = f"/api/v2/{login['href']}/api_keys"
    key = wire.send("POST", keys, '{"name":"workloader","description":"made by workloader"}')
    assert key.status == 201 and key.json["auth_username"].startswith("api_")
    wire.log_in(key.json["auth_username"], key.json["secret"])
    [listed] = wire.send("GET", f"/api/v2{login['href']}/api_keys").json
    assert wire.send("DELETE", f"/api/v2{listed['href']}").status == 204
    wire.log_in(wire.credentials.api_key, wire.credentials.api_secret)
    assert wire.send("DELETE", f"/api/v2{login['href']}").status == 204


def exports_workloads(wire: Wire) -> None:
    """`wkld-export` dereferences labels, agent and VEN of each workload, and reads an interface's
    address; when a list has 500 entries it asks again with ``Prefer``."""
    for workloads in (
        wire.send("GET", f"{wire.api}/workloads").json,
        wire.as_job(f"{wire.api}/workloads"),
    ):
        assert workloads
        for workload in workloads:
            assert isinstance(workload["labels"], list) and isinstance(workload["agent"], dict)
            assert workload.keys() >= {"name", "hostname", "deleted", "online", "interfaces"}
            if (workload["ven"] or {}).get("href"):
                status = workload["agent"]["status"]
                assert isinstance(status["agent_version"], str)
                assert _rfc3339(status["last_heartbeat_on"])
    for query in ("managed=true", "managed=false", "mode=idle"):
        assert wire.send("GET", f"{wire.api}/workloads?{query}").status == 200


def imports_workloads(wire: Wire) -> None:
    """`wkld-import --umwl`: each new label, then updates and creations in bulk, compared by their
    position."""
    for path in ("workloads", "labels", "label_dimensions"):
        assert isinstance(wire.send("GET", f"{wire.api}/{path}").json, list)
    label = wire.send("POST", f"{wire.api}/labels", '{"key":"app","value":"go-app"}')
    assert label.status == 201
    created = wire.send(
        "PUT",
        f"{wire.api}/workloads/bulk_create",
        '[{"name":"go-1","hostname":"go-1.example.com","interfaces":[{"name":"eth0","address":'
        f'"10.99.0.1","cidr_block":24}}],"labels":[{{"href":"{label.json["href"]}"}}]}}]',
    )
    assert created.status == 200 and created.json[0]["status"] == "created"
    href = created.json[0]["href"]
    body = f'[{{"href":"{href}","labels":[],"name":"go-1"}},{{"href":"{href}0","name":"none"}}]'
    updated = wire.send("PUT", f"{wire.api}/workloads/bulk_update", body)
    assert updated.status == 200
    assert [one["href"] for one in updated.json] == [href, f"{href}0"]
    assert updated.json[0]["status"] == "updated" and updated.json[1]["status"] != "updated"
    gone = wire.send("PUT", f"{wire.api}/workloads/bulk_delete", f'[{{"href":"{href}"}}]')
    assert gone.status == 200 and not gone.json[0].get("errors")
    assert wire.send("DELETE", f"/api/v2{label.json['href']}").status == 204


def reads_labels(wire: Wire) -> None:
    """`label-export` wants usage; `labels-delete-unused` tries to delete every label, and takes 406
    for one that is used."""
    label = wire.send("POST", f"{wire.api}/labels", '{"key":"role","value":"go-used"}').json
    body = f'{{"name":"go-holder","labels":[{{"href":"{label["href"]}"}}]}}'
    holder = wire.send("POST", f"{wire.api}/workloads", body).json
    used = {one["href"]: one for one in wire.send("GET", f"{wire.api}/labels?usage=true").json}
    assert used[label["href"]]["usage"]["workload"] is True
    assert wire.send("DELETE", f"/api/v2{label['href']}").status == 406
    assert wire.send("DELETE", f"/api/v2{holder['href']}").status == 204
    assert wire.send("DELETE", f"/api/v2{label['href']}").status == 204
    assert wire.send("DELETE", f"{wire.api}/labels/999999").status == 404


def imports_policy(wire: Wire) -> None:
    """`ipl-import`, `labelgroup-import`, `ruleset-import` and `rule-import`, each provisioned, with
    the slash that is doubled for it. Nulls and nested objects go back as they were read."""
    draft = f"{wire.api}/sec_policy/draft"
    ip_list = wire.send(
        "POST",
        f"{draft}/ip_lists",
        '{"name":"go list","description":"d","fqdns":[{"fqdn":"a.example.com"}],"ip_ranges":'
        '[{"from_ip":"10.5.0.0/16"},{"from_ip":"10.5.1.0/24","exclusion":true}]}',
    ).json
    _provision(wire, "ip_lists", ip_list["href"])
    rule_set = wire.send(
        "POST",
        f"{draft}/rule_sets",
        '{"name":"go rules","description":"d","scopes":[[]],"enabled":true}',
    ).json
    rule = wire.send(
        "POST",
        f"/api/v2{rule_set['href']}/sec_rules",
        '{"description":"by csv","enabled":true,"consumers":[{"ip_list":{"href":"'
        f'{ip_list["href"]}"}}}}],"providers":[{{"actors":"ams"}}],"ingress_services":'
        '[{"port":8080,"proto":6}],"sec_connect":false,"stateless":false,"machine_auth":false,'
        '"unscoped_consumers":true,"resolve_labels_as":{"providers":["workloads"],"consumers":'
        '["workloads"]},"network_type":"brn"}',
    )
    assert rule.status == 201 and rule.json["resolve_labels_as"]["consumers"] == ["workloads"]
    _provision(wire, "rule_sets", rule_set["href"])
    for version in ("draft", "active"):
        listed = wire.send("GET", f"{wire.api}/sec_policy/{version}/rule_sets").json
        [found] = [one for one in listed if one["name"] == "go rules"]
        assert [one["description"] for one in found["rules"]] == ["by csv"]
    versions = wire.send("GET", f"{wire.api}/sec_policy").json
    assert versions[0]["version"] == max(one["version"] for one in versions)
    assert _rfc3339(versions[0]["created_at"])
    pending = wire.send("GET", f"{wire.api}/sec_policy/pending").json
    assert all(isinstance(entries, list) for entries in pending.values())
    for kind, href in (("rule_sets", rule_set["href"]), ("ip_lists", ip_list["href"])):
        assert wire.send("DELETE", f"/api/v2{href}").status == 204
        _provision(wire, kind, href)


def gets_a_pairing_key(wire: Wire) -> None:
    """`get-pk --create`: nothing more than a name, a type and that it is enabled."""
    assert wire.send("GET", f"{wire.api}/pairing_profiles?name=go-profile").json == []
    body = '{"name":"go-profile","ven_type":"server","enabled":true}'
    made = wire.send("POST", f"{wire.api}/pairing_profiles", body)
    assert made.status == 201
    assert all(isinstance(made.json[n], str) for n in ("allowed_uses_per_key", "key_lifespan"))
    key = wire.send("POST", f"/api/v2{made.json['href']}/pairing_key", "{}")
    assert key.status == 201 and re.fullmatch("[0-9a-f]{80,130}", key.json["activation_code"])
    assert wire.send("DELETE", f"/api/v2{made.json['href']}").status == 204


def exports_traffic(wire: Wire) -> None:
    """`traffic`: nanoseconds in the times, addresses as objects; the status by href, rules by a PUT
    with an empty href for a body, and a CSV, since it names no type that it accepts."""
    version = wire.send("GET", "/api/v2/product_version").json
    assert [int(part) for part in version["version"].split(".")] >= [21, 2, 0]
    query = wire.send(
        "POST",
        f"{wire.api}/traffic_flows/async_queries",
        '{"sources":{"include":[[]],"exclude":[{"ip_address":{"value":"203.0.113.77"}}]},'
        '"destinations":{"include":[[]],"exclude":[{"transmission":"broadcast"},{"transmission":'
        '"multicast"}]},"services":{"include":[],"exclude":[]},"policy_decisions":[],"start_date":'
        '"2026-09-01T00:00:00.123456789Z","end_date":"2126-11-29T23:59:59Z","max_results":100000,'
        '"query_name":"workloader-traffic","exclude_workloads_from_ip_list_query":true}',
    )
    assert query.status in (200, 201, 202) and query.json["status"] == "queued"
    href = query.json["href"]
    ended = wire.ended(href, "completed")
    assert isinstance(ended["result"], str) and isinstance(ended["flows_count"], int)
    decided = wire.send(
        "PUT",
        f"/api/v2{href}/update_rules?label_based_rules=false&offset=0&limit=200000",
        '{"Href":""}',
    )
    assert decided.status in (202, 204)
    wire.ended(href, "completed", of="rules")
    listed = wire.send("GET", f"{wire.api}/traffic_flows/async_queries").json
    assert href in [one["href"] for one in listed]
    download = f"{wire.org}//traffic_flows/async_queries/{href.rsplit('/', 1)[-1]}/download"
    answer = wire.send("GET", f"/api/v2{download}?include_draft_policy_in_csv=true")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/csv")
    assert answer.text.startswith("Source IP,")


def uploads_flows(wire: Wire) -> None:
    """`flow-import` posts lines of text, with the type of JSON."""
    lines = "10.88.0.1,10.88.0.2,8081,6\nnonsense\n"
    answer = wire.send("POST", f"{wire.api}/agents/bulk_traffic_flows", lines)
    assert answer.status in (200, 201)
    assert (answer.json["num_flows_received"], answer.json["num_flows_failed"]) == (2, 1)
    [failed] = answer.json["failed_flows"]
    assert "nonsense" in failed


def asks_events(wire: Wire) -> None:
    """`ven-health`: the actor of each event is an object, and its time is RFC 3339."""
    target = "timestamp[gte]=2026-01-01T00:00:00Z&timestamp[lte]=2126-01-01T00:00:00Z"
    for event in wire.send("GET", f"{wire.api}/events?max_results=10000&{target}").json:
        assert isinstance(event["created_by"], dict) and _rfc3339(event["timestamp"])


def _provision(wire: Wire, kind: str, href: str) -> None:
    body = (
        f'{{"change_subset":{{"{kind}":[{{"href":"{href}"}}]}},'
        '"update_description":"workloader import"}'
    )
    assert wire.send("POST", f"/api/v2{wire.org}//sec_policy", body).status == 201


def _rfc3339(text: Any) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text))


CONVERSATIONS = (
    adds_a_pce_by_key,
    adds_a_pce_by_password,
    exports_workloads,
    imports_workloads,
    reads_labels,
    imports_policy,
    gets_a_pairing_key,
    exports_traffic,
    uploads_flows,
    asks_events,
)
