"""Workloads: hosts, with a VEN (managed) or without.

Stored in ``workloads`` under their UUID. A stored document holds what people and VENs said; what
follows from labels, the VEN's record or its presence is joined when it is shown.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from pce.errors import Problem
from pce.identifiers import OrgId, ven_href, workload_href
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import (
    INVALID,
    MAX_TEXT,
    Address,
    Choice,
    Flag,
    Integer,
    ListOf,
    Record,
    Reference,
    Shape,
    Text,
)
from pce.objects.filters import (
    Filter,
    contains,
    equals,
    flag,
    has_address,
    has_labels,
    json_list,
    one_of,
)
from pce.timestamps import rfc3339
from ven_protocol.messages import (
    EnforcementMode,
    HostFacts,
    Interface,
    VenType,
    VisibilityLevel,
)

ENFORCEMENT_MODES: tuple[str, ...] = get_args(EnforcementMode)
VISIBILITY_LEVELS: tuple[str, ...] = get_args(VisibilityLevel)

LEGACY_MODES = {
    "idle": "idle",
    "visibility_only": "illuminated",
    "selective": "selective",
    "full": "enforced",
}
"""Enforcement mode to what the older ``agent.config.mode`` calls it."""

_INTERFACE = Shape(
    {
        "name": Text(),
        "address": Address(),
        "cidr_block": Integer(0, 128),
        "default_gateway_address": Address(),
        "link_state": Choice(("up", "down", "unknown")),
        "friendly_name": Text(),
    },
    required=("name", "address"),
)

READ_ONLY_WHEN_MANAGED = (
    "hostname",
    "interfaces",
    "public_ip",
    "os_id",
    "os_detail",
    "os_type",
    "online",
)
"""Attributes that the VEN sets: of managed workloads they are ignored in what clients send."""

POLICY_ATTRIBUTES = {
    "labels": "labels",
    "enforcement_mode": "workload",
    "visibility_level": "workload",
    "interfaces": "interfaces",
    "ignored_interface_names": "interfaces",
    "online": "workload",
    "hostname": "workload",
    "name": "workload",
}
"""Attributes that policy depends on, or the address directory, by whose names flows are shown; with
the reason that the change log gives."""


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if not document.get("name") and not document.get("hostname"):
        yield Problem("workload_unnamed", "a workload needs a name or a hostname", "name")
    seen = set()
    for at, interface in enumerate(document.get("interfaces") or ()):
        place = (interface.get("name"), interface.get("address"))
        if place in seen:
            where = f"interfaces[{at}]"
            yield Problem(INVALID, f"{where}: {place[0]} has {place[1]} already", where)
        seen.add(place)


def _from_legacy(body: Any) -> Any:
    """What a client sent, with the older ``agent.config`` turned into the present attributes."""
    agent = body.get("agent") if isinstance(body, Mapping) else None
    config = agent.get("config") if isinstance(agent, Mapping) else None
    if not isinstance(config, Mapping):
        return body
    modes = {legacy: mode for mode, legacy in LEGACY_MODES.items()}
    said = {}
    if isinstance(config.get("mode"), str) and config["mode"] in modes:
        said["enforcement_mode"] = modes[config["mode"]]
    if isinstance(config.get("log_traffic"), bool):
        said["visibility_level"] = "flow_summary" if config["log_traffic"] else "flow_drops"
    return {**said, **body} if said else body


def in_clusters(text: str) -> Filter:
    """Container hosts of one of these clusters: a JSON list of hrefs."""
    wanted = {str(href) for href in json_list(text, "container_clusters")}
    return lambda document: (document.get("container_cluster") or {}).get("href") in wanted


@dataclass(frozen=True, slots=True)
class ByDenyRules:
    """Services that the mode ``selective`` should enforce, as older releases took them. Deny rules
    say that now: a list that policy does not follow would look like protection."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The empty list; anything else is refused."""
        if value != []:
            message = f"{at}: name the services in a deny rule; this attribute must be empty"
            problems.append(Problem("selectively_enforced_services_not_supported", message, at))
        return []


