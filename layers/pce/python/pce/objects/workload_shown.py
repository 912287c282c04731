"""Workloads and VENs as clients see them: the stored documents joined with presence.

A host is two objects in the API: the workload (what policy speaks of) and the VEN (the agent on
it). Both are shown from the same three sources: the two documents and the presence row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pce.objects.filters import (
    MakeFilter,
    at_least,
    at_most,
    equals,
    flag,
    number_at_least,
    number_at_most,
    one_of,
)
from pce.objects.vulnerability_summary import summary
from pce.objects.workload import LEGACY_MODES, WORKLOADS, interface_shown
from pce.policy.estate_from_documents import is_unsupported_wireless
from pce.presence.record import SILENT, Presence
from pce.timestamps import rfc3339
from ven_protocol.policy import Firewall

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """All that is known of one workload. Without a VEN the next three are None."""

    workload: Document
    ven: Document | None = None
    presence: Presence | None = None
    service_report: Document | None = None
    """Stored report of open ports; read only when one workload is shown."""
    user_report: Document | None = None
    """Stored report of who is logged on; read only when one workload is shown."""
    wanted_etag: str = ""
    """Of its VEN's newest policy; empty while none was computed."""
    findings: Sequence[dict[str, Any]] = ()
    """What vulnerability scanners found on it; read only when somebody asks."""
    firewall: Firewall = field(default_factory=Firewall)
    """What the active firewall settings mean for it."""

    @property
    def status(self) -> str:
        """``active``, ``suspended``, ``stopped`` or ``uninstalled``."""
        if self.ven is not None and self.ven.get("deleted"):
            return "uninstalled"
        if self.presence is not None:
            return self.presence.status
        return str((self.ven or {}).get("status") or "active")

    @property
    def last_heartbeat_at(self) -> str | None:
        """When the VEN was heard last."""
        return rfc3339(self.presence.last_heartbeat) if self.presence else None

    @property
    def sync_state(self) -> str:
        """``applied`` when the VEN reported its newest policy and is heard; ``staged`` while that
        waits for a person to have it applied; else ``syncing``."""
        row = self.presence
        if row is None or row.goodbye_at is not None or not self.wanted_etag:
            return "syncing"
        if row.flags & SILENT:
            return "syncing"
        if row.applied_etag == self.wanted_etag:
            return "applied"
        return "staged" if row.keeps_policy else "syncing"

    @property
    def health(self) -> str:
        """``active``, ``warning``, ``error`` or ``suspended``."""
        if self.status == "suspended":
            return "suspended"
        if self.ven is not None and self.ven.get("security_policy_error"):
            return "error"
        severities = {condition["latest_event"]["severity"] for condition in self.conditions()}
        if severities & {"error", "err"}:
            return "error"
        silent = self.presence is not None and self.presence.flags & SILENT
        return "warning" if silent or "warning" in severities else "active"

    def conditions(self) -> list[dict[str, Any]]:
        """What is wrong with the VEN, as far as the PCE sees and the VEN reports; empty when it is
        healthy."""
        row = self.presence
        if self.ven is None or row is None:
            return []
        raised = list((self.ven.get("conditions") or {}).values())
        at = rfc3339(row.last_heartbeat)
        found = [(c["code"], c["severity"], c.get("message")) for c in self.ven.get("health") or ()]
        if wireless := self._unsupported_wireless():
            message = (
                f"{', '.join(wireless)}: wireless interfaces are supported on endpoints only; peers"
                " are not told of their addresses"
            )
            found.append(("agent.wireless_not_supported", "warning", message))
        return raised + [self._standing(*each, at=at) for each in found]

    def _unsupported_wireless(self) -> list[str]:
        interfaces = self.workload.get("interfaces") or ()
        return sorted({i["name"] for i in interfaces if is_unsupported_wireless(self.workload, i)})

    def _standing(self, code: str, severity: str, message: str | None, at: str) -> dict[str, Any]:
        """A condition that no event stands behind: the VEN reports it, or its record shows it."""
        ven = self.ven or {}
        agent = {
            "href": _agent_href(ven),
            "name": ven.get("name"),
            "hostname": ven.get("hostname"),
        }
        event = {
            "notification_type": code,
            "severity": severity,
            "href": None,
            "timestamp": at,
            "info": {"agent": agent} | ({"message": message} if message else {}),
        }
        return {"first_reported_timestamp": at, "latest_event": event}


