"""What roles may do with objects that they read: ``caps`` of each object. Pure.

The same as ``runtime/api_access.py`` says of the endpoints that do it, which a test compares.
"""

from collections.abc import Mapping

from pce.access.roles import (
    ADMIN,
    LIMITED_RULESET_MANAGER,
    OBJECT_PROVISIONER,
    OWNER,
    RULESET_MANAGER,
    RULESET_PROVISIONER,
    WORKLOAD_MANAGER,
)

PROVISION = "provision"

_ADMINS = frozenset({OWNER, ADMIN})
_OWNERS = frozenset({OWNER})
_RULESET_EDITORS = _ADMINS | {RULESET_MANAGER, LIMITED_RULESET_MANAGER}
_WORKLOAD_EDITORS = _ADMINS | {WORKLOAD_MANAGER}

_WRITERS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("rule_sets", "sec_rules", "deny_rules"), _RULESET_EDITORS),
    **dict.fromkeys(("workloads", "vens", "pairing_profiles"), _WORKLOAD_EDITORS),
    "firewall_settings": _ADMINS | {OBJECT_PROVISIONER},
    **dict.fromkeys(
        (
            *("users", "service_accounts", "permissions", "auth_security_principals"),
            *("access_restrictions", "traffic_collector", "destinations"),
        ),
        _OWNERS,
    ),
}
"""Who edits the objects of a collection; administrators, where it is not listed."""

_PROVISIONERS: Mapping[str, frozenset[str]] = {
    "rule_sets": _ADMINS | {RULESET_PROVISIONER},
    **dict.fromkeys(
        ("ip_lists", "services", "label_groups", "firewall_settings"),
        _ADMINS | {OBJECT_PROVISIONER},
    ),
}


def roles_with(cap: str, collection: str) -> frozenset[str]:
    """Who has a capability: ``provision``, or any other, which all go with editing."""
    table = _PROVISIONERS if cap == PROVISION else _WRITERS
    return table.get(collection, _ADMINS)
