"""Every endpoint of the management API: method, path, and what answers it.

Paths are those behind ``/api/v2``. ``{org}`` must be the caller's own org, ``{version}`` is
``draft``, ``active`` or a number. Whatever is not listed is 404, and 405 where only the method is
not.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pce.access.roles import VIEWER, Right
from pce.errors import Conflict, Invalid, NotAllowed, TooLarge
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS
from pce.objects.authentication_settings import AUTHENTICATION_SETTINGS, PASSWORD_POLICY
from pce.objects.collection import Collection
from pce.objects.container_cluster import CONTAINER_CLUSTERS
from pce.objects.enforcement_boundary import ENFORCEMENT_BOUNDARIES
from pce.objects.firewall_settings import FIREWALL_SETTINGS
from pce.objects.ip_list import IP_LISTS
from pce.objects.label import LABELS
from pce.objects.label_dimension import LABEL_DIMENSIONS
from pce.objects.label_group import LABEL_GROUPS
from pce.objects.pairing_profile import PAIRING_PROFILES
from pce.objects.permission import PERMISSIONS
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
from pce.objects.traffic_collector import TRAFFIC_COLLECTORS
from pce.objects.virtual_service import VIRTUAL_SERVICES
from pce.objects.vulnerability import VULNERABILITIES
from pce.objects.vulnerability_report import VULNERABILITY_REPORTS
from pce.objects.workload import WORKLOADS
from pce.runtime import access_endpoints as people
from pce.runtime import api_endpoints as to
from pce.runtime import cluster_endpoints as clusters
from pce.runtime import policy_endpoints as ask
from pce.runtime import report_endpoints as reports
from pce.runtime import streaming_endpoints as streaming
from pce.runtime import traffic_endpoints as traffic
from pce.runtime import ven_endpoints as vens
from pce.runtime import version_endpoints as versions
from pce.runtime import vulnerability_endpoints as scans
from pce.runtime import workload_endpoints as workloads
from pce.runtime.api_access import right_to
from pce.runtime.api_call import Call, Endpoint, api_path, fitting, no_content, ok
from pce.runtime.api_event_types import event_type_of
from pce.runtime.api_gate import admit, record_failure, record_not_allowed
from pce.runtime.api_page import POLICY, page
from pce.runtime.http import Reply, Request, json_reply
from pce.runtime.published_api import openapi
from pce.usecases.change_in_bulk import bulk_create, bulk_delete, bulk_import, bulk_update
from pce.usecases.stores import Stores

_O = "/orgs/{org}"
_ANY_VERSION = f"{_O}/sec_policy/{{version}}"
_DRAFT = f"{_O}/sec_policy/draft"
_CLUSTER = f"{_O}/container_clusters/{{cluster}}"
_ACCOUNT_KEYS = f"{_O}/service_accounts/{{id}}/api_keys"
_QUERIES = f"{_O}/traffic_flows/async_queries"

_EMPTY = (
    *("slbs", "discovered_virtual_servers", "network_enforcement_nodes", "network_devices"),
    *("core_service_types", "detected_core_services", "detected_core_services_summary"),
    "kubernetes_workloads",
)
"""Collections of an org that this product has nothing for: load balancers, switches and clusters
report to nodes of their own, which are not there."""


def _all_methods(
    path: str, collection: Collection, under: str = ""
) -> Iterator[tuple[str, str, Endpoint]]:
    """The rows of a collection without policy versions that anybody may fill."""
    yield "GET", path, to.list_all(collection)
    yield "POST", path, to.create(collection, under)
    yield "GET", f"{path}/{{id}}", to.get_one(collection)
    yield "PUT", f"{path}/{{id}}", to.update(collection)
    yield "DELETE", f"{path}/{{id}}", to.delete(collection)


# method, path, endpoint
_ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    # The PCE itself
    ("GET", "/health", to.get_health),
    ("GET", f"{_O}/health", to.get_health),
    ("GET", "/product_version", to.get_product_version),
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
    ("DELETE", f"{_O}/api_keys/{{id}}", people.delete_any_api_key),
    ("GET", f"{_O}/service_accounts", to.list_all(SERVICE_ACCOUNTS)),
    ("POST", f"{_O}/service_accounts", people.create_service_account),
    ("GET", f"{_O}/service_accounts/{{id}}", to.get_one(SERVICE_ACCOUNTS)),
    ("PUT", f"{_O}/service_accounts/{{id}}", to.update(SERVICE_ACCOUNTS)),
    ("DELETE", f"{_O}/service_accounts/{{id}}", people.delete_service_account),
    ("GET", f"{_ACCOUNT_KEYS}", people.list_service_account_keys),
    ("POST", f"{_ACCOUNT_KEYS}", people.create_service_account_key),
    ("DELETE", f"{_ACCOUNT_KEYS}/{{key}}", people.delete_service_account_key),
    ("GET", "/authentication_settings", to.get_settings(AUTHENTICATION_SETTINGS)),
    ("PUT", "/authentication_settings", to.put_settings(AUTHENTICATION_SETTINGS)),
    ("GET", "/authentication_settings/password_policy", to.get_settings(PASSWORD_POLICY)),
    ("PUT", "/authentication_settings/password_policy", to.put_settings(PASSWORD_POLICY)),
    ("GET", "/authentication_settings/ldap_configs", to.nothing),
    ("GET", "/authentication_settings/saml_configs", to.nothing),
    ("GET", f"{_O}/access_restrictions", to.nothing),
    # Roles and permissions
    ("GET", f"{_O}/roles", people.list_roles),
    ("GET", f"{_O}/roles/{{id}}", people.get_role),
    ("GET", f"{_O}/permissions", to.list_all(PERMISSIONS)),
    ("POST", f"{_O}/permissions", people.create_permission),
    ("GET", f"{_O}/permissions/{{id}}", to.get_one(PERMISSIONS)),
    ("PUT", f"{_O}/permissions/{{id}}", people.update_permission),
    ("DELETE", f"{_O}/permissions/{{id}}", people.delete_permission),
    ("GET", f"{_O}/auth_security_principals", to.list_all(AUTH_SECURITY_PRINCIPALS)),
    ("POST", f"{_O}/auth_security_principals", to.create(AUTH_SECURITY_PRINCIPALS)),
    ("GET", f"{_O}/auth_security_principals/{{id}}", to.get_one(AUTH_SECURITY_PRINCIPALS)),
    ("PUT", f"{_O}/auth_security_principals/{{id}}", to.update(AUTH_SECURITY_PRINCIPALS)),
    ("DELETE", f"{_O}/auth_security_principals/{{id}}", people.delete_principal),
    # Labels
    ("GET", f"{_O}/labels", to.list_all(LABELS)),
    ("POST", f"{_O}/labels", to.create(LABELS)),
    ("GET", f"{_O}/labels/{{id}}", to.get_one(LABELS)),
    ("PUT", f"{_O}/labels/{{id}}", to.update(LABELS)),
    ("DELETE", f"{_O}/labels/{{id}}", to.delete(LABELS)),
    ("GET", f"{_O}/label_dimensions", to.list_all(LABEL_DIMENSIONS)),
    ("POST", f"{_O}/label_dimensions", to.create(LABEL_DIMENSIONS)),
    ("GET", f"{_O}/label_dimensions/{{id}}", to.get_one(LABEL_DIMENSIONS)),
    ("PUT", f"{_O}/label_dimensions/{{id}}", to.update(LABEL_DIMENSIONS)),
    ("DELETE", f"{_O}/label_dimensions/{{id}}", to.delete(LABEL_DIMENSIONS)),
    # Workloads and VENs
    ("GET", f"{_O}/workloads", to.list_workloads),
    ("POST", f"{_O}/workloads", to.create(WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_create", to.in_bulk(bulk_create, WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_update", to.in_bulk(bulk_update, WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_delete", to.in_bulk(bulk_delete, WORKLOADS)),
    ("PUT", f"{_O}/workloads/bulk_import", to.in_bulk(bulk_import, WORKLOADS)),
    ("PUT", f"{_O}/workloads/unpair", to.unpair),
    ("PUT", f"{_O}/workloads/apply_policy", to.apply_policy),
    (
        "POST",
        f"{_O}/workloads/set_flow_reporting_frequency",
        workloads.set_flow_reporting_frequency,
    ),
    ("GET", f"{_O}/workloads/{{id}}", to.get_workload),
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
    ("GET", f"{_O}/vens", to.list_vens),
    ("PUT", f"{_O}/vens/unpair", to.unpair),
    ("PUT", f"{_O}/vens/upgrade", vens.upgrade),
    ("PUT", f"{_O}/vens/remote_action", vens.remote_action),
    ("PUT", f"{_O}/vens/clear_conditions", vens.clear),
    ("POST", f"{_O}/vens/statistics", vens.statistics),
    ("POST", f"{_O}/vens/{{id}}/maintenance_token", vens.maintenance_token),
    ("POST", f"{_O}/workloads/{{id}}/upgrade", vens.upgrade_one),
    ("GET", f"{_O}/vens/{{id}}", to.get_ven),
    ("PUT", f"{_O}/vens/{{id}}", to.change_ven),
    ("GET", f"{_O}/vens/{{id}}/compatibility_report", vens.get_compatibility_report),
    ("GET", f"{_O}/networks", to.list_networks),
    ("GET", f"{_O}/networks/{{id}}", to.get_network),
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
    ("GET", f"{_O}/software/ven/releases/{{id}}/images", vens.list_images),
    ("GET", f"{_O}/support_bundle_requests", vens.list_report_requests),
    ("POST", f"{_O}/support_bundle_requests", vens.request_reports),
    ("GET", f"{_O}/support_bundle_requests/{{id}}", vens.get_report_request),
    ("DELETE", f"{_O}/support_bundle_requests/{{id}}", vens.delete_report_request),
    ("GET", f"{_O}/support_reports", vens.list_reports),
    ("GET", f"{_O}/support_reports/{{id}}", vens.get_report),
    ("GET", f"{_O}/support_reports/{{id}}/download", vens.download_report),
    # Pairing
    ("GET", f"{_O}/pairing_profiles", to.list_all(PAIRING_PROFILES)),
    ("POST", f"{_O}/pairing_profiles", to.create(PAIRING_PROFILES)),
    ("GET", f"{_O}/pairing_profiles/{{id}}", to.get_one(PAIRING_PROFILES)),
    ("PUT", f"{_O}/pairing_profiles/{{id}}", to.update(PAIRING_PROFILES)),
    ("DELETE", f"{_O}/pairing_profiles/{{id}}", to.delete(PAIRING_PROFILES)),
    ("POST", f"{_O}/pairing_profiles/{{id}}/pairing_key", to.create_pairing_key),
    ("DELETE", f"{_O}/pairing_profiles/{{id}}/pairing_keys", to.delete_pairing_keys),
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
    ("GET", f"{_ANY_VERSION}/label_groups", to.list_versioned(LABEL_GROUPS)),
    ("POST", f"{_DRAFT}/label_groups", to.create(LABEL_GROUPS)),
    ("GET", f"{_ANY_VERSION}/label_groups/{{id}}", to.get_versioned(LABEL_GROUPS)),
    ("PUT", f"{_DRAFT}/label_groups/{{id}}", to.update(LABEL_GROUPS)),
    ("DELETE", f"{_DRAFT}/label_groups/{{id}}", to.delete(LABEL_GROUPS)),
    ("GET", f"{_ANY_VERSION}/label_groups/{{id}}/member_of", to.list_groups_with),
    ("GET", f"{_ANY_VERSION}/label_groups/{{id}}/all_labels", to.list_labels_of_group),
    ("GET", f"{_ANY_VERSION}/ip_lists", to.list_versioned(IP_LISTS)),
    ("POST", f"{_DRAFT}/ip_lists", to.create(IP_LISTS)),
    ("GET", f"{_ANY_VERSION}/ip_lists/{{id}}", to.get_versioned(IP_LISTS)),
    ("PUT", f"{_DRAFT}/ip_lists/{{id}}", to.update(IP_LISTS)),
    ("DELETE", f"{_DRAFT}/ip_lists/{{id}}", to.delete(IP_LISTS)),
    ("GET", f"{_ANY_VERSION}/services", to.list_versioned(SERVICES)),
    ("POST", f"{_DRAFT}/services", to.create(SERVICES)),
    ("GET", f"{_ANY_VERSION}/services/{{id}}", to.get_versioned(SERVICES)),
    ("PUT", f"{_DRAFT}/services/{{id}}", to.update(SERVICES)),
    ("DELETE", f"{_DRAFT}/services/{{id}}", to.delete(SERVICES)),
    ("GET", f"{_ANY_VERSION}/rule_sets", to.list_versioned(RULE_SETS)),
    ("POST", f"{_DRAFT}/rule_sets", to.create(RULE_SETS)),
    ("GET", f"{_ANY_VERSION}/rule_sets/{{id}}", to.get_versioned(RULE_SETS)),
    ("PUT", f"{_DRAFT}/rule_sets/{{id}}", to.update(RULE_SETS)),
    ("DELETE", f"{_DRAFT}/rule_sets/{{id}}", to.delete(RULE_SETS)),
    ("GET", f"{_ANY_VERSION}/rule_sets/{{rule_set}}/sec_rules", to.list_rules(SEC_RULES)),
    ("POST", f"{_DRAFT}/rule_sets/{{rule_set}}/sec_rules", to.create_rule(SEC_RULES)),
    ("GET", f"{_ANY_VERSION}/rule_sets/{{rule_set}}/sec_rules/{{id}}", to.get_rule(SEC_RULES)),
    ("PUT", f"{_DRAFT}/rule_sets/{{rule_set}}/sec_rules/{{id}}", to.update_rule(SEC_RULES)),
    ("DELETE", f"{_DRAFT}/rule_sets/{{rule_set}}/sec_rules/{{id}}", to.delete_rule(SEC_RULES)),
    ("GET", f"{_ANY_VERSION}/rule_sets/{{rule_set}}/deny_rules", to.list_rules(DENY_RULES)),
    ("POST", f"{_DRAFT}/rule_sets/{{rule_set}}/deny_rules", to.create_rule(DENY_RULES)),
    ("GET", f"{_ANY_VERSION}/rule_sets/{{rule_set}}/deny_rules/{{id}}", to.get_rule(DENY_RULES)),
    ("PUT", f"{_DRAFT}/rule_sets/{{rule_set}}/deny_rules/{{id}}", to.update_rule(DENY_RULES)),
    ("DELETE", f"{_DRAFT}/rule_sets/{{rule_set}}/deny_rules/{{id}}", to.delete_rule(DENY_RULES)),
    ("GET", f"{_ANY_VERSION}/enforcement_boundaries", to.list_versioned(ENFORCEMENT_BOUNDARIES)),
    ("POST", f"{_DRAFT}/enforcement_boundaries", to.create(ENFORCEMENT_BOUNDARIES)),
    (
        "GET",
        f"{_ANY_VERSION}/enforcement_boundaries/{{id}}",
        to.get_versioned(ENFORCEMENT_BOUNDARIES),
    ),
    ("PUT", f"{_DRAFT}/enforcement_boundaries/{{id}}", to.update(ENFORCEMENT_BOUNDARIES)),
    ("DELETE", f"{_DRAFT}/enforcement_boundaries/{{id}}", to.delete(ENFORCEMENT_BOUNDARIES)),
    (
        "GET",
        f"{_ANY_VERSION}/firewall_settings",
        to.get_versioned(FIREWALL_SETTINGS, "firewall_settings"),
    ),
    ("PUT", f"{_DRAFT}/firewall_settings", to.update(FIREWALL_SETTINGS, "firewall_settings")),
    ("GET", f"{_ANY_VERSION}/virtual_services", to.list_versioned(VIRTUAL_SERVICES)),
    ("POST", f"{_DRAFT}/virtual_services", to.create(VIRTUAL_SERVICES)),
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
    ("GET", f"{_ANY_VERSION}/virtual_services/{{id}}", to.get_versioned(VIRTUAL_SERVICES)),
    ("PUT", f"{_DRAFT}/virtual_services/{{id}}", to.update(VIRTUAL_SERVICES)),
    ("DELETE", f"{_DRAFT}/virtual_services/{{id}}", to.delete(VIRTUAL_SERVICES)),
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
    ("GET", f"{_ANY_VERSION}/virtual_servers", to.nothing),
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
    ("GET", f"{_O}/report_schedules", to.nothing),
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
    ("GET", f"{_O}/settings", to.get_settings(ORG_SETTINGS)),
    ("PUT", f"{_O}/settings", to.put_settings(ORG_SETTINGS)),
    ("GET", f"{_O}/settings/workloads", to.get_settings(WORKLOAD_SETTINGS)),
    ("PUT", f"{_O}/settings/workloads", to.put_settings(WORKLOAD_SETTINGS)),
    ("GET", f"{_O}/settings/kerberos", to.get_kerberos),
    ("PUT", f"{_O}/settings/kerberos", to.put_kerberos),
    ("GET", f"{_O}/settings/events", to.get_settings(EVENT_SETTINGS)),
    ("PUT", f"{_O}/settings/events", to.put_settings(EVENT_SETTINGS)),
    ("GET", f"{_O}/settings/reports", to.get_settings(REPORT_SETTINGS)),
    ("PUT", f"{_O}/settings/reports", to.put_settings(REPORT_SETTINGS)),
    ("GET", f"{_O}/settings/trusted_proxy_ips", to.get_settings(TRUSTED_PROXIES)),
    ("PUT", f"{_O}/settings/trusted_proxy_ips", to.put_settings(TRUSTED_PROXIES)),
    ("GET", f"{_O}/optional_features", to.get_optional_features),
    ("PUT", f"{_O}/optional_features", to.put_optional_features),
    *_all_methods(f"{_O}/settings/traffic_collector", TRAFFIC_COLLECTORS, "settings"),
    ("GET", f"{_O}/settings/syslog/destinations", streaming.list_destinations),
    ("POST", f"{_O}/settings/syslog/destinations", streaming.create),
    ("GET", f"{_O}/settings/syslog/destinations/{{id}}", streaming.get_destination),
    ("PUT", f"{_O}/settings/syslog/destinations/{{id}}", streaming.update),
    ("DELETE", f"{_O}/settings/syslog/destinations/{{id}}", streaming.delete),
    # Events and jobs
    ("GET", f"{_O}/events", to.list_events),
    ("GET", f"{_O}/events/{{id}}", to.get_event),
    ("GET", f"{_O}/jobs", to.list_jobs),
    ("GET", f"{_O}/jobs/{{id}}", to.get_job),
    ("GET", f"{_O}/datafiles/{{id}}", to.get_datafile),
)


_FORMS = {
    "org": r"\d{1,9}",
    "version": r"draft|active|\d{1,9}",
    "number": r"\d{1,9}",
    "name": r"[^/]+",  # of an interface, percent-encoded
}
_ANY_ID = r"[^/]{1,255}"
"""What may stand for a name in a path, unless it is listed. A sort key holds 1,024 bytes: DynamoDB
refuses to look for a longer one."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table, ready to be compared with a path."""

    method: str
    path: str
    pattern: re.Pattern[str]
    endpoint: Endpoint
    event_type: str
    """Of the event that it writes when it changes something."""
    right: Right
    """Who may use it, from the table in ``api_access.py``."""

    @property
    def changes(self) -> bool:
        """Whether it changes what an org has; what every viewer may do are questions."""
        return self.method != "GET" and VIEWER not in self.right.roles