def shown_workload(host: Host) -> dict[str, Any]:
    """The workload object; every attribute that clients index is there, null where unknown."""
    stored = host.workload
    managed = bool(stored.get("ven"))
    found = summary(list(host.findings))
    return {
        **_ABSENT,
        **{name: value for name, value in stored.items() if name not in WORKLOADS.private},
        "managed": managed,
        "interfaces": [interface_shown(i, managed=managed) for i in stored.get("interfaces") or ()],
        "services": _services(host) if managed else None,
        **({"interactive_users": _users(host)} if host.user_report else {}),
        "agent": _agent(host) if managed else {"config": _config(host)},
        "ven": dict(stored["ven"]) if managed else None,
        "policy_health": host.health if managed else None,
        "vulnerabilities_summary": found,
        "vulnerability_summary": found,
        "detected_vulnerabilities": list(host.findings),
        "firewall_coexistence": {"illumio_primary": host.firewall.order == "first"},
        "containers_inherit_host_policy": host.firewall.containers == "by_policy",
        "blocked_connection_action": "reject" if host.firewall.reject_blocked else "drop",
        "caps": [] if stored.get("deleted") else ["write"],
    }


def shown_ven(host: Host) -> dict[str, Any]:
    """The VEN object of a managed workload."""
    ven, workload = host.ven or {}, host.workload
    interfaces = [
        {"href": f"{workload['href']}/interfaces/{i['name']}", **interface_shown(i, managed=True)}
        for i in workload.get("interfaces") or ()
    ]
    deleted = bool(ven.get("deleted"))
    return {
        "upgrade_target_version": None,
        "upgrade_expires_at": None,
        **{name: value for name, value in ven.items() if name not in _PRIVATE_OF_VEN},
        "status": host.status,
        "labels": list(workload.get("labels") or ()),
        "interfaces": interfaces,
        "workloads": [
            {
                "href": workload["href"],
                "name": workload.get("name"),
                "hostname": workload.get("hostname"),
                "online": bool(workload.get("online")),
                "mode": LEGACY_MODES[workload["enforcement_mode"]],
                "enforcement_mode": workload["enforcement_mode"],
                "visibility_level": workload["visibility_level"],
                "os_id": workload.get("os_id"),
                "os_detail": workload.get("os_detail"),
                "public_ip": workload.get("public_ip"),
                "labels": list(workload.get("labels") or ()),
                "interfaces": interfaces,
                "security_policy_applied_at": ven.get("security_policy_applied_at"),
                "security_policy_received_at": ven.get("security_policy_received_at"),
            }
        ],
        "container_cluster": workload.get("container_cluster"),
        "secure_connect": {"matching_issuer_name": ""},
        "active_pce_fqdn": None,
        "last_heartbeat_at": host.last_heartbeat_at,
        "unpair_allowed": not deleted,
        "conditions": host.conditions(),
        "caps": [] if deleted else ["write", "generate_support_report", "upgrade", "unpair"],
    }


_PRIVATE_OF_VEN = (
    "conditions",
    "agent_id",
    "health",
    "machine_id",
    "pairing_profile",
    "managed_since",
)

_ABSENT: dict[str, Any] = {
    **dict.fromkeys(
        (
            "name",
            "hostname",
            "description",
            "service_principal_name",
            "agent_to_pce_certificate_authentication_id",
            "distinguished_name",
            "public_ip",
            "service_provider",
            "data_center",
            "data_center_zone",
            "os_id",
            "os_detail",
            "os_type",
            "external_data_set",
            "external_data_reference",
            "delete_type",
            "container_cluster",
            "ike_authentication_certificate",
        )
    ),
    "deleted": False,
    "online": False,
    "labels": [],
    "ignored_interface_names": [],
    "selectively_enforced_services": [],
    "num_enforcement_boundaries": 0,
}


