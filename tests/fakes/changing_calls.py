"""A valid call of every endpoint that changes something, in an order in which all succeed."""

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from pce.identifiers import OrgId
from pce.runtime.wiring import wiring
from pce.usecases.run_label_mapping import run_label_mapping
from tests.fakes.api import Answer
from tests.fakes.pairing import PairedVen

Call = tuple[str, str, Any]
"""Method, path and body."""
RELEASES = "25.1.9,25.2.0"
"""What ``PCE_VEN_RELEASES`` must say."""
Calls = Generator[Call, Answer, None]


def changing_calls(org: str, me: str, vens: Sequence[PairedVen]) -> Calls:
    """Yields calls with an owner's key and is sent their answers. ``me``: the owner's user href;
    ``vens``: three of the org, which it uses up. The PCE offers ``RELEASES``."""
    yield from _people(org, me)
    yield from _objects(org)
    yield from _hosts(org, vens)
    yield from _policy(org)
    yield from _servers(org)
    yield from _settings(org)


def _made(method: str, path: str, body: Any) -> Generator[Call, Answer, Any]:
    """Yields one call; returns the body of its answer."""
    answer = yield method, path, body
    return answer.json


def _life(path: str, body: Any, change: Any) -> Calls:
    """Create, change, delete."""
    made = yield from _made("POST", path, body)
    href = (made[0] if isinstance(made, list) else made)["href"]
    yield "PUT", href, change
    yield "DELETE", href, None


def _people(org: str, me: str) -> Calls:
    user = yield from _made("POST", "/users", {"username": "walk@example.com"})
    yield "PUT", user["href"], {"full_name": "Walk"}
    yield "PUT", f"{user['href']}/local_profile/reinvite", {}
    principals = f"{org}/auth_security_principals"
    yield from _life(principals, {"name": "team", "type": "group"}, {"display_name": "Team"})
    principal = yield from _made("POST", principals, {"name": "other", "type": "group"})
    permission = {
        "role": {"href": f"{org}/roles/admin"},
        "auth_security_principal": {"href": principal["href"]},
    }
    viewer = {"role": {"href": f"{org}/roles/read_only"}}
    yield from _life(f"{org}/permissions", permission, viewer)
    restriction = {"name": "office", "ips": ["192.0.2.0/24"]}
    yield from _life(f"{org}/access_restrictions", restriction, {"description": "walked"})
    yield "DELETE", user["href"], None
    key = yield from _made("POST", f"{me}/api_keys", {"name": "one"})
    yield "DELETE", key["href"], None
    key = yield from _made("POST", f"{me}/api_keys", {"name": "two"})
    yield "DELETE", f"{org}/api_keys/{key['key_id']}", None
    account = yield from _made("POST", f"{org}/service_accounts", {"name": "script"})
    yield "PUT", account["href"], {"description": "of the night"}
    key = yield from _made("POST", f"{account['href']}/api_keys", {})
    yield "DELETE", key["href"], None
    yield "DELETE", account["href"], None
    yield "PUT", f"{me}/logout", {}
    yield "PUT", "/authentication_settings", {"session_timeout_minutes": 20}
    yield "PUT", "/authentication_settings/password_policy", {"min_length": 10}


def _objects(org: str) -> Calls:
    yield from _life(f"{org}/labels", {"key": "role", "value": "walk"}, {"value": "walked"})
    dimension = {"key": "tier", "display_name": "Tier"}
    yield from _life(f"{org}/label_dimensions", dimension, {"display_name": "Tiers"})
    yield from _label_mapping(org)
    principal = {"sid": "S-1-5-21-1", "name": "ops"}
    yield from _life(f"{org}/security_principals", principal, {"name": "operations"})
    bulk = [{"sid": "S-1-5-21-2", "name": "dev"}]
    yield "PUT", f"{org}/security_principals/bulk_create", bulk
    flaw = {"reference_id": "q-1", "name": "flaw", "score": 50}
    yield "POST", f"{org}/vulnerabilities", [flaw]
    yield "PUT", f"{org}/vulnerabilities/q-1", {"score": 60}
    yield "DELETE", f"{org}/vulnerabilities/q-1", None
    report = {"reference_id": "r-1", "name": "scan", "report_type": "qualys"}
    yield from _life(f"{org}/vulnerability_reports", report, {"name": "scanned"})
    cluster = yield from _made("POST", f"{org}/container_clusters", {"name": "kube"})
    yield "PUT", cluster["href"], {"description": "walked"}
    profiles = f"{cluster['href']}/container_workload_profiles"
    yield from _life(profiles, {"name": "p"}, {"description": "walked"})
    yield "DELETE", cluster["href"], None
    profile = yield from _made("POST", f"{org}/pairing_profiles", {"name": "p", "enabled": True})
    yield "PUT", profile["href"], {"description": "walked"}
    yield "POST", f"{profile['href']}/pairing_key", {}
    yield "DELETE", f"{profile['href']}/pairing_keys", None
    yield "DELETE", profile["href"], None
    order = {
        "report_template": {"href": f"{org}/report_templates/rule_hit_count_report"},
        "report_parameters": {"report_time_range": {"last_num_days": 1}},
    }
    hits = yield from _made("POST", f"{org}/reports", order)
    yield "DELETE", hits["href"], None
    weekly = {**order, "report_generation_frequency": "weekly"}
    yield from _life(f"{org}/report_schedules", weekly, {"enabled": False})
    yield "POST", f"{org}/agents/bulk_traffic_flows", b"10.0.0.1,10.0.0.2,443,6\n"


