"""Every method and path that a public client is known to call, as plain data.

One line a path: its methods, then the path behind ``/api/v2`` with ``{org}`` for ``/orgs/N``,
``{pv}`` for ``sec_policy/`` and a policy version, and ``*`` for an id.
"""

ROOT = """
GET /health
GET /product_version
GET /node_available
GET /noop
GET /system_events
POST /login_users/authenticate
GET /users/login
GET /users
GET /users/*
GET,POST /users/*/api_keys
GET,DELETE /users/*/api_keys/*
GET,PUT /authentication_settings
GET,PUT /authentication_settings/password_policy
GET /authentication_settings/ldap_configs
GET /authentication_settings/saml_configs
"""

UNVERSIONED = """
GET {org}/health
GET,PUT {org}/settings
GET,PUT {org}/settings/workloads
GET,PUT {org}/settings/events
GET,POST {org}/settings/syslog/destinations
GET,PUT,DELETE {org}/settings/syslog/destinations/*
GET,POST {org}/settings/traffic_collector
GET,PUT,DELETE {org}/settings/traffic_collector/*
GET,PUT {org}/settings/reports
GET,PUT {org}/settings/trusted_proxy_ips
GET,PUT {org}/optional_features
GET,POST {org}/labels
GET,PUT,DELETE {org}/labels/*
GET,POST {org}/label_dimensions
GET,PUT,DELETE {org}/label_dimensions/*
GET,POST {org}/workloads
GET,PUT,DELETE {org}/workloads/*
PUT {org}/workloads/bulk_create
PUT {org}/workloads/bulk_update
PUT {org}/workloads/bulk_delete
PUT {org}/workloads/bulk_import
PUT {org}/workloads/unpair
POST {org}/workloads/*/upgrade
POST {org}/workloads/set_flow_reporting_frequency
GET,POST {org}/workloads/*/interfaces
GET,DELETE {org}/workloads/*/interfaces/*
GET {org}/workloads/*/risk_details
GET {org}/workloads/*/processes
GET {org}/container_workloads
GET {org}/vens
GET,PUT {org}/vens/*
PUT {org}/vens/unpair
PUT {org}/vens/upgrade
PUT {org}/vens/remote_action
PUT {org}/vens/authentication_recovery
POST {org}/vens/statistics
GET {org}/vens/*/compatibility_report
GET {org}/agents/*/compatibility_report
PUT {org}/agents/*
PUT {org}/agents/*/update
POST {org}/agents/bulk_traffic_flows
GET,POST {org}/pairing_profiles
GET,PUT,DELETE {org}/pairing_profiles/*
POST {org}/pairing_profiles/*/pairing_key
DELETE {org}/pairing_profiles/*/pairing_keys
GET,POST {org}/container_clusters
GET,PUT,DELETE {org}/container_clusters/*
GET,POST {org}/container_clusters/*/container_workload_profiles
GET,PUT,DELETE {org}/container_clusters/*/container_workload_profiles/*
GET {org}/container_clusters/*/service_backends
GET,POST {org}/service_bindings
GET,DELETE {org}/service_bindings/*
GET,POST {org}/security_principals
PUT {org}/security_principals/bulk_create
GET,PUT,DELETE {org}/security_principals/*
GET {org}/networks
GET {org}/events
GET {org}/events/*
GET {org}/jobs
GET {org}/jobs/*
GET {org}/datafiles/*
GET,POST {org}/traffic_flows/async_queries
GET,PUT,DELETE {org}/traffic_flows/async_queries/*
GET {org}/traffic_flows/async_queries/*/download
PUT {org}/traffic_flows/async_queries/*/update_rules
POST {org}/traffic_flows/traffic_analysis_queries
GET {org}/traffic_flows/database_metrics
GET {org}/app_group_summary
GET {org}/app_groups/risk_summary
GET {org}/app_groups/*/risk_details
GET,POST {org}/permissions
GET,PUT,DELETE {org}/permissions/*
GET {org}/roles
GET {org}/roles/*
GET,POST {org}/auth_security_principals
GET,PUT,DELETE {org}/auth_security_principals/*
GET {org}/api_keys
GET,DELETE {org}/api_keys/*
GET,POST {org}/service_accounts
GET,DELETE {org}/service_accounts/*
POST {org}/service_accounts/*/api_keys
DELETE {org}/service_accounts/*/api_keys/*
GET,POST {org}/access_restrictions
GET,PUT,DELETE {org}/access_restrictions/*
GET,POST {org}/vulnerabilities
GET,PUT {org}/vulnerabilities/*
GET {org}/vulnerability_reports
GET,PUT {org}/vulnerability_reports/*
GET,POST {org}/network_enforcement_nodes
GET,PUT,DELETE {org}/network_enforcement_nodes/*
GET,POST {org}/network_enforcement_nodes/*/network_devices
GET,POST {org}/network_devices
GET,PUT,DELETE {org}/network_devices/*
GET,POST {org}/network_devices/*/network_endpoints
GET,PUT,DELETE {org}/network_devices/*/network_endpoints/*
POST {org}/network_devices/*/enforcement_instructions_request
POST {org}/network_devices/*/enforcement_instructions_applied
POST {org}/network_devices/multi_enforcement_instructions_request
POST {org}/network_devices/multi_enforcement_instructions_applied
GET,POST {org}/reports
GET {org}/reports/*
GET {org}/reports/*/download
GET {org}/reports/risk_summary
GET,POST {org}/report_schedules
GET,PUT,DELETE {org}/report_schedules/*
GET {org}/report_templates
GET,POST {org}/support_bundle_requests
GET,DELETE {org}/support_bundle_requests/*
GET,POST {org}/label_mapping_rules
GET,PUT,DELETE {org}/label_mapping_rules/*
PUT {org}/label_mapping_rules/*/reorder
POST {org}/label_mapping_rules/run
GET {org}/core_service_types
GET {org}/detected_core_services
GET {org}/detected_core_services_summary
GET {org}/kubernetes_workloads
GET,POST {org}/slbs
GET,PUT,DELETE {org}/slbs/*
GET {org}/discovered_virtual_servers
GET {org}/discovered_virtual_servers/*
GET {org}/software/ven/releases
GET,PUT,DELETE {org}/software/ven/releases/*
PUT {org}/software/ven/releases/default
GET {org}/software/ven/releases/*/images
"""

