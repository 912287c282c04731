"""Who may use each endpoint of the management API: one table, path and method to right.

This is the page of the security review, beside ``infra/functions.py``. An endpoint of
``api_routes.py`` without a row here is refused to everybody, and a test names it.

A scoped role that is let in here is held to its scope where objects are written:
``usecases/check_scope.py``, and ``usecases/provision.py`` for what may be made active.
"""

from collections.abc import Mapping

from pce.access.roles import (
    ADMIN,
    LIMITED_RULESET_MANAGER,
    OBJECT_PROVISIONER,
    OWNER,
    ROLES,
    RULESET_MANAGER,
    RULESET_PROVISIONER,
    RULESET_VIEWER,
    VIEWER,
    WORKLOAD_MANAGER,
    Right,
)

ANYBODY = Right(frozenset(), anybody=True)
"""Everybody with good credentials, roles or not: what is no org's object."""
SELF = Right(frozenset(), self_too=True)
"""The user whom the path names, and nobody else: a key acts in its owner's name."""
RULE_READERS = Right(frozenset(ROLES))
"""Everybody with a role, for rules and what they are made of; ruleset viewers see the rule sets of
their scopes (``usecases/read_objects.py``)."""
READERS = Right(RULE_READERS.roles - {RULESET_VIEWER})
"""Everybody else with a role: scoped ones see what lies around their scope."""
AUDITORS = Right(frozenset({OWNER, ADMIN, VIEWER}))
"""Who sees people and what they did."""
AUDITORS_AND_SELF = Right(AUDITORS.roles, self_too=True)
OWNERS = Right(frozenset({OWNER}))
"""People, permissions and settings of the organization."""
OWNERS_AND_SELF = Right(OWNERS.roles, self_too=True)
ADMINS = Right(frozenset({OWNER, ADMIN}))
"""All that is policy, and all that policy is made of."""
RULESET_EDITORS = Right(ADMINS.roles | {RULESET_MANAGER, LIMITED_RULESET_MANAGER})
WORKLOAD_EDITORS = Right(ADMINS.roles | {WORKLOAD_MANAGER})
SECURITY_EDITORS = Right(ADMINS.roles | {OBJECT_PROVISIONER})
PROVISIONERS = Right(ADMINS.roles | {OBJECT_PROVISIONER, RULESET_PROVISIONER})
NOBODY = Right(frozenset())

_O = "/orgs/{org}"
_ANY = f"{_O}/sec_policy/{{version}}"
_DRAFT = f"{_O}/sec_policy/draft"
_RULES = "rule_sets/{rule_set}"
_CLUSTER = f"{_O}/container_clusters/{{cluster}}"
_DEVICE = f"{_O}/network_devices/{{device}}"
_QUERIES = f"{_O}/traffic_flows/async_queries"

