"""Workloads: hosts, with a VEN (managed) or without.

Stored in ``workloads`` under their UUID. A stored document holds what people and VENs said; what
follows from labels, the VEN's record or its presence is joined when it is shown.
"""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pce.identifiers import OrgId, ven_href, workload_href
from pce.timestamps import rfc3339
from ven_protocol.messages import EnforcementMode, HostFacts, Interface, VisibilityLevel


def new_managed_workload(
    *,
    org_id: OrgId,
    ven_id: uuid.UUID,
    host: HostFacts,
    interfaces: Sequence[Interface],
    label_hrefs: Iterable[str],
    enforcement_mode: EnforcementMode,
    visibility_level: VisibilityLevel,
    agent_id: int,
    now: float,
) -> dict[str, Any]:
    """The workload of a VEN that activates at ``now`` (epoch seconds)."""
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
        "agent_id": agent_id,
        "created_at": at,
        "created_by": actor,
        "updated_at": at,
        "updated_by": actor,
    }
