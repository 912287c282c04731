"""What a VEN can do with IPv6. A room of its own: what labels flows loads nothing more."""

import re
from collections.abc import Mapping
from typing import Any, Literal

Ipv6Support = Literal["by_rules", "all_or_nothing", "never_blocked"]

IPV6_RULES_SINCE = (20, 2)
"""VENs of this version and later enforce IPv6 rules (VEN-to-PCE Communication, VEN Support for
IPv6 Traffic)."""


def ipv6_support_of(workload: Mapping[str, Any]) -> Ipv6Support:
    """By the operating system and VEN version of a workload's document."""
    if (workload.get("os_type") or "").lower() in ("aix", "solaris"):
        return "never_blocked"
    version = re.match(r"(\d+)\.(\d+)", workload.get("ven_version") or "")
    if version and tuple(map(int, version.groups())) < IPV6_RULES_SINCE:
        return "all_or_nothing"
    return "by_rules"
