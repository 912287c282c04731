"""The type of the event that a changing endpoint writes, from its method and path.

Use cases name their events themselves; this is for requests that fail, which never get there, and
for the published document. A test compares it with what each endpoint really writes.
"""

import re

from pce.objects.catalogue import COLLECTIONS

_VERBS = {"POST": "create", "PUT": "update", "DELETE": "delete"}
_VERSIONED = re.compile(r"^/orgs/\{org\}(/sec_policy/(draft|\{version\}))?(?=/)")

_OTHERS = {
    "POST /login_users/authenticate": "user.authenticate",
    "POST /login_users/accept_invitation": "user.accept_invitation",
    "PUT /login_users/users/{id}/password": "user.update_password",
    "GET /users/login": "user.login",
    "PUT /users/{id}/logout": "user.logout",
    "PUT /users/{id}/local_profile/reinvite": "user_local_profile.reinvite",
    "PUT /authentication_settings": "authentication_settings.update",
    "PUT /authentication_settings/password_policy": "password_policy.update",
    "PUT label_mapping_rules/update": "label_mapping_rules.bulk_update",
    "PUT label_mapping_rules/delete": "label_mapping_rules.bulk_delete",
    "POST label_mapping_rules/run": "label_mapping_rules.run",
    "PUT label_mapping_rules/run/{id}/assign_labels": "workloads.set_labels",
    "PUT label_mapping_rules/{id}/reorder": "label_mapping_rule.update",
    "PUT workloads/bulk_import": "workloads.bulk_create",
    "PUT workloads/unpair": "agents.unpair",
    "POST workloads/set_flow_reporting_frequency": "workloads.set_flow_reporting_frequency",
    "PUT vens/unpair": "agents.unpair",
    "PUT vens/clear_conditions": "agents.clear_conditions",
    "PUT vens/{id}": "agent.update",
    "POST vens/{id}/maintenance_token": "agent.generate_maintenance_token",
    "PUT vens/upgrade": "agent.request_upgrade",
    "POST workloads/{id}/upgrade": "agent.request_upgrade",
    "PUT vens/remote_action": "agent.update",
    "POST support_bundle_requests": "agent_support_report_request.create",
    "DELETE support_bundle_requests/{id}": "agent_support_report_request.delete",
    "PUT software/ven/releases/{id}": "ven_software_release.update",
    "DELETE software/ven/releases/{id}": "ven_software_release.delete",
    "PUT software/ven/releases/default": "ven_software_releases.set_default_version",
    "PUT agents/{id}": "workload.update",
    "PUT agents/{id}/update": "agent.update",
    "POST workloads/{id}/interfaces": "workload.update",
    "PUT workloads/{id}/interfaces/{name}": "workload.update",
    "DELETE workloads/{id}/interfaces/{name}": "workload.update",
    "POST pairing_profiles/{id}/pairing_key": "pairing_profile.create_pairing_key",
    "DELETE pairing_profiles/{id}/pairing_keys": "pairing_profile.delete_all_pairing_keys",
    "POST sec_policy": "sec_policy.create",
    "DELETE sec_policy/pending": "sec_policy_pending.delete",
    "PUT sec_policy/delete": "sec_policy_pending.delete",
    "POST sec_policy/{number}/restore": "sec_policy.restore",
    "PUT firewall_settings": "firewall_settings.update",
    "POST vulnerabilities": "vulnerabilities.bulk_create",
    "POST service_bindings": "service_bindings.bulk_create",
    "POST agents/bulk_traffic_flows": "agents.bulk_traffic_flows",
    "POST network_devices/{device}/enforcement_instructions_request": (
        "network_device.request_enforcement_instructions"
    ),
    "POST network_devices/{device}/enforcement_instructions_applied": (
        "network_device.ack_enforcement_instructions_applied"
    ),
    "POST network_devices/multi_enforcement_instructions_request": (
        "network_devices.request_multi_enforcement_instructions"
    ),
    "POST network_devices/multi_enforcement_instructions_applied": (
        "network_devices.ack_multi_enforcement_instructions_applied"
    ),
    "PUT settings": "settings.update",
    "PUT settings/reports": "report_settings.update",
    "PUT settings/trusted_proxy_ips": "trusted_proxy_ips.update",
    "PUT optional_features": "optional_features.update",
    "PUT settings/workloads": "workload_settings.update",
    "PUT settings/kerberos": "authentication_settings.update",
    "PUT settings/events": "event_settings.update",
    "POST settings/syslog/destinations": "syslog_destination.create",
    "PUT settings/syslog/destinations/{id}": "syslog_destination.update",
    "DELETE settings/syslog/destinations/{id}": "syslog_destination.delete",
}
"""Endpoints whose type does not follow from their path; those of an org without what all share."""


def event_type_of(method: str, path: str) -> str:
    """``label.create`` for ``POST /orgs/{org}/labels``, ``workloads.bulk_update`` for ``PUT`` of
    that name."""
    rest = _VERSIONED.sub("", path)
    if rest != path:
        rest = rest.lstrip("/")
    other = _OTHERS.get(f"{method} {rest}")
    if other:
        return other
    parts = [part for part in rest.strip("/").split("/") if not part.startswith("{")]
    if method == "PUT" and len(parts) > 1 and not rest.endswith("}"):
        return f"{parts[-2]}.{parts[-1]}"
    return f"{singular(parts[-1])}.{_VERBS.get(method, 'read')}"


def singular(collection: str) -> str:
    """One object of a collection."""
    known = COLLECTIONS.get(collection)
    if known is not None:
        return known.kind
    if collection.endswith("ies"):
        return f"{collection[:-3]}y"
    return collection.removesuffix("s")