ACCESS: Mapping[str, Mapping[str, Right]] = {
    # The PCE itself
    "/health": {"GET": ANYBODY},
    f"{_O}/health": {"GET": RULE_READERS},
    "/product_version": {"GET": ANYBODY},
    "/system_events": {"GET": ANYBODY},
    # People and their keys
    "/login_users/authenticate": {"POST": ANYBODY},
    "/users/login": {"GET": ANYBODY},
    "/login_users/accept_invitation": {"POST": ANYBODY},
    "/login_users/users/{id}/password": {"PUT": SELF},
    "/users": {"GET": AUDITORS, "POST": OWNERS},
    "/users/{id}": {"GET": AUDITORS_AND_SELF, "PUT": OWNERS_AND_SELF, "DELETE": OWNERS},
    "/users/{id}/logout": {"PUT": SELF},
    "/users/{id}/local_profile/reinvite": {"PUT": OWNERS},
    "/users/{id}/api_keys": {"GET": AUDITORS_AND_SELF, "POST": SELF},
    "/users/{id}/api_keys/{key}": {"GET": AUDITORS_AND_SELF, "DELETE": OWNERS_AND_SELF},
    f"{_O}/api_keys": {"GET": AUDITORS},
    f"{_O}/api_keys/{{id}}": {"GET": AUDITORS, "DELETE": OWNERS},
    f"{_O}/service_accounts": {"GET": AUDITORS, "POST": OWNERS},
    f"{_O}/service_accounts/{{id}}": {"GET": AUDITORS, "PUT": OWNERS, "DELETE": OWNERS},
    f"{_O}/service_accounts/{{id}}/api_keys": {"GET": AUDITORS, "POST": OWNERS},
    f"{_O}/service_accounts/{{id}}/api_keys/{{key}}": {"DELETE": OWNERS},
    "/authentication_settings": {"GET": AUDITORS, "PUT": OWNERS},
    "/authentication_settings/password_policy": {"GET": RULE_READERS, "PUT": OWNERS},
    "/authentication_settings/ldap_configs": {"GET": AUDITORS, "POST": OWNERS},
    "/authentication_settings/saml_configs": {"GET": AUDITORS, "POST": OWNERS},
    f"{_O}/access_restrictions": {"GET": AUDITORS, "POST": OWNERS},
    f"{_O}/access_restrictions/{{id}}": {"GET": AUDITORS, "PUT": OWNERS, "DELETE": OWNERS},
    f"{_O}/roles": {"GET": AUDITORS},
    f"{_O}/roles/{{id}}": {"GET": AUDITORS},
    f"{_O}/permissions": {"GET": AUDITORS, "POST": OWNERS},
    f"{_O}/permissions/{{id}}": {"GET": AUDITORS, "PUT": OWNERS, "DELETE": OWNERS},
    f"{_O}/auth_security_principals": {"GET": AUDITORS, "POST": OWNERS},
    f"{_O}/auth_security_principals/{{id}}": {"GET": AUDITORS, "PUT": OWNERS, "DELETE": OWNERS},
    # Labels
    f"{_O}/labels": {"GET": RULE_READERS, "POST": ADMINS},
    f"{_O}/labels/{{id}}": {"GET": RULE_READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/label_dimensions": {"GET": RULE_READERS, "POST": ADMINS},
    f"{_O}/label_dimensions/{{id}}": {"GET": RULE_READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/label_mapping_rules": {"GET": READERS, "POST": ADMINS},
    f"{_O}/label_mapping_rules/update": {"PUT": ADMINS},
    f"{_O}/label_mapping_rules/delete": {"PUT": ADMINS},
    f"{_O}/label_mapping_rules/run": {"POST": ADMINS},
    f"{_O}/label_mapping_rules/run/{{id}}": {"GET": AUDITORS},
    f"{_O}/label_mapping_rules/run/{{id}}/download": {"GET": AUDITORS},
    f"{_O}/label_mapping_rules/run/{{id}}/assign_labels": {"PUT": ADMINS},
    f"{_O}/label_mapping_rules/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/label_mapping_rules/{{id}}/reorder": {"PUT": ADMINS},
    # Workloads and VENs
    f"{_O}/workloads": {"GET": READERS, "POST": WORKLOAD_EDITORS},
    f"{_O}/workloads/bulk_create": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/workloads/bulk_update": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/workloads/bulk_delete": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/workloads/bulk_import": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/workloads/unpair": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/workloads/apply_policy": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/workloads/set_flow_reporting_frequency": {"POST": WORKLOAD_EDITORS},
    f"{_O}/workloads/{{id}}": {
        "GET": READERS,
        "PUT": WORKLOAD_EDITORS,
        "DELETE": WORKLOAD_EDITORS,
    },
    f"{_O}/workloads/{{id}}/interfaces": {"GET": READERS, "POST": WORKLOAD_EDITORS},
    f"{_O}/workloads/{{id}}/interfaces/{{name}}": {
        "GET": READERS,
        "PUT": WORKLOAD_EDITORS,
        "DELETE": WORKLOAD_EDITORS,
    },
    f"{_O}/workloads/{{id}}/processes": {"GET": READERS},
    f"{_O}/workloads/{{id}}/risk_details": {"GET": READERS},
    f"{_O}/agents/{{id}}": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/agents/{{id}}/update": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/agents/{{id}}/compatibility_report": {"GET": READERS},
    f"{_O}/vens": {"GET": READERS},
    f"{_O}/vens/unpair": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/vens/upgrade": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/vens/remote_action": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/vens/authentication_recovery": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/vens/clear_conditions": {"PUT": WORKLOAD_EDITORS},
    f"{_O}/vens/statistics": {"POST": READERS},
    f"{_O}/vens/{{id}}/maintenance_token": {"POST": WORKLOAD_EDITORS},
    f"{_O}/workloads/{{id}}/upgrade": {"POST": WORKLOAD_EDITORS},
    f"{_O}/vens/{{id}}": {"GET": READERS, "PUT": WORKLOAD_EDITORS},
    f"{_O}/vens/{{id}}/compatibility_report": {"GET": READERS},
    f"{_O}/support_bundle_requests": {"GET": AUDITORS, "POST": WORKLOAD_EDITORS},
    f"{_O}/support_bundle_requests/{{id}}": {"GET": AUDITORS, "DELETE": WORKLOAD_EDITORS},
    f"{_O}/support_reports": {"GET": AUDITORS},
    f"{_O}/support_reports/{{id}}": {"GET": AUDITORS},
    f"{_O}/support_reports/{{id}}/download": {"GET": AUDITORS},
    f"{_O}/software/ven/releases": {"GET": READERS},
    f"{_O}/software/ven/releases/default": {"PUT": ADMINS},
    f"{_O}/software/ven/releases/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/software/ven/releases/{{id}}/images": {"GET": READERS},
    f"{_O}/networks": {"GET": READERS},
    f"{_O}/networks/{{id}}": {"GET": READERS},
    f"{_O}/security_principals": {"GET": RULE_READERS, "POST": ADMINS},
    f"{_O}/security_principals/bulk_create": {"PUT": ADMINS},
    f"{_O}/security_principals/{{id}}": {"GET": RULE_READERS, "PUT": ADMINS, "DELETE": ADMINS},
    # Scanners
    f"{_O}/vulnerabilities": {"GET": READERS, "POST": ADMINS},
    f"{_O}/vulnerabilities/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/vulnerability_reports": {"GET": READERS, "POST": ADMINS},
    f"{_O}/vulnerability_reports/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    # Pairing
    f"{_O}/pairing_profiles": {"GET": READERS, "POST": WORKLOAD_EDITORS},
    f"{_O}/pairing_profiles/{{id}}": {
        "GET": READERS,
        "PUT": WORKLOAD_EDITORS,
        "DELETE": WORKLOAD_EDITORS,
    },
    f"{_O}/pairing_profiles/{{id}}/pairing_key": {"POST": WORKLOAD_EDITORS},
    f"{_O}/pairing_profiles/{{id}}/pairing_keys": {"DELETE": WORKLOAD_EDITORS},
    # Security policy: versions and provisioning
    f"{_O}/sec_policy": {"GET": RULE_READERS, "POST": PROVISIONERS},
    f"{_O}/sec_policy/pending": {"GET": READERS, "DELETE": RULESET_EDITORS},
    f"{_O}/sec_policy/delete": {"PUT": RULESET_EDITORS},
    f"{_DRAFT}/dependencies": {"POST": READERS},
    f"{_O}/sec_policy/{{number}}": {"GET": RULE_READERS},
    f"{_O}/sec_policy/{{number}}/restore": {"POST": ADMINS},
    f"{_ANY}/modified_objects": {"GET": READERS},
    # Security policy: questions
    f"{_O}/sec_policy/explain": {"GET": READERS},
    f"{_ANY}/explain": {"GET": READERS},
    f"{_ANY}/allow": {"GET": READERS},
    f"{_ANY}/policy_check": {"GET": READERS},
    f"{_ANY}/rule_coverage": {"POST": READERS},
    f"{_ANY}/rule_search": {"POST": READERS},
    f"{_ANY}/policy_view": {"GET": READERS},
    f"{_O}/sec_policy/impact": {"POST": READERS},
    # Security policy: objects
    f"{_ANY}/label_groups": {"GET": RULE_READERS},
    f"{_DRAFT}/label_groups": {"POST": ADMINS},
    f"{_ANY}/label_groups/{{id}}": {"GET": RULE_READERS},
    f"{_DRAFT}/label_groups/{{id}}": {"PUT": ADMINS, "DELETE": ADMINS},
    f"{_ANY}/label_groups/{{id}}/member_of": {"GET": RULE_READERS},
    f"{_ANY}/label_groups/{{id}}/all_labels": {"GET": RULE_READERS},
    f"{_ANY}/ip_lists": {"GET": RULE_READERS},
    f"{_DRAFT}/ip_lists": {"POST": ADMINS},
    f"{_ANY}/ip_lists/{{id}}": {"GET": RULE_READERS},
    f"{_DRAFT}/ip_lists/{{id}}": {"PUT": ADMINS, "DELETE": ADMINS},
    f"{_ANY}/services": {"GET": RULE_READERS},
    f"{_DRAFT}/services": {"POST": ADMINS},
    f"{_ANY}/services/{{id}}": {"GET": RULE_READERS},
    f"{_DRAFT}/services/{{id}}": {"PUT": ADMINS, "DELETE": ADMINS},
    f"{_ANY}/rule_sets": {"GET": RULE_READERS},
    f"{_DRAFT}/rule_sets": {"POST": RULESET_EDITORS},
    f"{_ANY}/rule_sets/{{id}}": {"GET": RULE_READERS},
    f"{_DRAFT}/rule_sets/{{id}}": {"PUT": RULESET_EDITORS, "DELETE": RULESET_EDITORS},
    f"{_ANY}/{_RULES}/sec_rules": {"GET": RULE_READERS},
    f"{_DRAFT}/{_RULES}/sec_rules": {"POST": RULESET_EDITORS},
    f"{_ANY}/{_RULES}/sec_rules/{{id}}": {"GET": RULE_READERS},
    f"{_DRAFT}/{_RULES}/sec_rules/{{id}}": {"PUT": RULESET_EDITORS, "DELETE": RULESET_EDITORS},
    f"{_ANY}/{_RULES}/deny_rules": {"GET": RULE_READERS},
    f"{_DRAFT}/{_RULES}/deny_rules": {"POST": RULESET_EDITORS},
    f"{_ANY}/{_RULES}/deny_rules/{{id}}": {"GET": RULE_READERS},
    f"{_DRAFT}/{_RULES}/deny_rules/{{id}}": {"PUT": RULESET_EDITORS, "DELETE": RULESET_EDITORS},
    f"{_ANY}/enforcement_boundaries": {"GET": READERS},
    f"{_DRAFT}/enforcement_boundaries": {"POST": ADMINS},
    f"{_ANY}/enforcement_boundaries/{{id}}": {"GET": READERS},
    f"{_DRAFT}/enforcement_boundaries/{{id}}": {"PUT": ADMINS, "DELETE": ADMINS},
    f"{_ANY}/firewall_settings": {"GET": READERS},
    f"{_DRAFT}/firewall_settings": {"PUT": SECURITY_EDITORS},
    f"{_ANY}/virtual_services": {"GET": RULE_READERS},
    f"{_DRAFT}/virtual_services": {"POST": ADMINS},
    f"{_DRAFT}/virtual_services/bulk_create": {"PUT": ADMINS},
    f"{_DRAFT}/virtual_services/bulk_update": {"PUT": ADMINS},
    f"{_DRAFT}/virtual_services/bulk_delete": {"PUT": ADMINS},
    f"{_ANY}/virtual_services/{{id}}": {"GET": RULE_READERS},
    f"{_DRAFT}/virtual_services/{{id}}": {"PUT": ADMINS, "DELETE": ADMINS},
    f"{_ANY}/virtual_servers": {"GET": READERS},
    f"{_DRAFT}/virtual_servers": {"POST": ADMINS},
    f"{_ANY}/virtual_servers/{{id}}": {"GET": READERS},
    f"{_DRAFT}/virtual_servers/{{id}}": {"PUT": ADMINS, "DELETE": ADMINS},
    # Load balancers and switches, and the nodes that speak with them
    f"{_O}/network_enforcement_nodes": {"GET": READERS, "POST": ADMINS},
    f"{_O}/network_enforcement_nodes/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/network_enforcement_nodes/{{node}}/network_devices": {"GET": READERS, "POST": ADMINS},
    f"{_O}/slbs": {"GET": READERS, "POST": ADMINS},
    f"{_O}/slbs/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/discovered_virtual_servers": {"GET": READERS, "POST": ADMINS},
    f"{_O}/discovered_virtual_servers/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/network_devices": {"GET": READERS, "POST": ADMINS},
    f"{_O}/network_devices/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/network_devices/multi_enforcement_instructions_request": {"POST": ADMINS},
    f"{_O}/network_devices/multi_enforcement_instructions_applied": {"POST": ADMINS},
    f"{_DEVICE}/enforcement_instructions_request": {"POST": ADMINS},
    f"{_DEVICE}/enforcement_instructions_applied": {"POST": ADMINS},
    f"{_DEVICE}/enforcement_instructions": {"GET": READERS},
    f"{_DEVICE}/network_endpoints": {"GET": READERS, "POST": ADMINS},
    f"{_DEVICE}/network_endpoints/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/network_endpoints": {"GET": READERS},
    # Service bindings and container clusters: not provisioned
    f"{_O}/service_bindings": {"GET": READERS, "POST": ADMINS},
    f"{_O}/service_bindings/{{id}}": {"GET": READERS, "DELETE": ADMINS},
    f"{_O}/container_clusters": {"GET": READERS, "POST": ADMINS},
    f"{_O}/container_clusters/{{id}}": {"GET": READERS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_CLUSTER}/container_workload_profiles": {"GET": READERS, "POST": ADMINS},
    f"{_CLUSTER}/container_workload_profiles/{{id}}": {
        "GET": READERS,
        "PUT": ADMINS,
        "DELETE": ADMINS,
    },
    f"{_CLUSTER}/service_backends": {"GET": READERS},
    f"{_O}/container_workloads": {"GET": READERS},
    f"{_O}/container_workloads/{{id}}": {"GET": READERS},
    # What clients load at their start and what this product has none of
    f"{_ANY}/secure_connect_gateways": {"GET": READERS},
    f"{_O}/core_service_types": {"GET": READERS},
    f"{_O}/detected_core_services": {"GET": READERS},
    f"{_O}/detected_core_services_summary": {"GET": READERS},
    f"{_O}/kubernetes_workloads": {"GET": READERS},
    # Traffic: everybody may ask
    f"{_O}/traffic_flows/traffic_analysis_queries": {"POST": READERS},
    f"{_O}/traffic_flows/map": {"GET": READERS},
    f"{_O}/traffic_flows/database_metrics": {"GET": READERS},
    f"{_O}/agents/bulk_traffic_flows": {"POST": ADMINS},
    _QUERIES: {"GET": READERS, "POST": READERS},
    f"{_QUERIES}/{{id}}": {"GET": READERS, "PUT": READERS, "DELETE": READERS},
    f"{_QUERIES}/{{id}}/update_rules": {"PUT": READERS},
    f"{_QUERIES}/{{id}}/download": {"GET": READERS},
    # Reports, and what is counted by application
    f"{_O}/report_templates": {"GET": READERS},
    f"{_O}/report_templates/{{id}}": {"GET": READERS},
    f"{_O}/report_schedules": {"GET": AUDITORS, "POST": ADMINS},
    f"{_O}/report_schedules/{{id}}": {"GET": AUDITORS, "PUT": ADMINS, "DELETE": ADMINS},
    f"{_O}/reports": {"GET": AUDITORS, "POST": ADMINS},
    f"{_O}/reports/risk_summary": {"GET": READERS},
    f"{_O}/reports/{{id}}": {"GET": AUDITORS, "DELETE": ADMINS},
    f"{_O}/reports/{{id}}/download": {"GET": AUDITORS},
    f"{_O}/app_group_summary": {"GET": READERS},
    f"{_O}/app_groups/risk_summary": {"GET": READERS},
    f"{_O}/app_groups/{{id}}/risk_details": {"GET": READERS},
    # Settings
    f"{_O}/settings": {"GET": READERS, "PUT": OWNERS},
    f"{_O}/settings/workloads": {"GET": READERS, "PUT": OWNERS},
    f"{_O}/settings/events": {"GET": READERS, "PUT": OWNERS},
    f"{_O}/settings/kerberos": {"GET": READERS, "PUT": OWNERS},
    f"{_O}/settings/reports": {"GET": READERS, "PUT": OWNERS},
    f"{_O}/settings/trusted_proxy_ips": {"GET": READERS, "PUT": OWNERS},
    f"{_O}/settings/traffic_collector": {"GET": READERS, "POST": OWNERS},
    f"{_O}/settings/traffic_collector/{{id}}": {"GET": READERS, "PUT": OWNERS, "DELETE": OWNERS},
    f"{_O}/optional_features": {"GET": READERS, "PUT": OWNERS},
    f"{_O}/settings/syslog/destinations": {"GET": AUDITORS, "POST": OWNERS},
    f"{_O}/settings/syslog/destinations/{{id}}": {
        "GET": AUDITORS,
        "PUT": OWNERS,
        "DELETE": OWNERS,
    },
    # Events and jobs; a job is seen by who asked for it alone
    f"{_O}/events": {"GET": AUDITORS},
    f"{_O}/events/{{id}}": {"GET": AUDITORS},
    f"{_O}/jobs": {"GET": RULE_READERS},
    f"{_O}/jobs/{{id}}": {"GET": RULE_READERS},
    f"{_O}/datafiles/{{id}}": {"GET": RULE_READERS},
}


def right_to(method: str, path: str) -> Right:
    """Who may use the endpoint at a path as ``api_routes.py`` writes it; nobody, without a row."""
    return ACCESS.get(path, {}).get(method, NOBODY)
