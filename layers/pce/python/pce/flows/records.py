"""Merged flows as clients read them: JSON records and CSV.

Attributes that are not known are left out of a record, never null.
"""

import csv
import io
import uuid
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from pce.flows.answer import End, Flow
from pce.flows.directory import Workload
from pce.flows.selection import DECISIONS, TRANSMISSIONS, boundary_decision
from pce.identifiers import OrgId, workload_href
from pce.timestamps import rfc3339

STATES = {
    "A": "active",
    "C": "closed",
    "T": "timed out",
    "S": "snapshot",
    "N": "new",
    "": "unknown",
}
_DIRECTIONS = {"I": "inbound", "O": "outbound"}
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 58: "ICMPv6", 132: "SCTP"}
_LABEL_COLUMNS = {"app": "Application", "env": "Environment", "loc": "Location", "role": "Role"}

WorkloadFacts = Callable[[uuid.UUID], Mapping[str, Any]]
"""What is known of a workload today and was not stored with the flow (``name``, ``os_type``,
``enforcement_mode``); empty when nothing is."""


def no_facts(_: uuid.UUID) -> Mapping[str, Any]:
    """Nothing beyond what was stored."""
    return {}


Vip = tuple[str, int, int]
"""Address, protocol and port at which a load balancer's virtual server is reached."""


def record(
    flow: Flow,
    org_id: OrgId,
    facts: WorkloadFacts = no_facts,
    virtual_servers: Mapping[Vip, Mapping[str, str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """A flow record of the traffic query API. ``virtual_servers``: what to say of those that are
    somewhere now."""
    profile = flow.profile
    document: dict[str, Any] = {
        "src": _end(flow.src, org_id, facts),
        "dst": _end(flow.dst, org_id, facts),
        "service": _present(
            port=profile.port,
            proto=profile.proto,
            process_name=profile.process,
            windows_service_name=profile.service,
            user_name=profile.user,
        ),
        "num_connections": flow.count,
        "state": STATES[flow.state],
        "policy_decision": DECISIONS[profile.pd],
        "flow_direction": _DIRECTIONS[profile.dir],
        "transmission": TRANSMISSIONS[profile.transmission],
        "timestamp_range": {
            "first_detected": rfc3339(flow.first),
            "last_detected": rfc3339(flow.last),
        },
    }
    if flow.fqdn is not None:
        document["dst"]["fqdn"] = flow.fqdn
    server = virtual_servers.get((document["dst"]["ip"], profile.proto, profile.port or 0))
    if server is not None:
        document["dst"]["virtual_server"] = server
    document |= _present(
        boundary_decision=boundary_decision(profile),
        icmp_type=profile.icmp_type,
        icmp_code=profile.icmp_code,
        dst_bi=flow.deltas.bytes_in,
        dst_bo=flow.deltas.bytes_out,
        dst_dbi=flow.deltas.bytes_in,
        dst_dbo=flow.deltas.bytes_out,
        dst_tbi=flow.totals.bytes_in,
        dst_tbo=flow.totals.bytes_out,
        ddms=flow.deltas.milliseconds,
        tdms=flow.totals.milliseconds,
    )
    return document


def _end(end: End, org_id: OrgId, facts: WorkloadFacts) -> dict[str, Any]:
    document: dict[str, Any] = {"ip": str(ip_address(end.address))}
    if end.workload is not None:
        document["workload"] = _workload(end.workload, org_id, facts)
    return document


def _workload(workload: Workload, org_id: OrgId, facts: WorkloadFacts) -> dict[str, Any]:
    labels = [
        {"href": f"/orgs/{org_id}/labels/{label.id}", "key": label.key, "value": label.value}
        for label in workload.labels
    ]
    known_now = {key: value for key, value in facts(workload.id).items() if value is not None}
    return {
        "name": workload.hostname,
        **known_now,
        "href": workload_href(org_id, workload.id),
        "hostname": workload.hostname,
        "managed": workload.managed,
        "labels": labels,
    }


def _present(**attributes: Any) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def csv_text(records: Iterable[Mapping[str, Any]], *, draft: bool = False) -> str:
    """Records as CSV with one line of titles; ``draft`` adds the draft policy decision.

    Texts that a spreadsheet would run as a formula get an apostrophe in front: names of processes
    and users come from hosts that may be hostile.
    """
    columns = [*_COLUMNS, ("Draft Policy Decision", _draft)] if draft else _COLUMNS
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow([title for title, _ in columns])
    for document in records:
        writer.writerow([cell(value(document)) for _, value in columns])
    return out.getvalue()


_Value = Callable[[Mapping[str, Any]], Any]


def _draft(document: Mapping[str, Any]) -> Any:
    return document.get("draft_policy_decision")


def _at(*path: str) -> _Value:
    def value(document: Mapping[str, Any]) -> Any:
        found: Any = document
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return value


def _label(side: str, key: str) -> _Value:
    def value(document: Mapping[str, Any]) -> Any:
        labels = document[side].get("workload", {}).get("labels", ())
        return next((label["value"] for label in labels if label["key"] == key), None)

    return value


def _managed(side: str) -> _Value:
    return lambda document: document[side].get("workload", {}).get("managed", False)


def _protocol(document: Mapping[str, Any]) -> Any:
    proto = document["service"]["proto"]
    return _PROTOCOLS.get(proto, proto)


def _end_columns(side: str, title: str) -> list[tuple[str, _Value]]:
    return [
        (f"{title} IP", _at(side, "ip")),
        (f"{title} Hostname", _at(side, "workload", "hostname")),
        (f"{title} Name", _at(side, "workload", "name")),
        *((f"{title} {name}", _label(side, key)) for key, name in _LABEL_COLUMNS.items()),
        (f"{title} Managed", _managed(side)),
    ]


_COLUMNS: list[tuple[str, _Value]] = [
    *_end_columns("src", "Source"),
    *_end_columns("dst", "Destination"),
    ("Destination FQDN", _at("dst", "fqdn")),
    ("Port", _at("service", "port")),
    ("Protocol", _protocol),
    ("Process", _at("service", "process_name")),
    ("User", _at("service", "user_name")),
    ("Connections", _at("num_connections")),
    ("State", _at("state")),
    ("Policy Decision", _at("policy_decision")),
    ("Flow Direction", _at("flow_direction")),
    ("First Detected", _at("timestamp_range", "first_detected")),
    ("Last Detected", _at("timestamp_range", "last_detected")),
    ("Bytes In", _at("dst_bi")),
    ("Bytes Out", _at("dst_bo")),
]


def cell(value: Any) -> str:
    """A value as a cell of a table; a text that a spreadsheet would compute is quoted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
