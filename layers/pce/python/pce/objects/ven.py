"""The record of a VEN: the agent, where its workload is the host.

Stored in ``vens`` under the UUID that it shares with its workload. What changes with every
heartbeat lies in the presence table; both are joined when a VEN is shown.
"""

import uuid
from typing import Any

from pce.identifiers import OrgId, ven_href
from pce.timestamps import rfc3339
from ven_protocol.messages import HostFacts, VenType


def new_ven(
    *,
    org_id: OrgId,
    ven_id: uuid.UUID,
    host: HostFacts,
    ven_type: VenType,
    machine_id: str,
    pairing_profile_href: str,
    agent_id: int,
    now: float,
) -> dict[str, Any]:
    """The record of a VEN that activates at ``now`` (epoch seconds)."""
    href = ven_href(org_id, ven_id)
    at = rfc3339(now)
    return {
        "href": href,
        "agent_id": agent_id,
        "name": None,
        "description": None,
        "hostname": host.hostname,
        "uid": machine_id or None,
        "machine_id": machine_id,
        "os_id": host.os_id,
        "os_detail": host.os_detail,
        "os_platform": host.os_platform,
        "version": host.version,
        "ven_type": ven_type,
        "activation_type": "pairing_key",
        "pairing_profile": {"href": pairing_profile_href},
        "status": "active",
        "deleted": False,
        "managed_since": at,
        "last_goodbye_at": None,
        "target_pce_fqdn": None,
        "created_at": at,
        "created_by": {"href": href},
        "updated_at": at,
        "updated_by": {"href": href},
    }
