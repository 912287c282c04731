"""How many objects an org may have of each collection. Pure.

What the engine and the lists were measured with (docs/performance.md) is where the limits lie: up
to there an org is known to work. From ``SOFT_SHARE`` of a limit on, each new object's event says
so.
"""

from pce.errors import Invalid, Problem

LIMITS = {
    "workloads": 100_000,  # the engine's budget
    "service_bindings": 100_000,
    "vulnerabilities": 100_000,
    "vulnerability_reports": 1_000,
    "labels": 50_000,
    "label_dimensions": 64,  # a workload has as many labels at most
    "label_groups": 10_000,
    "ip_lists": 10_000,
    "services": 10_000,
    "rule_sets": 20_000,  # the engine's budget is 20,000 rules
    "enforcement_boundaries": 1_000,
    "virtual_services": 10_000,
    "virtual_servers": 10_000,
    "discovered_virtual_servers": 10_000,
    "network_endpoints": 50_000,  # ports of 1,000 switches
    "pairing_profiles": 1_000,
    "container_clusters": 1_000,
    "container_workload_profiles": 10_000,
    "security_principals": 10_000,
    "auth_security_principals": 10_000,
    "permissions": 10_000,
    "service_accounts": 1_000,
    "users": 1_000,
    "label_mapping_rules": 500,  # each is asked of each workload
    "report_schedules": 100,  # each is a traffic query over its days
    "access_restrictions": 50,  # the documented limit
}
OTHERS = 1_000
"""Of a collection that is not listed: none of them has as many in any use that is known."""
SOFT_SHARE = 0.8


def hard_limit(collection: str) -> int:
    """Objects of a collection that an org may have."""
    return LIMITS.get(collection, OTHERS)


def soft_limit(collection: str) -> int:
    """From which number on people are told."""
    return int(hard_limit(collection) * SOFT_SHARE)


TOKEN = "object_limit_exceeded"  # noqa: S105


def limit_exceeded(collection: str) -> Invalid:
    """The refusal of one object more."""
    message = (
        f"the organization has {hard_limit(collection)} {collection}, as many as it may have;"
        " delete what nobody uses"
    )
    return Invalid(Problem(TOKEN, message))