def _compiled() -> Iterator[Route]:
    for method, path, endpoint in _ENDPOINTS:
        pattern = re.sub(
            r"\{(\w+)\}",
            lambda match: f"(?P<{match[1]}>{_FORMS.get(match[1], _ANY_ID)})",
            path,
        )
        event_type, right = event_type_of(method, path), right_to(method, path)
        yield Route(method, path, re.compile(pattern), endpoint, event_type, right)


ROUTES = tuple(_compiled())


def document() -> dict[str, Any]:
    """The OpenAPI document of all this."""
    return openapi(
        tuple((r.method, r.path, r.endpoint, r.right, r.event_type, r.changes) for r in ROUTES)
    )


def _page() -> Reply:
    headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": POLICY}
    return {"statusCode": 200, "headers": headers, "body": page(document())}


_OPEN: Mapping[str, Callable[[], Reply]] = {
    "/node_available": lambda: ok({"node_available": True}),
    "/noop": no_content,
    "/openapi.json": lambda: ok(document()),
    "/docs": _page,
}
"""GET without credentials: whether anybody is there, and what the API is."""


def answer(request: Request, stores: Stores, now: float) -> Reply:
    """The answer to one request. Raises a ``PceError`` for whatever is wrong with it."""
    if request.method == "HEAD":
        whole = answer(replace(request, method="GET"), stores, now)
        return {**whole, "body": "", "isBase64Encoded": False}
    path = api_path(request.path)
    if path in _OPEN and request.method == "GET":
        return fitting(_OPEN[path](), request)
    routes = [(route, match) for route in ROUTES if (match := route.pattern.fullmatch(path))]
    if not routes:
        return _refusal(404, "not_found", f"there is nothing at {request.path}")
    for route, match in routes:
        if route.method == request.method:
            call = admit(request, match.groupdict(), route.right, stores, now)
            return _answered(call, route)
    allowed = ", ".join(sorted({route.method for route, _ in routes}))
    message = f"{request.method} is not possible at {request.path}; {allowed} is"
    return _refusal(405, "method_not_allowed_error", message, {"allow": allowed})


def _answered(call: Call, route: Route) -> Reply:
    """What the endpoint answers; a change that it refuses is written down."""
    try:
        return fitting(route.endpoint(call), call.request)
    except NotAllowed as error:
        record_not_allowed(call.caller, error, call.stores)
        raise
    except (Invalid, Conflict, TooLarge) as error:
        if route.changes:
            record_failure(call.caller, route.event_type, error, call.stores)
        raise


def _refusal(
    status: int, token: str, message: str, headers: Mapping[str, str] | None = None
) -> Reply:
    return json_reply(status, [{"token": token, "message": message}], headers)
