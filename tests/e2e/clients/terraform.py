"""`illumio/terraform-provider-illumio-core` (Go, net/http).

``Accept`` on reads, ``Content-Type`` on everything else, gzip offered. Keys of bodies are sorted,
and text that is not set is sent empty. From its source, and from what it sent to a PCE.
"""

import json

from tests.e2e.clients.wire import Answer, Wire

_HEAD = "Host: {host}\nUser-Agent: Go-http-client/1.1"
_TAIL = "Authorization: {authorization}\nContent-Type: application/json\nAccept-Encoding: gzip"
_BODY = f"{_HEAD}\nContent-Length: {{length}}\n{_TAIL}"
HEADERS = {
    "GET": f"{_HEAD}\nAccept: application/json\nAuthorization: {{authorization}}\n{{more}}\n"
    "Accept-Encoding: gzip",
    "DELETE": f"{_HEAD}\n{_TAIL}",
    "POST with a body": _BODY,
    "PUT with a body": _BODY,
}


def applies_a_label(wire: Wire) -> None:
    """Create and read back; a plan reads again; destroyed twice, the second time by a state that is
    out of date: an error that says ``already_deleted`` is a success. Reading it then is 200."""
    body = '{"key":"role","value":"tf-role"}'
    label = _created(wire.send("POST", f"{wire.api}/labels", body))
    target = f"/api/v2{label}"
    assert wire.send("GET", target).json["deleted"] is False
    assert wire.send("PUT", target, '{"value":"tf-role-2"}').status == 204
    assert wire.send("GET", target).json["value"] == "tf-role-2"
    assert wire.send("DELETE", target).status == 204
    assert wire.send("GET", target).json["deleted"] is True
    again = wire.send("DELETE", target)
    assert again.status == 406 and "already_deleted" in again.text


def applies_policy(wire: Wire) -> None:
    """What was sent is what a plan reads: empty text is no text, a list that was sent empty is
    empty. `provision` submits the hrefs that it finds pending."""
    draft = f"{wire.api}/sec_policy/draft"
    ip_list = _created(
        wire.send(
            "POST",
            f"{draft}/ip_lists",
            '{"description":"","fqdns":[],"ip_ranges":[{"description":"","exclusion":false,'
            '"from_ip":"10.61.0.0/16","to_ip":""}],"name":"tf list"}',
        )
    )
    [shown] = wire.send("GET", f"/api/v2{ip_list}").json["ip_ranges"]
    assert (shown["from_ip"], shown.get("to_ip") or "") == ("10.61.0.0/16", "")
    service = _created(
        wire.send(
            "POST",
            f"{draft}/services",
            '{"description":"","name":"tf service","process_name":"","service_ports":'
            '[{"port":8443,"proto":6}]}',
        )
    )
    virtual = _created(
        wire.send(
            "POST",
            f"{draft}/virtual_services",
            '{"apply_to":"host_only","description":"","ip_overrides":[],"labels":[],"name":'
            '"tf virtual","service_addresses":[],"service_ports":[{"port":443,"proto":6}]}',
        )
    )
    body = f'{{"apply_to":"host_only","name":"tf virtual","service":{{"href":"{service}"}}}}'
    assert wire.send("PUT", f"/api/v2{virtual}", body).status == 204
    shown = wire.send("GET", f"/api/v2{virtual}").json
    assert shown["service"]["href"] == service and not shown.get("service_ports")
    rules = _created(
        wire.send(
            "POST",
            f"{draft}/rule_sets",
            '{"description":"","enabled":true,"ip_tables_rules":[],"name":"tf rules",'
            '"scopes":[[]]}',
        )
    )
    rule = wire.send(
        "POST",
        f"/api/v2{rules}/sec_rules",
        f'{{"consumers":[{{"ip_list":{{"href":"{ip_list}"}}}}],"description":"","enabled":true,'
        f'"ingress_services":[{{"href":"{service}"}}],"machine_auth":false,"providers":'
        '[{"actors":"ams"}],"resolve_labels_as":{"consumers":["workloads"],"providers":'
        '["workloads"]},"sec_connect":false,"stateless":false,"unscoped_consumers":true,'
        '"use_workload_subnets":[]}',
    )
    _created(rule)
    pending = wire.send("GET", f"{wire.api}/sec_policy/pending").json
    assert rules in [one["href"] for one in pending["rule_sets"]]
    _provision(wire, ip_lists=ip_list, rule_sets=rules, services=service, virtual_services=virtual)
    for href in (rules, virtual, service, ip_list):
        assert wire.send("DELETE", f"/api/v2{href}").status == 204
    _provision(wire, ip_lists=ip_list, rule_sets=rules, services=service, virtual_services=virtual)