WORKLOADS = Collection(
    name="workloads",
    kind="workload",
    shape=Shape(
        {
            "name": Text(),
            "hostname": Text(),
            "description": Text(MAX_TEXT),
            "service_principal_name": Text(),
            "agent_to_pce_certificate_authentication_id": Text(),
            "distinguished_name": Text(),
            "public_ip": Address(),
            "interfaces": ListOf(Record(_INTERFACE), max_entries=4096),
            "ignored_interface_names": ListOf(Text(), max_entries=4096),
            "service_provider": Text(),
            "data_center": Text(),
            "data_center_zone": Text(),
            "os_id": Text(),
            "os_detail": Text(MAX_TEXT),
            "os_type": Text(),
            "online": Flag(),
            "labels": ListOf(Reference("labels"), max_entries=64),
            "enforcement_mode": Choice(ENFORCEMENT_MODES),
            "visibility_level": Choice(VISIBILITY_LEVELS),
            "selectively_enforced_services": ByDenyRules(),
            **EXTERNAL_DATA,
        }
    ),
    defaults={
        "managed": False,
        "deleted": False,
        "online": True,
        "enforcement_mode": "visibility_only",
        "visibility_level": "flow_summary",
        "selectively_enforced_services": [],
    },
    unique=(),
    translate=_from_legacy,
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "hostname": contains("hostname"),
        "description": contains("description"),
        "ip_address": lambda text: has_address(text),
        "labels": has_labels,
        "managed": flag("managed"),
        "online": flag("online"),
        "enforcement_mode": equals("enforcement_mode"),
        "enforcement_modes": one_of("enforcement_mode"),
        "visibility_level": equals("visibility_level"),
        "mode": lambda text: lambda document: LEGACY_MODES[document["enforcement_mode"]] == text,
        "os_id": contains("os_id"),
        "ven": equals("ven"),
        "container_clusters": in_clusters,
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    searched=("name", "hostname"),
    numbered=False,
    keeps_deleted=True,
    private=("agent_id", "deleted_at", "ven_type"),
    shown_in_events=("href", "name", "hostname"),
)


def interface_shown(stored: Mapping[str, Any], *, managed: bool) -> dict[str, Any]:
    """An interface; of a managed workload the VEN leaves out what it does not know."""
    return {
        "name": stored["name"],
        "address": stored["address"],
        "cidr_block": stored.get("cidr_block"),
        "default_gateway_address": stored.get("default_gateway_address"),
        "link_state": stored.get("link_state") or ("unknown" if managed else None),
        "friendly_name": stored.get("friendly_name"),
        "loopback": bool(stored.get("loopback")),
        "network": None,
        "network_detection_mode": "single_private_brn",
    }


def policy_reasons(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Why policy must be computed again after this change; empty when it need not be."""
    return sorted(
        {
            reason
            for name, reason in POLICY_ATTRIBUTES.items()
            if before.get(name) != after.get(name)
        }
    )


def new_managed_workload(
    *,
    org_id: OrgId,
    ven_id: uuid.UUID,
    host: HostFacts,
    interfaces: Sequence[Interface],
    label_hrefs: Iterable[str],
    enforcement_mode: EnforcementMode,
    visibility_level: VisibilityLevel,
    ven_type: VenType,
    cluster: Mapping[str, Any] | None,
    agent_id: int,
    now: float,
) -> dict[str, Any]:
    """The workload of a VEN that activates at ``now`` (epoch seconds); ``cluster``: href and name
    of the container cluster of a container host."""
    at = rfc3339(now)
    actor = {"href": ven_href(org_id, ven_id)}
    return {
        "href": workload_href(org_id, ven_id),
        "name": None,
        "hostname": host.hostname,
        "description": None,
        "managed": True,
        "deleted": False,
        "online": True,
        "labels": [{"href": href} for href in label_hrefs],
        "enforcement_mode": enforcement_mode,
        "visibility_level": visibility_level,
        "interfaces": msgspec.to_builtins(list(interfaces)),
        "ignored_interface_names": [],
        "public_ip": host.public_ip,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_type": host.os_platform,
        "ven": {"href": ven_href(org_id, ven_id)},
        "ven_version": host.version,
        "ven_type": ven_type,
        "container_cluster": cluster,
        "agent_id": agent_id,
        "created_at": at,
        "created_by": actor,
        "updated_at": at,
        "updated_by": actor,
    }
