"""Every endpoint of the management API: method, path, and what answers it.

Paths are those behind ``/api/v2``. ``{org}`` must be the caller's own org, ``{version}`` is
``draft``, ``active`` or a number. Whatever is not listed is 404, and 405 where only the method is
not.
"""

from collections.abc import Iterator

from pce.objects.access_restriction import ACCESS_RESTRICTIONS
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS
from pce.objects.authentication_settings import AUTHENTICATION_SETTINGS, PASSWORD_POLICY
from pce.objects.collection import Collection
from pce.objects.container_cluster import CONTAINER_CLUSTERS
from pce.objects.discovered_virtual_server import DISCOVERED_VIRTUAL_SERVERS
from pce.objects.enforcement_boundary import ENFORCEMENT_BOUNDARIES
from pce.objects.firewall_settings import FIREWALL_SETTINGS
from pce.objects.ip_list import IP_LISTS
from pce.objects.label import LABELS
from pce.objects.label_dimension import LABEL_DIMENSIONS
from pce.objects.label_group import LABEL_GROUPS
from pce.objects.label_mapping_rule import LABEL_MAPPING_RULES
from pce.objects.network_device import NETWORK_DEVICES
from pce.objects.network_endpoint import NETWORK_ENDPOINTS
from pce.objects.network_enforcement_node import NETWORK_ENFORCEMENT_NODES
from pce.objects.pairing_profile import PAIRING_PROFILES
from pce.objects.permission import PERMISSIONS
from pce.objects.report_schedule import REPORT_SCHEDULES
from pce.objects.rule import DENY_RULES, SEC_RULES
from pce.objects.rule_set import RULE_SETS
from pce.objects.security_principal import SECURITY_PRINCIPALS
from pce.objects.service import SERVICES
from pce.objects.service_account import SERVICE_ACCOUNTS
from pce.objects.service_binding import SERVICE_BINDINGS
from pce.objects.settings import (
    EVENT_SETTINGS,
    ORG_SETTINGS,
    REPORT_SETTINGS,
    TRUSTED_PROXIES,
    WORKLOAD_SETTINGS,
)
from pce.objects.slb import SLBS
from pce.objects.traffic_collector import TRAFFIC_COLLECTORS
from pce.objects.virtual_server import VIRTUAL_SERVERS
from pce.objects.virtual_service import VIRTUAL_SERVICES
from pce.objects.vulnerability import VULNERABILITIES
from pce.objects.vulnerability_report import VULNERABILITY_REPORTS
from pce.objects.workload import WORKLOADS
from pce.runtime import access_endpoints as people
from pce.runtime import cluster_endpoints as clusters
from pce.runtime import enforcement_node_endpoints as nodes
from pce.runtime import event_endpoints as events
from pce.runtime import job_endpoints as jobs
from pce.runtime import label_group_endpoints as groups
from pce.runtime import label_mapping_endpoints as mapping
from pce.runtime import object_endpoints as to
from pce.runtime import pairing_endpoints as pairing
from pce.runtime import policy_endpoints as ask
from pce.runtime import product_endpoints as product
from pce.runtime import report_endpoints as reports
from pce.runtime import rule_endpoints as rules
from pce.runtime import settings_endpoints as settings
from pce.runtime import single_sign_on_endpoints as sign_on
from pce.runtime import streaming_endpoints as streaming
from pce.runtime import traffic_endpoints as traffic
from pce.runtime import ven_endpoints as vens
from pce.runtime import version_endpoints as versions
from pce.runtime import vulnerability_endpoints as scans
from pce.runtime import workload_endpoints as workloads
from pce.runtime.api_call import Endpoint
from pce.usecases.change_in_bulk import bulk_create, bulk_delete, bulk_import, bulk_update

_O = "/orgs/{org}"
_ANY_VERSION = f"{_O}/sec_policy/{{version}}"
_DRAFT = f"{_O}/sec_policy/draft"
_CLUSTER = f"{_O}/container_clusters/{{cluster}}"
_ACCOUNT_KEYS = f"{_O}/service_accounts/{{id}}/api_keys"
_QUERIES = f"{_O}/traffic_flows/async_queries"

_DEVICE = f"{_O}/network_devices/{{device}}"