def _label_mapping(org: str) -> Calls:
    rules = f"{org}/label_mapping_rules"
    label = yield from _made("POST", f"{org}/labels", {"key": "loc", "value": "mapped"})
    condition = {"property": "hostname", "operator": "equals", "values": ["mapped"]}
    body = {"expression": condition, "label_assignments": [{"label": {"href": label["href"]}}]}
    yield from _life(rules, body, {"enabled": False})
    first = yield from _made("POST", rules, body)
    second = yield from _made("POST", rules, body)
    yield "PUT", f"{second['href']}/reorder", {"position": 1}
    yield "PUT", f"{rules}/update", [{"href": second["href"], "enabled": False}]
    yield "PUT", f"{rules}/delete", [{"href": second["href"]}]
    workload = yield from _made("POST", f"{org}/workloads", {"hostname": "mapped"})
    run = yield from _made("POST", f"{rules}/run", {"workloads": [{"href": workload["href"]}]})
    run_by_the_worker(run["href"])
    yield "PUT", f"{run['href']}/assign_labels", {}
    yield "DELETE", first["href"], None


def run_by_the_worker(href: str) -> None:
    """What the worker of the queue does with a run of label mapping rules."""
    _, _, org_id, _, _, run_id = href.split("/")
    run_label_mapping(OrgId(int(org_id)), run_id, wiring(), time.time)


def _hosts(org: str, vens: Sequence[PairedVen]) -> Calls:
    workloads = f"{org}/workloads"
    interface = {"name": "eth0", "address": "192.0.2.7"}
    workload = yield from _made("POST", workloads, {"name": "w"})
    yield "PUT", workload["href"], {"description": "walked"}
    yield "POST", f"{workload['href']}/interfaces", interface
    yield "PUT", f"{workload['href']}/interfaces/eth0", {"address": "192.0.2.8"}
    yield "DELETE", f"{workload['href']}/interfaces/eth0", None
    yield "DELETE", workload["href"], None
    [result] = yield from _made("PUT", f"{workloads}/bulk_create", [{"name": "b"}])
    one = {"href": result["href"]}
    yield "PUT", f"{workloads}/bulk_import", [{"name": "imported"}]
    yield "PUT", f"{workloads}/bulk_update", [{**one, "description": "walked"}]
    yield "PUT", f"{workloads}/bulk_delete", [one]
    first, second, third = vens
    yield "PUT", first.href, {"description": "walked"}
    paired = yield from _made("GET", first.workload_href, None)
    agent = paired["agent"]["href"]
    yield "PUT", agent, {"agent": {"config": {"mode": "enforced", "log_traffic": True}}}
    yield "PUT", f"{agent}/update", {"name": "walked"}
    paired_vens = {"vens": [{"href": first.href}]}
    yield "PUT", f"{org}/vens/upgrade", {**paired_vens, "release": "25.2.0"}
    yield "POST", f"{first.workload_href}/upgrade", {"release": "25.2.0"}
    yield "PUT", f"{org}/vens/authentication_recovery", paired_vens
    yield "PUT", f"{org}/vens/remote_action", {**paired_vens, "action": "restart"}
    often = {"workloads": [{"href": first.workload_href}]}
    yield "POST", f"{workloads}/set_flow_reporting_frequency", often
    yield "POST", f"{first.href}/maintenance_token", {"expires_in_seconds": 600}
    request = yield from _made("POST", f"{org}/support_bundle_requests", paired_vens)
    yield "DELETE", request["href"], None
    yield "PUT", f"{org}/software/ven/releases/default", {"release": "25.1.9"}
    yield "DELETE", f"{org}/software/ven/releases/25.2.0", None
    yield "PUT", f"{org}/software/ven/releases/25.2.0", {}
    yield "PUT", f"{org}/vens/unpair", {"vens": [{"href": second.href}]}
    yield "PUT", f"{workloads}/unpair", {"workloads": [{"href": third.workload_href}]}


