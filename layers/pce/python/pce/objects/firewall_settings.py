"""Firewall settings: one object per org that is always there. Provisioned."""

from pce.objects.collection import Collection
from pce.objects.fields import Choice, Flag, ListOf, Record, Reference, Shape
from pce.objects.rule_set import SCOPES

_COEXISTENCE = Shape(
    {
        "illumio_primary": Flag(),
        "scope": ListOf(Reference("labels")),
        "workload_mode": Choice(("enforced", "illuminated")),
    },
    required=("illumio_primary", "scope"),
)

SCOPE_LISTS = (
    "static_policy_scopes",
    "containers_inherit_host_policy_scopes",
    "blocked_connection_reject_scopes",
    "loopback_interfaces_in_policy_scopes",
    "ip_forwarding_enabled_scopes",
    "rule_hit_count_enabled_scopes",
)
SCOPED = (*SCOPE_LISTS, "firewall_coexistence")
"""Settings that mean some workloads and not others."""

_SWITCHES = {
    "allow_ipv6": True,
    "allow_dhcp_client": True,
    "allow_traceroute": True,
    "allow_igmp": True,
    "allow_captive_portal_outbound": False,
    "log_dropped_multicast": True,
    "log_dropped_broadcast": False,
}

FIREWALL_SETTINGS = Collection(
    name="firewall_settings",
    kind="firewall_settings",
    shape=Shape(
        {
            "ike_authentication_type": Choice(("psk", "certificate")),
            **dict.fromkeys(SCOPE_LISTS, SCOPES),
            "firewall_coexistence": ListOf(Record(_COEXISTENCE)),
            **dict.fromkeys(_SWITCHES, Flag()),
            "ipv6_mode": Choice(("policy_based", "block_all")),
            "network_detection_mode": Choice(("single_private_brn", "manual")),
        }
    ),
    defaults={
        **_SWITCHES,
        "ike_authentication_type": "psk",
        "ipv6_mode": "policy_based",
        "network_detection_mode": "single_private_brn",
    },
    unique=(),
    caps=("write", "provision"),
    shown_in_events=("href",),
)