_EMPTY = (
    *("core_service_types", "detected_core_services", "detected_core_services_summary"),
    "kubernetes_workloads",
)
"""Collections of an org that this product has nothing for: nobody looks for core services, and no
agent reads the Kubernetes API."""


Row = tuple[str, str, Endpoint]
"""Method, path, and what answers."""


def _all_methods(path: str, collection: Collection, under: str = "") -> Iterator[Row]:
    """The rows of a collection without policy versions that anybody may fill."""
    yield "GET", path, to.list_all(collection)
    yield "POST", path, to.create(collection, under)
    yield "GET", f"{path}/{{id}}", to.get_one(collection)
    yield "PUT", f"{path}/{{id}}", to.update(collection)
    yield "DELETE", f"{path}/{{id}}", to.delete(collection)


def _all_versions(name: str, collection: Collection) -> Iterator[Row]:
    """The rows of a collection with policy versions: read in any, written in the draft."""
    yield "GET", f"{_ANY_VERSION}/{name}", to.list_versioned(collection)
    yield "POST", f"{_DRAFT}/{name}", to.create(collection)
    yield "GET", f"{_ANY_VERSION}/{name}/{{id}}", to.get_versioned(collection)
    yield "PUT", f"{_DRAFT}/{name}/{{id}}", to.update(collection)
    yield "DELETE", f"{_DRAFT}/{name}/{{id}}", to.delete(collection)


def _rules_of_a_rule_set(name: str, kind: Collection) -> Iterator[Row]:
    """The rows of the rules of one kind below a rule set."""
    path = f"rule_sets/{{rule_set}}/{name}"
    yield "GET", f"{_ANY_VERSION}/{path}", rules.list_rules(kind)
    yield "POST", f"{_DRAFT}/{path}", rules.create_rule(kind)
    yield "GET", f"{_ANY_VERSION}/{path}/{{id}}", rules.get_rule(kind)
    yield "PUT", f"{_DRAFT}/{path}/{{id}}", rules.update_rule(kind)
    yield "DELETE", f"{_DRAFT}/{path}/{{id}}", rules.delete_rule(kind)


