"""A body that creates an object, for each collection that clients fill: for people who read the
published document. A test sends each of them."""

from collections.abc import Mapping
from typing import Any

_WEB = {"ingress_services": [{"proto": 6, "port": 443}]}
_EVERYBODY = {"providers": [{"actors": "ams"}], "consumers": [{"actors": "ams"}]}

EXAMPLES: Mapping[str, Any] = {
    "labels": {"key": "role", "value": "web"},
    "label_dimensions": {"key": "tier", "display_name": "Tier"},
    "workloads": {
        "name": "web-1",
        "hostname": "web-1.example.com",
        "interfaces": [{"name": "eth0", "address": "192.0.2.7", "cidr_block": 24}],
        "enforcement_mode": "visibility_only",
    },
    "pairing_profiles": {"name": "servers", "enabled": True, "enforcement_mode": "idle"},
    "label_groups": {"name": "all tiers", "key": "role", "labels": []},
    "ip_lists": {
        "name": "offices",
        "ip_ranges": [{"from_ip": "192.0.2.0/24"}, {"from_ip": "192.0.2.9", "exclusion": True}],
    },
    "services": {"name": "https", "service_ports": [{"proto": 6, "port": 443}]},
    "rule_sets": {"name": "shop", "scopes": [[]]},
    "sec_rules": {**_EVERYBODY, **_WEB},
    "deny_rules": {**_EVERYBODY, **_WEB},
    "enforcement_boundaries": {"name": "no telnet", **_EVERYBODY, **_WEB},
    "virtual_services": {"name": "shop", "service_ports": [{"proto": 6, "port": 443}]},
    "network_enforcement_nodes": {"name": "nen-1", "hostname": "nen-1.example.com"},
    "slbs": {"name": "lb-1", "devices": [{"config": {"host": "192.0.2.10", "port": 443}}]},
    "discovered_virtual_servers": {
        "name": "shop-443",
        "vip_address": "192.0.2.80",
        "vip_port": 443,
        "vip_proto": 6,
        "local_ips": ["192.0.2.11"],
    },
    "container_clusters": {"name": "kubernetes", "description": "of the shop"},
    "container_workload_profiles": {"name": "default namespace", "managed": False},
    "security_principals": {"sid": "S-1-5-21-1004336348", "name": "operations"},
    "vulnerabilities": {"reference_id": "q-38739", "name": "weak ciphers", "score": 50},
    "traffic_collector": {
        "transmission": "broadcast",
        "action": "drop",
        "target": {"proto": 17, "dst_port": 137},
    },
    "destinations": {
        "pce_scope": ["pce.example.com"],
        "type": "remote_syslog",
        "remote_syslog": {
            "address": "192.0.2.9",
            "port": 514,
            "protocol": 17,
            "tls_enabled": False,
        },
    },
    "vulnerability_reports": {"reference_id": "scan-7", "name": "monthly scan"},
    "users": {"username": "ann@example.com", "full_name": "Ann Lee", "time_zone": "UTC"},
    "auth_security_principals": {"name": "operators", "type": "group"},
    "access_restrictions": {"name": "office", "ips": ["192.0.2.0/24"]},
    "service_accounts": {"name": "deployment", "permissions": [], "api_key": {}},
}
