"""An org with something of every kind, made through the public APIs, for clients to read."""

import ipaddress
import time
from typing import Any

from demo.operator import Operator
from tests.e2e.ven_client import VenClient
from ven_protocol.flows import FlowSummary

EVERYBODY = [{"actors": "ams"}]
WEB_PORT = [{"proto": 6, "port": 443}]

Hrefs = dict[str, str]


def stock(operator: Operator) -> Hrefs:
    """Hrefs of what was made, by a name of ours. All policy is provisioned; then drafts are
    changed, so that each ``update_type`` occurs."""
    made: Hrefs = {}
    _labels(operator, made)
    _hosts(operator, made)
    _policy(operator, made)
    _networks(operator, made)
    _access(operator, made)
    _reported(operator, made)
    operator.provision("stock")
    _bind(operator, made)
    _pending(operator, made)
    return made


def _labels(operator: Operator, made: Hrefs) -> None:
    dimension = {"key": "tier", "display_name": "Tier", "display_info": {"initial": "T"}}
    operator.create(f"{operator.org}/label_dimensions", dimension)
    for key, value in (("role", "web"), ("app", "shop"), ("env", "prod"), ("tier", "front")):
        named = {"external_data_set": "cmdb", "external_data_reference": value}
        label = operator.create(f"{operator.org}/labels", {"key": key, "value": value, **named})
        made[value] = label["href"]
    made["unused"] = operator.label("loc", "nowhere")


def _hosts(operator: Operator, made: Hrefs) -> None:
    """Two hosts with a VEN, ``a`` and ``b``, that have seen each other; ``bare`` has none."""
    vens = [VenClient.pair(operator, f"10.88.0.{number}") for number in (1, 2)]
    for name, ven in zip("ab", vens, strict=True):
        ven.heartbeat()
        made |= {name: ven.workload_href, f"VEN of {name}": ven.activated.ven_href}
    for number, direction in enumerate("OI"):
        vens[number].post_flows(0, [flow(vens[0].address, vens[1].address, direction)])
    labels = [{"href": made[value]} for value in ("web", "shop", "prod")]
    operator.update(made["a"], {"labels": labels})
    bare = {
        "name": "bare",
        "hostname": "bare.example.com",
        "public_ip": "203.0.113.9",
        "online": True,
        "interfaces": [{"name": "eth0", "address": "10.88.0.9", "cidr_block": 24}],
        "data_center": "north",
        "os_id": "debian-12",
        "labels": [{"href": made["web"]}, {"href": made["front"]}],
    }
    made["bare"] = operator.create(f"{operator.org}/workloads", bare)["href"]
    operator.delete(operator.create(f"{operator.org}/workloads", {"name": "gone"})["href"])


def flow(source: str, target: str, direction: Any) -> FlowSummary:
    """Three connections to port 443, as one of their ends reports them."""
    now = int(time.time())
    return FlowSummary(
        src_ip=ipaddress.ip_address(source).packed,
        dst_ip=ipaddress.ip_address(target).packed,
        proto=6,
        dst_port=443,
        dir=direction,
        state="C",
        pd=1,
        count=3,
        first=now - 60,
        last=now - 5,
        process="nginx",
        user="www-data",
    )


def _policy(operator: Operator, made: Hrefs) -> None:
    """One of each kind that is provisioned."""
    draft = f"{operator.org}/sec_policy/draft"

    def create(kind: str, name: str, **body: Any) -> None:
        made[name] = operator.create(f"{draft}/{kind}", {"name": name, **body})["href"]

    ranges = [{"from_ip": "10.0.0.0/8"}, {"from_ip": "10.1.0.1", "to_ip": "10.1.0.9"}]
    ranges[1]["exclusion"] = True
    create("ip_lists", "inside", ip_ranges=ranges, fqdns=[{"fqdn": "*.example.com"}])
    icmp = {"proto": 1, "icmp_type": 8, "icmp_code": 0}
    create("services", "web service", service_ports=[*WEB_PORT, icmp, {"proto": 17, "port": 53}])
    windows = [{"process_name": "w3wp.exe", "service_name": "w3svc"}]
    create("services", "windows service", windows_services=windows)
    create("label_groups", "inner group", key="role", labels=[{"href": made["web"]}])
    create("label_groups", "group", key="role", sub_groups=[{"href": made["inner group"]}])
    create("virtual_services", "shop front", service_ports=WEB_PORT, labels=[])
    create("virtual_services", "shop back", service={"href": made["web service"]})
    ends = {"providers": [{"label": {"href": made["web"]}}], "consumers": EVERYBODY}
    create("enforcement_boundaries", "boundary", ingress_services=WEB_PORT, **ends)
    scope = [
        {"label": {"href": made["shop"]}, "exclusion": False},
        {"label": {"href": made["prod"]}, "exclusion": False},
    ]
    create("rule_sets", "shop rules", scopes=[scope, scope[1:]], description="who may shop")
    rules = made["shop rules"]
    allow = {
        "enabled": True,
        "providers": [{"label_group": {"href": made["group"]}}, {"workload": {"href": made["b"]}}],
        "consumers": [{"ip_list": {"href": made["inside"]}}],
        "ingress_services": [{"href": made["web service"]}, *WEB_PORT],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "unscoped_consumers": True,
        "description": "from inside",
    }
    made["allow"] = operator.create(f"{rules}/sec_rules", allow)["href"]
    deny = {"providers": EVERYBODY, "consumers": EVERYBODY, "ingress_services": WEB_PORT}
    made["deny"] = operator.create(f"{rules}/deny_rules", deny)["href"]
    create("ip_lists", "to be deleted", ip_ranges=[{"from_ip": "192.0.2.0/24"}])


