"""What lists of workloads are filtered by most, and what rules ask of workloads, in a few bytes a
workload.

The address directory holds it for every workload of an org (``store/directory.py``), so that a
filtered list reads those that match and not all, and the impact of a provisioning none.
"""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pce.identifiers import OrgId, org_href, workload_href
from pce.policy.ipv6_support import Ipv6Support, ipv6_support_of
from ven_protocol.messages import EnforcementMode, VisibilityLevel

INDEXED = frozenset(
    (
        *("name", "hostname", "labels", "managed", "online"),
        *("enforcement_mode", "enforcement_modes", "mode", "visibility_level"),
    )
)
"""Filters of workloads that :func:`facts` answers."""

_MODES: tuple[str, ...] = get_args(EnforcementMode)
_LEVELS: tuple[str, ...] = get_args(VisibilityLevel)
_IPV6: tuple[str, ...] = get_args(Ipv6Support)

_ONLINE = 1
_MODE = 1
_VISIBILITY = 3
_NO_HOSTNAME = 1 << 6
_CONTAINER_HOST = 1 << 7
_IPV6_SUPPORT = 8
"""Bits of a state: one, two from bit 1, three from bit 3, one, one, two from bit 8."""


def state_of(workload: Mapping[str, Any]) -> int:
    """The attributes that have few values, as one number below 1,024."""
    return (
        (_ONLINE if workload.get("online") else 0)
        | _MODES.index(workload.get("enforcement_mode") or "visibility_only") << _MODE
        | _LEVELS.index(workload.get("visibility_level") or "flow_summary") << _VISIBILITY
        | (0 if workload.get("hostname") else _NO_HOSTNAME)
        | (_CONTAINER_HOST if workload.get("container_cluster") else 0)
        | _IPV6.index(ipv6_support_of(workload)) << _IPV6_SUPPORT
    )


def facts(
    org_id: OrgId,
    *,
    id: str,
    hostname: str,
    name: str | None,
    labels: Iterable[str],
    managed: bool,
    state: int,
) -> dict[str, Any]:
    """What the index knows of a workload, in the form of its stored document; beside it
    ``container_host`` and ``ipv6_support``, as in :class:`pce.policy.estate.Workload`.
    ``hostname`` is the name where there is no host name, as flows are shown."""
    href = org_href(org_id)
    return {
        "href": workload_href(org_id, id),
        "name": name,
        "hostname": None if state & _NO_HOSTNAME else hostname,
        "labels": [{"href": f"{href}/labels/{label}"} for label in labels],
        "managed": managed,
        "online": bool(state & _ONLINE),
        "enforcement_mode": _MODES[state >> _MODE & 3],
        "visibility_level": _LEVELS[state >> _VISIBILITY & 7],
        "container_host": bool(state & _CONTAINER_HOST),
        "ipv6_support": _IPV6[state >> _IPV6_SUPPORT & 3],
    }