ENDPOINTS: tuple[Row, ...] = (
    # The PCE itself
    ("GET", "/health", product.get_health),
    ("GET", f"{_O}/health", product.get_health),
    ("GET", "/product_version", product.get_product_version),
    ("GET", "/system_events", to.nothing),
    # Users and API keys
    ("POST", "/login_users/authenticate", people.get_login_token),
    ("POST", "/login_users/accept_invitation", people.accept_invitation),
    ("PUT", "/login_users/users/{id}/password", people.change_password),
    ("GET", "/users/login", people.log_in_user),
    ("GET", "/users", people.list_users),
    ("POST", "/users", people.create_user),
    ("GET", "/users/{id}", people.get_user),
    ("PUT", "/users/{id}", people.update_user),
    ("DELETE", "/users/{id}", people.delete_user),
    ("PUT", "/users/{id}/logout", people.log_out_user),
    ("PUT", "/users/{id}/local_profile/reinvite", people.reinvite_user),
    ("GET", "/users/{id}/api_keys", people.list_api_keys),
    ("POST", "/users/{id}/api_keys", people.create_api_key),
    ("GET", "/users/{id}/api_keys/{key}", people.get_api_key),
    ("DELETE", "/users/{id}/api_keys/{key}", people.delete_api_key),
    ("GET", f"{_O}/api_keys", people.list_all_api_keys),
    ("GET", f"{_O}/api_keys/{{id}}", people.get_any_api_key),
    ("DELETE", f"{_O}/api_keys/{{id}}", people.delete_any_api_key),
    ("GET", f"{_O}/service_accounts", to.list_all(SERVICE_ACCOUNTS)),
    ("POST", f"{_O}/service_accounts", people.create_service_account),
    ("GET", f"{_O}/service_accounts/{{id}}", to.get_one(SERVICE_ACCOUNTS)),
    ("PUT", f"{_O}/service_accounts/{{id}}", people.update_service_account),
    ("DELETE", f"{_O}/service_accounts/{{id}}", people.delete_service_account),
    ("GET", f"{_ACCOUNT_KEYS}", people.list_service_account_keys),
    ("POST", f"{_ACCOUNT_KEYS}", people.create_service_account_key),
    ("DELETE", f"{_ACCOUNT_KEYS}/{{key}}", people.delete_service_account_key),
    ("GET", "/authentication_settings", settings.get_settings(AUTHENTICATION_SETTINGS)),
    ("PUT", "/authentication_settings", settings.put_settings(AUTHENTICATION_SETTINGS)),
    ("GET", "/authentication_settings/password_policy", settings.get_settings(PASSWORD_POLICY)),
    ("PUT", "/authentication_settings/password_policy", settings.put_settings(PASSWORD_POLICY)),
    ("GET", "/authentication_settings/ldap_configs", to.nothing),
    ("GET", "/authentication_settings/saml_configs", to.nothing),
    ("POST", "/authentication_settings/ldap_configs", sign_on.refuse_config),
    ("POST", "/authentication_settings/saml_configs", sign_on.refuse_config),
    ("GET", f"{_O}/access_restrictions", to.list_all(ACCESS_RESTRICTIONS)),
    ("POST", f"{_O}/access_restrictions", to.create(ACCESS_RESTRICTIONS)),
    ("GET", f"{_O}/access_restrictions/{{id}}", to.get_one(ACCESS_RESTRICTIONS)),
    ("PUT", f"{_O}/access_restrictions/{{id}}", people.update_restriction),
    ("DELETE", f"{_O}/access_restrictions/{{id}}", people.delete_restriction),
    # Roles and permissions
    ("GET", f"{_O}/roles", people.list_roles),
    ("GET", f"{_O}/roles/{{id}}", people.get_role),
    ("GET", f"{_O}/permissions", to.list_all(PERMISSIONS)),
    ("POST", f"{_O}/permissions", people.create_permission),
    ("GET", f"{_O}/permissions/{{id}}", to.get_one(PERMISSIONS)),
    ("PUT", f"{_O}/permissions/{{id}}", people.update_permission),
    ("DELETE", f"{_O}/permissions/{{id}}", people.delete_permission),
    ("GET", f"{_O}/auth_security_principals", to.list_all(AUTH_SECURITY_PRINCIPALS)),
    ("POST", f"{_O}/auth_security_principals", people.create_principal),
    ("GET", f"{_O}/auth_security_principals/{{id}}", to.get_one(AUTH_SECURITY_PRINCIPALS)),
    ("PUT", f"{_O}/auth_security_principals/{{id}}", people.update_principal),
    ("DELETE", f"{_O}/auth_security_principals/{{id}}", people.delete_principal),
    # Labels
    *_all_methods(f"{_O}/labels", LABELS),
    *_all_methods(f"{_O}/label_dimensions", LABEL_DIMENSIONS),
    ("GET", f"{_O}/label_mapping_rules", mapping.list_rules),
    ("POST", f"{_O}/label_mapping_rules", mapping.create_rule),
    ("PUT", f"{_O}/label_mapping_rules/update", to.in_bulk(bulk_update, LABEL_MAPPING_RULES)),
    ("PUT", f"{_O}/label_mapping_rules/delete", to.in_bulk(bulk_delete, LABEL_MAPPING_RULES)),
    ("POST", f"{_O}/label_mapping_rules/run", mapping.run),
    ("GET", f"{_O}/label_mapping_rules/run/{{id}}", mapping.get_run),
    ("GET", f"{_O}/label_mapping_rules/run/{{id}}/download", mapping.download),
    ("PUT", f"{_O}/label_mapping_rules/run/{{id}}/assign_labels", mapping.assign),
    ("GET", f"{_O}/label_mapping_rules/{{id}}", mapping.get_rule),
    ("PUT", f"{_O}/label_mapping_rules/{{id}}", to.update(LABEL_MAPPING_RULES)),
    ("DELETE", f"{_O}/label_mapping_rules/{{id}}", to.delete(LABEL_MAPPING_RULES)),
    ("PUT", f"{_O}/label_mapping_rules/{{id}}/reorder", mapping.reorder),
    # Workloads and VENs
    ("GET", f"{_O}/workloads", workloads.list_workloads),
    ("POST", f"{_O}/workloads", to.create(WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_create", to.in_bulk(bulk_create, WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_update", to.in_bulk(bulk_update, WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_delete", to.in_bulk(bulk_delete, WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_import", to.in_bulk(bulk_import, WORKLOADS)),
    ("PUT", f"{_O}/workloads/unpair", vens.unpair),
    ("PUT", f"{_O}/workloads/apply_policy", workloads.apply_policy),
    (
        "POST",
        f"{_O}/workloads/set_flow_reporting_frequency",
        workloads.set_flow_reporting_frequency,
    ),
    ("GET", f"{_O}/workloads/{{id}}", workloads.get_workload),
    ("PUT", f"{_O}/workloads/{{id}}", to.update(WORKLOADS)),
    ("DELETE", f"{_O}/workloads/{{id}}", to.delete(WORKLOADS)),
    ("GET", f"{_O}/workloads/{{id}}/interfaces", workloads.list_interfaces),
    ("POST", f"{_O}/workloads/{{id}}/interfaces", workloads.create_interface),
    ("GET", f"{_O}/workloads/{{id}}/interfaces/{{name}}", workloads.get_interface),
    ("PUT", f"{_O}/workloads/{{id}}/interfaces/{{name}}", workloads.change_interface),
    ("DELETE", f"{_O}/workloads/{{id}}/interfaces/{{name}}", workloads.delete_interface),
    ("GET", f"{_O}/workloads/{{id}}/processes", workloads.list_processes),
    ("GET", f"{_O}/workloads/{{id}}/risk_details", workloads.get_risk_details),
    ("PUT", f"{_O}/agents/{{id}}", workloads.change_agent),
    ("PUT", f"{_O}/agents/{{id}}/update", workloads.update_agent),
    ("GET", f"{_O}/agents/{{id}}/compatibility_report", workloads.get_compatibility_report),
    ("GET", f"{_O}/vens", vens.list_vens),
    ("PUT", f"{_O}/vens/unpair", vens.unpair),
    ("PUT", f"{_O}/vens/upgrade", vens.upgrade),
    ("PUT", f"{_O}/vens/remote_action", vens.remote_action),
    ("PUT", f"{_O}/vens/authentication_recovery", vens.recover),
    ("PUT", f"{_O}/vens/clear_conditions", vens.clear),
    ("POST", f"{_O}/vens/statistics", vens.statistics),
    ("POST", f"{_O}/vens/{{id}}/maintenance_token", vens.maintenance_token),
    ("POST", f"{_O}/workloads/{{id}}/upgrade", vens.upgrade_one),
    ("GET", f"{_O}/vens/{{id}}", vens.get_ven),
    ("PUT", f"{_O}/vens/{{id}}", vens.change_ven),
    ("GET", f"{_O}/vens/{{id}}/compatibility_report", vens.get_compatibility_report),
    ("GET", f"{_O}/networks", product.list_networks),
    ("GET", f"{_O}/networks/{{id}}", product.get_network),
    (
        "PUT",
        f"{_O}/security_principals/bulk_create",
        to.in_bulk(bulk_create, SECURITY_PRINCIPALS),
    ),
    *_all_methods(f"{_O}/security_principals", SECURITY_PRINCIPALS),
    ("GET", f"{_O}/vulnerabilities", to.list_all(VULNERABILITIES)),
    ("POST", f"{_O}/vulnerabilities", scans.import_list),
    ("GET", f"{_O}/vulnerabilities/{{id}}", to.get_one(VULNERABILITIES)),
    ("PUT", f"{_O}/vulnerabilities/{{id}}", to.update(VULNERABILITIES)),
    ("DELETE", f"{_O}/vulnerabilities/{{id}}", to.delete(VULNERABILITIES)),
    ("GET", f"{_O}/vulnerability_reports", to.list_all(VULNERABILITY_REPORTS)),
    ("POST", f"{_O}/vulnerability_reports", to.create(VULNERABILITY_REPORTS)),
    ("GET", f"{_O}/vulnerability_reports/{{id}}", to.get_one(VULNERABILITY_REPORTS)),
    ("PUT", f"{_O}/vulnerability_reports/{{id}}", scans.put_report),
    ("DELETE", f"{_O}/vulnerability_reports/{{id}}", to.delete(VULNERABILITY_REPORTS)),
    ("GET", f"{_O}/software/ven/releases", vens.list_releases),
    ("PUT", f"{_O}/software/ven/releases/default", vens.choose_default_release),
    ("GET", f"{_O}/software/ven/releases/{{id}}", vens.get_release),
    ("PUT", f"{_O}/software/ven/releases/{{id}}", vens.give_back_release),
    ("DELETE", f"{_O}/software/ven/releases/{{id}}", vens.withdraw_release),
    ("GET", f"{_O}/software/ven/releases/{{id}}/images", vens.list_images),
    ("GET", f"{_O}/support_bundle_requests", vens.list_report_requests),
    ("POST", f"{_O}/support_bundle_requests", vens.request_reports),
    ("GET", f"{_O}/support_bundle_requests/{{id}}", vens.get_report_request),
    ("DELETE", f"{_O}/support_bundle_requests/{{id}}", vens.delete_report_request),
    ("GET", f"{_O}/support_reports", vens.list_reports),
    ("GET", f"{_O}/support_reports/{{id}}", vens.get_report),
    ("GET", f"{_O}/support_reports/{{id}}/download", vens.download_report),
    # Pairing
    *_all_methods(f"{_O}/pairing_profiles", PAIRING_PROFILES),
    ("POST", f"{_O}/pairing_profiles/{{id}}/pairing_key", pairing.create_pairing_key),
    ("DELETE", f"{_O}/pairing_profiles/{{id}}/pairing_keys", pairing.delete_pairing_keys),
    # Security policy: versions and provisioning
    ("GET", f"{_O}/sec_policy", versions.list_policy_versions),
    ("POST", f"{_O}/sec_policy", versions.provision),
    ("GET", f"{_O}/sec_policy/pending", versions.list_pending),
    ("DELETE", f"{_O}/sec_policy/pending", versions.discard_pending),
    ("PUT", f"{_O}/sec_policy/delete", versions.revert),
    ("POST", f"{_DRAFT}/dependencies", versions.find_dependencies),
    ("GET", f"{_O}/sec_policy/{{number}}", versions.get_policy_version),
    ("POST", f"{_O}/sec_policy/{{number}}/restore", versions.restore),
    ("GET", f"{_ANY_VERSION}/modified_objects", versions.list_modified),
    # Security policy: questions
    ("GET", f"{_O}/sec_policy/explain", ask.explain_both),
    ("GET", f"{_ANY_VERSION}/explain", ask.explain),
    ("GET", f"{_ANY_VERSION}/allow", ask.list_allowing_rules),
    ("GET", f"{_ANY_VERSION}/policy_check", ask.list_allowing_rules),
    ("POST", f"{_ANY_VERSION}/rule_coverage", ask.cover),
    ("POST", f"{_ANY_VERSION}/rule_search", ask.search),
    ("GET", f"{_ANY_VERSION}/policy_view", ask.view),
    ("POST", f"{_O}/sec_policy/impact", ask.impact),
    # Security policy: objects
    *_all_versions("label_groups", LABEL_GROUPS),
    ("GET", f"{_ANY_VERSION}/label_groups/{{id}}/member_of", groups.list_groups_with),
    ("GET", f"{_ANY_VERSION}/label_groups/{{id}}/all_labels", groups.list_labels_of_group),
    *_all_versions("ip_lists", IP_LISTS),
    *_all_versions("services", SERVICES),
    *_all_versions("rule_sets", RULE_SETS),
    *_rules_of_a_rule_set("sec_rules", SEC_RULES),
    *_rules_of_a_rule_set("deny_rules", DENY_RULES),
    *_all_versions("enforcement_boundaries", ENFORCEMENT_BOUNDARIES),
    (
        "GET",
        f"{_ANY_VERSION}/firewall_settings",
        to.get_versioned(FIREWALL_SETTINGS, "firewall_settings"),
    ),
    ("PUT", f"{_DRAFT}/firewall_settings", to.update(FIREWALL_SETTINGS, "firewall_settings")),
    (
        "PUT",
        f"{_DRAFT}/virtual_services/bulk_create",
        to.in_bulk(bulk_create, VIRTUAL_SERVICES),
    ),
    (
        "PUT",
        f"{_DRAFT}/virtual_services/bulk_update",
        to.in_bulk(bulk_update, VIRTUAL_SERVICES),
    ),
    (
        "PUT",
        f"{_DRAFT}/virtual_services/bulk_delete",
        to.in_bulk(bulk_delete, VIRTUAL_SERVICES),
    ),
    *_all_versions("virtual_services", VIRTUAL_SERVICES),
    *_all_versions("virtual_servers", VIRTUAL_SERVERS),
    # Load balancers and switches, and the nodes that speak with them
    *_all_methods(f"{_O}/network_enforcement_nodes", NETWORK_ENFORCEMENT_NODES),
    *_all_methods(f"{_O}/slbs", SLBS),
    *_all_methods(f"{_O}/discovered_virtual_servers", DISCOVERED_VIRTUAL_SERVERS),
    ("GET", f"{_O}/network_enforcement_nodes/{{node}}/network_devices", nodes.list_devices),
    ("POST", f"{_O}/network_enforcement_nodes/{{node}}/network_devices", nodes.create_device),
    *_all_methods(f"{_O}/network_devices", NETWORK_DEVICES),
    ("POST", f"{_DEVICE}/enforcement_instructions_request", nodes.request_instructions),
    ("POST", f"{_DEVICE}/enforcement_instructions_applied", nodes.acknowledge_instructions),
    ("GET", f"{_DEVICE}/enforcement_instructions", nodes.get_instructions),
    (
        "POST",
        f"{_O}/network_devices/multi_enforcement_instructions_request",
        nodes.request_instructions_of_many,
    ),
    (
        "POST",
        f"{_O}/network_devices/multi_enforcement_instructions_applied",
        nodes.acknowledge_instructions_of_many,
    ),
    ("GET", f"{_O}/network_endpoints", to.list_all(NETWORK_ENDPOINTS)),
    ("GET", f"{_DEVICE}/network_endpoints", nodes.list_endpoints),
    ("POST", f"{_DEVICE}/network_endpoints", nodes.create_endpoint),
    ("GET", f"{_DEVICE}/network_endpoints/{{id}}", nodes.get_endpoint),
    ("PUT", f"{_DEVICE}/network_endpoints/{{id}}", nodes.update_endpoint),
    ("DELETE", f"{_DEVICE}/network_endpoints/{{id}}", nodes.delete_endpoint),
    # Service bindings and container clusters: not provisioned
    ("GET", f"{_O}/service_bindings", to.list_all(SERVICE_BINDINGS)),
    ("POST", f"{_O}/service_bindings", clusters.create_bindings),
    ("GET", f"{_O}/service_bindings/{{id}}", to.get_one(SERVICE_BINDINGS)),
    ("DELETE", f"{_O}/service_bindings/{{id}}", to.delete(SERVICE_BINDINGS)),
    ("GET", f"{_O}/container_clusters", clusters.list_clusters),
    ("POST", f"{_O}/container_clusters", clusters.create_cluster),
    ("GET", f"{_O}/container_clusters/{{id}}", clusters.get_cluster),
    ("PUT", f"{_O}/container_clusters/{{id}}", to.update(CONTAINER_CLUSTERS)),
    ("DELETE", f"{_O}/container_clusters/{{id}}", clusters.delete_cluster),
    ("GET", f"{_CLUSTER}/container_workload_profiles", clusters.list_profiles),
    ("POST", f"{_CLUSTER}/container_workload_profiles", clusters.create_profile),
    ("GET", f"{_CLUSTER}/container_workload_profiles/{{id}}", clusters.get_profile),
    ("PUT", f"{_CLUSTER}/container_workload_profiles/{{id}}", clusters.update_profile),
    ("DELETE", f"{_CLUSTER}/container_workload_profiles/{{id}}", clusters.delete_profile),
    ("GET", f"{_CLUSTER}/service_backends", clusters.list_service_backends),
    ("GET", f"{_O}/container_workloads", clusters.list_container_workloads),
    ("GET", f"{_O}/container_workloads/{{id}}", clusters.get_container_workload),
    # What clients load at their start and what this product has none of
    ("GET", f"{_ANY_VERSION}/secure_connect_gateways", to.nothing),
    *((("GET", f"{_O}/{name}", to.nothing)) for name in _EMPTY),
    # Traffic
    ("POST", f"{_O}/agents/bulk_traffic_flows", traffic.upload_flows),
    ("POST", f"{_O}/traffic_flows/traffic_analysis_queries", traffic.analyze_traffic),
    ("GET", f"{_O}/traffic_flows/database_metrics", traffic.get_database_metrics),
    ("GET", f"{_O}/traffic_flows/map", traffic.get_traffic_map),
    ("POST", _QUERIES, traffic.start_traffic_query),
    ("GET", _QUERIES, traffic.list_traffic_queries),
    ("GET", f"{_QUERIES}/{{id}}", traffic.get_traffic_query),
    ("PUT", f"{_QUERIES}/{{id}}", traffic.cancel_traffic_query),
    ("DELETE", f"{_QUERIES}/{{id}}", traffic.delete_traffic_query),
    ("PUT", f"{_QUERIES}/{{id}}/update_rules", traffic.update_traffic_rules),
    ("GET", f"{_QUERIES}/{{id}}/download", traffic.download_traffic),
    # Reports, and what is counted by application
    ("GET", f"{_O}/report_templates", reports.list_templates),
    ("GET", f"{_O}/report_templates/{{id}}", reports.get_template),
    ("GET", f"{_O}/report_schedules", to.list_all(REPORT_SCHEDULES)),
    ("POST", f"{_O}/report_schedules", reports.create_schedule),
    ("GET", f"{_O}/report_schedules/{{id}}", to.get_one(REPORT_SCHEDULES)),
    ("PUT", f"{_O}/report_schedules/{{id}}", reports.update_schedule),
    ("DELETE", f"{_O}/report_schedules/{{id}}", to.delete(REPORT_SCHEDULES)),
    ("GET", f"{_O}/reports", reports.list_reports),
    ("POST", f"{_O}/reports", reports.order_report),
    ("GET", f"{_O}/reports/risk_summary", reports.get_risk_summary),
    ("GET", f"{_O}/reports/{{id}}", reports.get_report),
    ("DELETE", f"{_O}/reports/{{id}}", reports.delete_report),
    ("GET", f"{_O}/reports/{{id}}/download", reports.download_report),
    ("GET", f"{_O}/app_group_summary", reports.get_app_group_summary),
    ("GET", f"{_O}/app_groups/risk_summary", reports.list_app_group_risks),
    ("GET", f"{_O}/app_groups/{{id}}/risk_details", reports.get_app_group_risk),
    # Settings
    ("GET", f"{_O}/settings", settings.get_settings(ORG_SETTINGS)),
    ("PUT", f"{_O}/settings", settings.put_settings(ORG_SETTINGS)),
    ("GET", f"{_O}/settings/workloads", settings.get_settings(WORKLOAD_SETTINGS)),
    ("PUT", f"{_O}/settings/workloads", settings.put_settings(WORKLOAD_SETTINGS)),
    ("GET", f"{_O}/settings/kerberos", settings.get_kerberos),
    ("PUT", f"{_O}/settings/kerberos", settings.put_kerberos),
    ("GET", f"{_O}/settings/events", settings.get_settings(EVENT_SETTINGS)),
    ("PUT", f"{_O}/settings/events", settings.put_settings(EVENT_SETTINGS)),
    ("GET", f"{_O}/settings/reports", settings.get_settings(REPORT_SETTINGS)),
    ("PUT", f"{_O}/settings/reports", settings.put_settings(REPORT_SETTINGS)),
    ("GET", f"{_O}/settings/trusted_proxy_ips", settings.get_settings(TRUSTED_PROXIES)),
    ("PUT", f"{_O}/settings/trusted_proxy_ips", people.set_trusted_proxies),
    ("GET", f"{_O}/optional_features", settings.get_optional_features),
    ("PUT", f"{_O}/optional_features", settings.put_optional_features),
    *_all_methods(f"{_O}/settings/traffic_collector", TRAFFIC_COLLECTORS, "settings"),
    ("GET", f"{_O}/settings/syslog/destinations", streaming.list_destinations),
    ("POST", f"{_O}/settings/syslog/destinations", streaming.create),
    ("GET", f"{_O}/settings/syslog/destinations/{{id}}", streaming.get_destination),
    ("PUT", f"{_O}/settings/syslog/destinations/{{id}}", streaming.update),
    ("DELETE", f"{_O}/settings/syslog/destinations/{{id}}", streaming.delete),
    # Events and jobs
    ("GET", f"{_O}/events", events.list_events),
    ("GET", f"{_O}/events/{{id}}", events.get_event),
    ("GET", f"{_O}/jobs", jobs.list_jobs),
    ("GET", f"{_O}/jobs/{{id}}", jobs.get_job),
    ("GET", f"{_O}/datafiles/{{id}}", jobs.get_datafile),
)
