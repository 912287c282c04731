"""What the PCE has found wrong with a VEN, kept in its record until it is over.

A condition is raised by an audit event. What a VEN reports of itself is its ``health``.
"""

from collections.abc import Mapping
from typing import Any

MISSED_HEARTBEATS = "agent.missed_heartbeats"
"""The condition, and the notification of the event that raises it."""
MISSING_AFTER_UPGRADE = "agent.missing_heartbeats_after_upgrade"
"""The same of a VEN that has been told to upgrade."""
UPGRADE_TIME_OUT = "agent.upgrade_time_out"
UPGRADE_FAILED = "agent.upgrade_failed"

DETECTS_CLONES = True
"""Unless an org says otherwise."""
CLONE_DETECTED = "agent.clone_detected"
"""The same of a VEN whose identity two machines use."""


def with_condition(
    ven: Mapping[str, Any], notification_type: str, event: Mapping[str, Any]
) -> dict[str, Any]:
    """A VEN's conditions with this one, which ``event`` raised, or raised again: the change of the
    record. A condition stands until :func:`without_condition`."""
    known = ven.get("conditions") or {}
    [info] = [
        notification["info"]
        for notification in event["notifications"]
        if notification["notification_type"] == notification_type
    ]
    before = known.get(notification_type) or {}
    raised = {
        "first_reported_timestamp": before.get("first_reported_timestamp") or event["timestamp"],
        "latest_event": {
            "notification_type": notification_type,
            "severity": event["severity"],
            "href": event["href"],
            "timestamp": event["timestamp"],
            "info": info,
        },
    }
    return {"conditions": {**known, notification_type: raised}}


def without_condition(ven: Mapping[str, Any], *notification_types: str) -> dict[str, Any]:
    """A VEN's conditions without these: the change of the record, empty when there is none."""
    known = ven.get("conditions") or {}
    left = {name: raised for name, raised in known.items() if name not in notification_types}
    return {"conditions": left} if left != known else {}
