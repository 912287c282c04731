"""The record of a VEN: the agent, where its workload is the host.

Stored in ``vens`` under the UUID that it shares with its workload. What changes with every
heartbeat lies in the presence table; both are joined when a VEN is shown.
"""

import operator
import re
import uuid
from collections.abc import Callable
from typing import Any

from pce.identifiers import OrgId, ven_href
from pce.objects.collection import Collection
from pce.objects.fields import MAX_TEXT, Choice, Shape, Text
from pce.objects.filters import (
    Filter,
    MakeFilter,
    at_least,
    at_most,
    boolean,
    contains,
    equals,
    has_address,
    has_labels,
)
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
        "upgrade_target_version": None,
        "upgrade_expires_at": None,
        "created_at": at,
        "created_by": {"href": href},
        "updated_at": at,
        "updated_by": {"href": href},
    }


def _is_healthy(text: str) -> Filter:
    """``healthy``, or any of the words for the contrary."""
    healthy = text == "healthy"
    if text == "error":
        return lambda ven: any(
            c["latest_event"]["severity"] in ("err", "error") for c in ven["conditions"]
        )
    return lambda ven: (not ven["conditions"]) is healthy


def _has_condition(text: str) -> Filter:
    return lambda ven: any(
        c["latest_event"]["notification_type"] == text for c in ven["conditions"]
    )


def _version(compare: Callable[[Any, Any], bool]) -> MakeFilter:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)]

    def make(text: str) -> Filter:
        return lambda ven: compare(numbers(ven.get("version") or ""), numbers(text))

    return make


def _upgrade_pending(text: str) -> Filter:
    wanted = boolean(text, "upgrade_pending")
    return lambda ven: bool(ven.get("upgrade_target_version")) is wanted


VENS = Collection(
    name="vens",
    kind="ven",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "status": Choice(("active", "suspended")),
            "target_pce_fqdn": Text(),
        }
    ),
    unique=(),
    searched=("name", "hostname"),
    numbered=False,
    keeps_deleted=True,
    filters={
        "name": contains("name"),
        "hostname": contains("hostname"),
        "description": contains("description"),
        "os": contains("os_id"),
        "activation_type": equals("activation_type"),
        "last_goodbye_at[gte]": at_least("last_goodbye_at"),
        "last_goodbye_at[lte]": at_most("last_goodbye_at"),
        "version[gte]": _version(operator.ge),
        "version[lte]": _version(operator.le),
        "upgrade_pending": _upgrade_pending,
    },
    shown_in_events=("href", "name", "hostname"),
)

OF_WORKLOAD: dict[str, MakeFilter] = {"labels": has_labels, "ip_address": has_address}
"""Filters on what a VEN shows of its workload."""

OF_PRESENCE: dict[str, MakeFilter] = {
    "status": equals("status"),
    "last_heartbeat_at[gte]": at_least("last_heartbeat_at"),
    "last_heartbeat_at[lte]": at_most("last_heartbeat_at"),
    "disconnected_before": at_most("last_heartbeat_at"),
}
"""Filters on what presence alone knows."""

SHOWN_FILTERS: dict[str, MakeFilter] = {
    **OF_WORKLOAD,
    **OF_PRESENCE,
    "health": _is_healthy,
    "condition": _has_condition,
}
"""Filters on VENs as they are shown: joined with workload and presence."""