def applies_a_workload(wire: Wire) -> None:
    """Unmanaged, online from the start, with text that is not set."""
    workload = _created(
        wire.send(
            "POST",
            f"{wire.api}/workloads",
            '{"data_center":"","data_center_zone":"","description":"","distinguished_name":"",'
            '"enforcement_mode":"visibility_only","hostname":"tf.example.com","interfaces":'
            '[{"address":"10.62.0.1","cidr_block":24,"default_gateway_address":"10.62.0.254",'
            '"friendly_name":"","link_state":"up","name":"eth0"}],"labels":[],"name":"tf workload",'
            '"online":true,"os_detail":"","os_id":"","service_provider":""}',
        )
    )
    shown = wire.send("GET", f"/api/v2{workload}").json
    assert shown["online"] is True and shown["interfaces"][0]["name"] == "eth0"
    listed = f"{wire.api}/workloads/{workload.rsplit('/', 1)[-1]}/interfaces"
    assert [one["address"] for one in wire.send("GET", listed).json] == ["10.62.0.1"]
    assert wire.send("DELETE", f"/api/v2{workload}").status == 204
    assert wire.send("GET", f"/api/v2{workload}").json["deleted"] is True


def applies_settings(wire: Wire) -> None:
    """Timers have a default entry on the first read; an entry without a type of VEN is that of
    servers, and is there on the next read."""
    target = f"{wire.api}/settings/workloads"
    timers = ("workload_disconnected_timeout_seconds", "workload_goodbye_timeout_seconds")
    before = wire.send("GET", target).json
    for timer in timers:
        assert any(entry["scope"] == [] for entry in before[timer])
    body = '{"workload_disconnected_timeout_seconds":[{"scope":[],"value":3600,"ven_type":""}]}'
    assert wire.send("PUT", target, body).status == 204
    after = wire.send("GET", target).json
    assert {"scope": [], "value": 3600, "ven_type": "server"} in after[timers[0]]
    assert after[timers[1]] == before[timers[1]]
    firewall = wire.send("GET", f"{wire.api}/sec_policy/draft/firewall_settings").json
    assert firewall["href"].endswith("/sec_policy/draft/firewall_settings")


def makes_pairing_keys(wire: Wire) -> None:
    """Without limits the profile says ``unlimited``, or each plan would change it; destroying keys
    revokes all of the profile."""
    body = '{"description":"","enabled":true,"labels":[],"name":"tf profile"}'
    profile = _created(wire.send("POST", f"{wire.api}/pairing_profiles", body))
    shown = wire.send("GET", f"/api/v2{profile}").json
    assert shown["allowed_uses_per_key"] == shown["key_lifespan"] == "unlimited"
    key = wire.send("POST", f"/api/v2{profile}/pairing_key", "{}")
    assert key.status == 201 and key.json["activation_code"]
    assert wire.send("DELETE", f"/api/v2{profile}/pairing_keys").status == 204
    assert wire.send("DELETE", f"/api/v2{profile}").status == 204


def reads_lists(wire: Wire) -> None:
    """Data sources: filters in the order of their names, as a job beyond 500."""
    assert isinstance(wire.send("GET", f"{wire.api}/labels?key=role&max_results=5").json, list)
    assert wire.send("GET", f"{wire.api}/networks?data_center=Corporate&max_results=1").json
    assert isinstance(wire.as_job(f"{wire.api}/workloads?max_results=501"), list)
    assert isinstance(wire.as_job(f"{wire.api}/sec_policy/draft/services?max_results=501"), list)


def is_told_what_is_wrong(wire: Wire) -> None:
    """Every error of a 406 has a token and a message; what else it has is printed."""
    answer = wire.send("POST", f"{wire.api}/labels", '{"key":"no-such-key","value":"x"}')
    assert answer.status == 406 and answer.json
    assert wire.send("GET", f"{wire.api}/nothing").status == 404
    assert wire.send("GET", "/api/v2/orgs/999/labels").status == 403


def _created(answer: Answer) -> str:
    assert answer.status == 201
    return str(answer.json["href"])


def _provision(wire: Wire, **hrefs: str) -> None:
    """201 with an object: an empty body is an error to it."""
    subset = {kind: [{"href": href}] for kind, href in hrefs.items()}
    body = {"change_subset": subset, "update_description": "Provisioned by terraform"}
    packed = json.dumps(body, separators=(",", ":"))
    answer = wire.send("POST", f"{wire.api}/sec_policy", packed)
    assert answer.status == 201 and isinstance(answer.json, dict)


CONVERSATIONS = (
    applies_a_label,
    applies_policy,
    applies_a_workload,
    applies_settings,
    makes_pairing_keys,
    reads_lists,
    is_told_what_is_wrong,
)
