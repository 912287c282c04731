"""All collections by name."""

from pce.objects.access_restriction import ACCESS_RESTRICTIONS
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS
from pce.objects.collection import Collection
from pce.objects.container_cluster import CONTAINER_CLUSTERS
from pce.objects.container_workload_profile import CONTAINER_WORKLOAD_PROFILES
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
from pce.objects.slb import SLBS
from pce.objects.traffic_collector import TRAFFIC_COLLECTORS
from pce.objects.user import USERS
from pce.objects.ven import VENS
from pce.objects.virtual_server import VIRTUAL_SERVERS
from pce.objects.virtual_service import VIRTUAL_SERVICES
from pce.objects.vulnerability import VULNERABILITIES
from pce.objects.vulnerability_report import VULNERABILITY_REPORTS
from pce.objects.workload import WORKLOADS

PROVISIONED: tuple[Collection, ...] = (
    LABEL_GROUPS,
    SERVICES,
    RULE_SETS,
    IP_LISTS,
    VIRTUAL_SERVICES,
    VIRTUAL_SERVERS,
    ENFORCEMENT_BOUNDARIES,
    FIREWALL_SETTINGS,
)
"""Collections with drafts and policy versions, in the order in which clients list them."""

COLLECTIONS: dict[str, Collection] = {
    collection.name: collection
    for collection in (
        ACCESS_RESTRICTIONS,
        AUTH_SECURITY_PRINCIPALS,
        PERMISSIONS,
        SERVICE_ACCOUNTS,
        USERS,
        LABELS,
        LABEL_DIMENSIONS,
        LABEL_MAPPING_RULES,
        WORKLOADS,
        VENS,
        PAIRING_PROFILES,
        SERVICE_BINDINGS,
        CONTAINER_CLUSTERS,
        CONTAINER_WORKLOAD_PROFILES,
        SECURITY_PRINCIPALS,
        VULNERABILITIES,
        VULNERABILITY_REPORTS,
        TRAFFIC_COLLECTORS,
        REPORT_SCHEDULES,
        NETWORK_ENFORCEMENT_NODES,
        SLBS,
        DISCOVERED_VIRTUAL_SERVERS,
        NETWORK_DEVICES,
        NETWORK_ENDPOINTS,
        SEC_RULES,
        DENY_RULES,
        *PROVISIONED,
    )
}