POLICY = """
GET,POST {org}/sec_policy
GET {org}/sec_policy/7
GET,DELETE {org}/sec_policy/pending
PUT {org}/sec_policy/delete
POST {org}/sec_policy/impact
POST {org}/sec_policy/7/restore
POST {org}/sec_policy/draft/dependencies
GET {pv}/modified_objects
GET {pv}/policy_check
GET {pv}/allow
GET {pv}/policy_view
POST {pv}/rule_search
POST {pv}/rule_coverage
GET {pv}/label_groups/*/member_of
GET {pv}/label_groups/*/all_labels
GET {pv}/firewall_settings
GET {pv}/secure_connect_gateways
"""

POLICY_OBJECTS = (
    *("ip_lists", "services", "rule_sets", "label_groups", "virtual_services", "virtual_servers"),
    *("enforcement_boundaries", "rule_sets/*/sec_rules", "rule_sets/*/deny_rules"),
)
"""Collections of a policy version: read in each, written in the draft."""


def endpoints() -> list[tuple[str, str]]:
    """Method and path of each, ids filled in."""
    found: list[tuple[str, str]] = []
    lines = [*ROOT.split("\n"), *UNVERSIONED.split("\n"), *POLICY.split("\n")]
    for line in filter(None, lines):
        methods, path = line.split(" ")
        found += [(method, path) for method in methods.split(",")]
    for name in POLICY_OBJECTS:
        draft = f"{{org}}/sec_policy/draft/{name}"
        found += [("GET", f"{{pv}}/{name}"), ("GET", f"{{pv}}/{name}/*"), ("POST", draft)]
        found += [("PUT", f"{draft}/*"), ("DELETE", f"{draft}/*")]
    for verb in ("create", "update", "delete"):
        found.append(("PUT", f"{{org}}/sec_policy/draft/virtual_services/bulk_{verb}"))
    found.append(("PUT", "{org}/sec_policy/draft/firewall_settings"))
    versions = ("draft", "active", "7")
    return [
        (method, path.replace("{pv}", f"{{org}}/sec_policy/{version}").replace("{org}", "/orgs/1"))
        for method, path in found
        for version in (versions if "{pv}" in path else versions[:1])
    ]
