"""The form of an audit event: who did what to which resource, and what changed.

The JSON is what compatible clients read from ``/orgs/{org}/events``. Pure: time and identifiers
are given.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pce.identifiers import OrgId, org_href, ven_href

Severity = Literal["info", "warning", "err"]
Status = Literal["success", "failure"]
JsonObject = Mapping[str, Any]

SYSTEM: JsonObject = {"system": {}}
"""The actor of everything that the PCE does by itself."""


def user_actor(href: str, username: str) -> JsonObject:
    """A person or script that used an API key."""
    return {"user": {"href": href, "username": username}}


def service_account_actor(href: str, name: str) -> JsonObject:
    """A script with an account of its own."""
    return {"service_account": {"href": href, "name": name}}


def ven_actor(org_id: OrgId, ven_id: uuid.UUID, hostname: str, agent_id: int) -> JsonObject:
    """A VEN, under both names that clients look for."""
    return {
        "agent": {"href": f"{org_href(org_id)}/agents/{agent_id}", "hostname": hostname},
        "ven": {"href": ven_href(org_id, ven_id), "hostname": hostname},
    }


@dataclass(frozen=True, slots=True)
class HttpAction:
    """The HTTP call that caused an event."""

    endpoint: str
    """Path of the call; calls of VENs show ``FILTERED``, as clients are used to."""
    method: str
    status: int
    source_ip: str
    errors: Sequence[JsonObject] = ()
    """``{"token", "message"}`` of each problem that was answered."""


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """What happened to one resource."""

    kind: str
    """Key of the resource in the event, for example ``workload``."""
    resource: JsonObject
    change_type: Literal["create", "update", "delete"]
    changes: JsonObject
    """Attribute to ``{"before", "after"}``; lists to ``{"created", "deleted", "updated"}``."""


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that people should know of, with its facts."""

    type: str
    info: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Journal:
    """Writes the events of one request or task: it knows who acts, when and through what."""

    org_id: OrgId
    created_by: JsonObject
    timestamp: str
    """RFC 3339, UTC, milliseconds."""
    new_id: Callable[[], uuid.UUID]
    """Gives uuid7 values of ``timestamp``, so that events are ordered by their ids."""
    pce_fqdn: str = ""
    action: HttpAction | None = None

    def event(
        self,
        event_type: str,
        *,
        severity: Severity = "info",
        status: Status | None = "success",
        changes: Sequence[ResourceChange] = (),
        notifications: Sequence[Notification] = (),
    ) -> dict[str, Any]:
        """One event of ``resource.verb`` form. ``status`` None: nobody asked for it (detections,
        time-outs)."""
        action = None
        if self.action is not None:
            action = {
                "uuid": str(self.new_id()),
                "api_endpoint": self.action.endpoint,
                "api_method": self.action.method,
                "http_status_code": self.action.status,
                "src_ip": self.action.source_ip,
                **({"errors": list(self.action.errors)} if self.action.errors else {}),
            }
        return {
            "href": f"{org_href(self.org_id)}/events/{self.new_id()}",
            "timestamp": self.timestamp,
            "pce_fqdn": self.pce_fqdn,
            "created_by": dict(self.created_by),
            "event_type": event_type,
            "status": status,
            "severity": severity,
            "action": action,
            "resource_changes": [
                {
                    "uuid": str(self.new_id()),
                    "resource": {change.kind: dict(change.resource)},
                    "changes": dict(change.changes),
                    "change_type": change.change_type,
                }
                for change in changes
            ],
            "notifications": [
                {
                    "uuid": str(self.new_id()),
                    "notification_type": notification.type,
                    "info": notification.info,
                }
                for notification in notifications
            ],
        }