def _networks(operator: Operator, made: Hrefs) -> None:
    """A load balancer with a virtual server before ``a``, and a switch with ``bare`` behind it."""
    org = operator.org
    node = operator.create(f"{org}/network_enforcement_nodes", {"name": "node"})
    there = {"network_enforcement_node": {"href": node["href"]}}
    units = [{"config": {"host": "192.0.2.10", "port": 443}}]
    balancer = operator.create(f"{org}/slbs", {"name": "balancer", "devices": units, **there})
    found = {"name": "vip", "vip_address": "192.0.2.80", "vip_port": 443, **there}
    found |= {"local_ips": ["192.0.2.11"], "slb": {"href": balancer["href"]}}
    discovered = operator.create(f"{org}/discovered_virtual_servers", found)
    server = {
        "name": "shop server",
        "discovered_virtual_server": {"href": discovered["href"]},
        "labels": [{"href": made["shop"]}],
        "service": {"href": made["web service"]},
        "providers": [{"label": {"href": made["web"]}}],
        "mode": "enforced",
    }
    made["server"] = operator.create(f"{org}/sec_policy/draft/virtual_servers", server)["href"]
    device = {"name": "switch", "manufacturer": "Cisco", "ip_address": "192.0.2.1"}
    device = operator.create(f"{node['href']}/network_devices", device)
    made["switch"] = device["href"]
    port = {"config": {"name": "Ethernet1", "endpoint_type": "switch_port"}}
    port |= {"workloads": [{"href": made["bare"]}]}
    operator.create(f"{device['href']}/network_endpoints", port)


def _access(operator: Operator, made: Hrefs) -> None:
    """People, profiles and clusters."""
    org = operator.org
    operator.create("/users", {"username": "reader@example.com", "full_name": "A Reader"})
    principals = operator.get(f"{org}/auth_security_principals", name="reader@example.com")
    permission = {
        "role": {"href": f"{org}/roles/read_only"},
        "auth_security_principal": {"href": principals[0]["href"]},
    }
    made["permission"] = operator.create(f"{org}/permissions", permission)["href"]
    operator.create(f"{org}/service_accounts", {"name": "script"})
    office = {"name": "office", "ips": ["192.0.2.0/24"], "enforcement_exclusions": []}
    operator.create(f"{org}/access_restrictions", office)
    sid = {"sid": "S-1-5-21-7", "name": "operators"}
    made["group of people"] = operator.create(f"{org}/security_principals", sid)["href"]
    profile = {"name": "profile", "enabled": True, "labels": [{"href": made["web"]}]}
    made["profile"] = operator.create(f"{org}/pairing_profiles", profile)["href"]
    cluster = operator.create(f"{org}/container_clusters", {"name": "cluster"})
    made["cluster"] = cluster["href"]
    assign = [
        {"key": "role", "assignment": {"href": made["web"]}},
        {"key": "env", "restriction": [{"href": made["prod"]}]},
    ]
    containers = {"name": "pods", "managed": True, "labels": assign}
    operator.create(f"{cluster['href']}/container_workload_profiles", containers)


def _reported(operator: Operator, made: Hrefs) -> None:
    """What others report, and what the PCE makes of it."""
    org = operator.org
    flaw = {"reference_id": "q-1", "name": "flaw", "score": 50, "cve_ids": ["CVE-2026-0001"]}
    operator.request("POST", f"{org}/vulnerabilities", [flaw], expect=(200, 201, 204))
    found = {
        "workload": {"href": made["a"]},
        "vulnerability": {"href": f"{org}/vulnerabilities/q-1"},
    }
    found |= {"ip_address": "10.88.0.1", "port": 443, "proto": 6}
    scan = {"name": "scan", "report_type": "qualys", "detected_vulnerabilities": [found]}
    operator.request("PUT", f"{org}/vulnerability_reports/scan-1", scan, expect=(200, 201, 204))
    settings = f"{org}/settings"
    collector = {"transmission": "broadcast", "action": "drop", "target": {"proto": 17}}
    operator.create(f"{settings}/traffic_collector", collector)
    remote = {"address": "127.0.0.1", "port": 9, "protocol": 17, "tls_enabled": False}
    destination = {"pce_scope": ["x"], "type": "remote_syslog", "remote_syslog": remote}
    operator.create(f"{settings}/syslog/destinations", destination)
    operator.create(f"{org}/support_bundle_requests", {"vens": [{"href": made["VEN of a"]}]})
    report = {
        "report_template": {"href": f"{org}/report_templates/rule_hit_count_report"},
        "report_parameters": {"report_time_range": {"last_num_days": 1}},
    }
    made["report"] = operator.create(f"{org}/reports", report)["href"]
    weekly = {**report, "report_generation_frequency": "weekly"}
    operator.create(f"{org}/report_schedules", weekly)
    operator.request("GET", f"{org}/labels", expect=202, headers={"prefer": "respond-async"})


def _bind(operator: Operator, made: Hrefs) -> None:
    active = made["shop front"].replace("/draft/", "/active/")
    binding = {"virtual_service": {"href": active}, "workload": {"href": made["b"]}}
    operator.create(f"{operator.org}/service_bindings", [binding])


def _pending(operator: Operator, made: Hrefs) -> None:
    """One draft that is new, one that is changed, one that is deleted."""
    draft = f"{operator.org}/sec_policy/draft"
    new = {"name": "new", "ip_ranges": [{"from_ip": "198.51.100.0/24"}]}
    made["new"] = operator.create(f"{draft}/ip_lists", new)["href"]
    operator.update(made["inside"], {"description": "changed"})
    operator.delete(made["to be deleted"])