def _config(host: Host) -> dict[str, Any]:
    workload = host.workload
    level = workload["visibility_level"]
    return {
        "mode": LEGACY_MODES[workload["enforcement_mode"]],
        "log_traffic": level not in ("flow_off", "flow_drops"),
        "visibility_level": level,
        "security_policy_update_mode": host.firewall.updates,
    }


def _agent(host: Host) -> dict[str, Any]:
    ven, row = host.ven or {}, host.presence
    conditions = host.conditions()
    error = ven.get("security_policy_error")
    return {
        "href": _agent_href(ven) if ven else None,
        "type": "Host",
        "active_pce_fqdn": None,
        "target_pce_fqdn": ven.get("target_pce_fqdn"),
        "unpair_allowed": not ven.get("deleted"),
        "config": _config(host),
        "secure_connect": {"matching_issuer_name": ""},
        "status": {
            "status": host.status,
            "uid": ven.get("uid"),
            "instance_id": None,
            "agent_version": ven.get("version") or "unknown",
            "last_heartbeat_on": host.last_heartbeat_at,
            "uptime_seconds": row.uptime_s if row else 0,
            "managed_since": ven.get("managed_since"),
            "fw_config_current": host.sync_state == "applied",
            "firewall_rule_count": ven.get("firewall_rule_count"),
            "security_policy_refresh_at": None,
            "security_policy_applied_at": ven.get("security_policy_applied_at"),
            "security_policy_received_at": ven.get("security_policy_received_at"),
            "security_policy_sync_state": host.sync_state,
            "agent_health": [
                {
                    "type": condition["latest_event"]["notification_type"],
                    "severity": condition["latest_event"]["severity"],
                    "audit_event": None,
                }
                for condition in conditions
            ],
            "agent_health_errors": {
                "errors": ["security_policy_refresh_failure"] if error else [],
                "warnings": [c["latest_event"]["notification_type"] for c in conditions],
            },
        },
    }


def _agent_href(ven: Document) -> str:
    return f"{str(ven['href']).split('/vens/')[0]}/agents/{ven.get('agent_id', 0)}"


def _services(host: Host) -> dict[str, Any]:
    stored = host.service_report or {}
    report = stored.get("report") or {}
    ports: Sequence[Document] = report.get("open_ports") or ()
    uptime_s = host.presence.uptime_s if host.presence else report.get("uptime_seconds", 0)
    return {
        "uptime_seconds": uptime_s,
        "created_at": stored.get("created_at"),
        "open_service_ports": [
            {
                "protocol": port["protocol"],
                "address": port["address"],
                "port": port["port"],
                "process_name": port.get("process_name"),
                "user": port.get("user"),
                "package": port.get("package"),
                "win_service_name": port.get("win_service_name"),
            }
            for port in ports
        ],
    }


def _users(host: Host) -> list[dict[str, Any]]:
    """Who is logged on, with the SIDs that rules about user groups would name."""
    report = (host.user_report or {}).get("report") or {}
    return [
        {"name": user["name"], "sid": user["sid"], "groups": user.get("groups") or []}
        for user in report.get("users") or ()
    ]


SHOWN_FILTERS: dict[str, MakeFilter] = {
    "policy_health": equals("policy_health"),
    "security_policy_sync_state": equals("agent.status.security_policy_sync_state"),
    "security_policy_update_mode": equals("agent.config.security_policy_update_mode"),
    "log_traffic": flag("agent.config.log_traffic"),
    "agent.active_pce_fqdn": equals("agent.active_pce_fqdn"),
    "container_clusters": one_of("container_cluster.href"),
    "vulnerability_summary.vulnerability_exposure_score[gte]": number_at_least(
        "vulnerability_summary.vulnerability_exposure_score"
    ),
    "vulnerability_summary.vulnerability_exposure_score[lte]": number_at_most(
        "vulnerability_summary.vulnerability_exposure_score"
    ),
    "last_heartbeat_at[gte]": at_least("agent.status.last_heartbeat_on"),
    "last_heartbeat_at[lte]": at_most("agent.status.last_heartbeat_on"),
    "last_heartbeat_on[gte]": at_least("agent.status.last_heartbeat_on"),
    "last_heartbeat_on[lte]": at_most("agent.status.last_heartbeat_on"),
}
"""Filters on workloads as they are shown: they ask for what presence knows."""