def _policy(org: str) -> Calls:
    draft = f"{org}/sec_policy/draft"
    changed = {"description": "walked"}
    group = {"name": "g", "key": "role", "labels": []}
    yield from _life(f"{draft}/label_groups", group, changed)
    addresses = {"name": "l", "ip_ranges": [{"from_ip": "192.0.2.0/24"}]}
    yield from _life(f"{draft}/ip_lists", addresses, changed)
    web = {"name": "web", "service_ports": [{"proto": 6, "port": 443}]}
    yield from _life(f"{draft}/services", web, changed)
    everybody = [{"actors": "ams"}]
    ports = {"ingress_services": [{"proto": 6, "port": 443}]}
    rule = {"providers": everybody, "consumers": everybody, **ports}
    boundary = {"name": "b", **rule}
    yield from _life(f"{draft}/enforcement_boundaries", boundary, {"name": "walked"})
    rules = yield from _made("POST", f"{draft}/rule_sets", {"name": "r", "scopes": [[]]})
    yield "PUT", rules["href"], changed
    yield from _life(f"{rules['href']}/sec_rules", rule, changed)
    yield from _life(f"{rules['href']}/deny_rules", rule, changed)
    yield "DELETE", rules["href"], None
    service = {"name": "v", "service_ports": [{"proto": 6, "port": 443}]}
    yield from _life(f"{draft}/virtual_services", service, changed)
    virtual = f"{draft}/virtual_services"
    [result] = yield from _made("PUT", f"{virtual}/bulk_create", [{**service, "name": "b"}])
    one = {"href": result["href"]}
    yield "PUT", f"{virtual}/bulk_update", [{**one, **changed}]
    yield "PUT", f"{virtual}/bulk_delete", [one]
    yield "PUT", f"{draft}/firewall_settings", {"allow_dhcp_client": False}
    bound = yield from _made("POST", virtual, {**service, "name": "bound"})
    yield "POST", f"{org}/sec_policy", {}
    active = {"href": bound["href"].replace("/draft/", "/active/")}
    workload = yield from _made("POST", f"{org}/workloads", {"name": "bound"})
    binding = {"virtual_service": active, "workload": {"href": workload["href"]}}
    made = yield from _made("POST", f"{org}/service_bindings", [binding])
    yield "DELETE", made[0]["href"], None
    yield "PUT", bound["href"], changed
    yield "PUT", f"{org}/sec_policy/delete", [{"href": bound["href"]}]
    yield "PUT", bound["href"], changed
    yield "DELETE", f"{org}/sec_policy/pending", None
    yield "POST", f"{org}/sec_policy/1/restore", {}


def _servers(org: str) -> Calls:
    changed = {"description": "walked"}
    balancer = {"name": "lb", "devices": [{"config": {"host": "192.0.2.10"}}]}
    yield from _life(f"{org}/slbs", balancer, changed)
    found = {"name": "vip", "vip_address": "192.0.2.80", "vip_port": 443}
    discovered = yield from _made("POST", f"{org}/discovered_virtual_servers", found)
    server = {"name": "v", "discovered_virtual_server": {"href": discovered["href"]}}
    yield from _life(f"{org}/sec_policy/draft/virtual_servers", server, changed)
    yield "PUT", discovered["href"], changed
    yield "DELETE", discovered["href"], None
    nodes, devices = f"{org}/network_enforcement_nodes", f"{org}/network_devices"
    node = yield from _made("POST", nodes, {"name": "nen"})
    yield "PUT", node["href"], changed
    switch = {"name": "s", "network_enforcement_node": {"href": node["href"]}}
    yield from _life(devices, switch, changed)
    device = yield from _made("POST", f"{node['href']}/network_devices", {"name": "switch"})
    port = {"config": {"name": "GigabitEthernet1/0/1", "endpoint_type": "switch_port"}}
    yield from _life(
        f"{device['href']}/network_endpoints", port, {"config": {"traffic_flow_id": "7"}}
    )
    for what in ("request", "applied"):
        yield "POST", f"{device['href']}/enforcement_instructions_{what}", {}
        many = {"network_devices": [{"href": device["href"]}]}
        yield "POST", f"{devices}/multi_enforcement_instructions_{what}", many
    yield "DELETE", device["href"], None
    yield "DELETE", node["href"], None


def _settings(org: str) -> Calls:
    settings = f"{org}/settings"
    yield "PUT", settings, {"max_explorer_query_timespan_days": 30}
    timer = [{"scope": [], "value": 7200, "ven_type": "server"}]
    yield "PUT", f"{settings}/workloads", {"workload_disconnected_timeout_seconds": timer}
    yield "PUT", f"{settings}/events", {"format": "CEF"}
    yield "PUT", f"{settings}/reports", {"max_queued_reports": 7}
    yield "PUT", f"{settings}/trusted_proxy_ips", {"trusted_proxy_ips": ["192.0.2.1"]}
    yield "PUT", f"{org}/optional_features", [{"name": "lightning_default", "enabled": False}]
    collector = {"transmission": "broadcast", "action": "drop", "target": {"proto": 17}}
    yield from _life(f"{settings}/traffic_collector", collector, {"target": {"proto": 6}})
    remote = {"address": "192.0.2.9", "port": 514, "protocol": 17, "tls_enabled": False}
    destination = {"pce_scope": ["x"], "type": "remote_syslog", "remote_syslog": remote}
    other = {"remote_syslog": {**remote, "port": 515}}
    yield from _life(f"{settings}/syslog/destinations", destination, other)


def made_by(calls: Calls, call: Callable[[str, str, Any], Answer]) -> None:
    """Make every call, and send its answer back."""
    answer = call(*next(calls))
    while True:
        try:
            following = calls.send(answer)
        except StopIteration:
            return
        answer = call(*following)
