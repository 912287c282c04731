r"""CEF, version 0 of the format: ``CEF:0|vendor|product|version|id|name|severity|key=value ...``.

Keys are those of the vendor's stream. One difference: JSON in ``cs2`` to ``cs4`` and ``msg`` is
escaped like every other value, because an equals sign in it would end the value for a parser.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from pce.streaming.characters import visible
from pce.streaming.records import DECISIONS, PRODUCT, VENDOR, Record

CHUNK = 3_995
"""Characters of JSON in one custom string: CEF allows 4,000."""

SCHEMA_VERSION = 2
_SEVERITIES = {"info": 1, "warning": 3, "err": 4}
_FLOW_SEVERITIES = (1, 3, 5, 1)
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 58: "ipv6-icmp", 132: "sctp"}
"""Words for the protocols that hosts talk; the others keep their numbers."""

Pairs = Iterable[tuple[str, Any]]


def cef(record: Record, product_version: str) -> str:
    """One line, without an end. A value that is None is left out."""
    if record.kind == "audit_event":
        signature, severity = event_signature(record.document), _SEVERITIES[record.severity]
        name = signature.replace("_", " ").replace(".", " ").title()
        return _line(product_version, signature, name, severity, _event(record.document))
    pd = record.document["pd"]
    signature = f"flow_{DECISIONS[pd]}"
    name = signature.replace("_", " ").title()
    return _line(product_version, signature, name, _FLOW_SEVERITIES[pd], _flow(record.document))


def event_signature(event: Mapping[str, Any]) -> str:
    """``agent.activate.success``; an event without an outcome has no suffix."""
    status = event.get("status")
    return f"{event['event_type']}.{status}" if status else str(event["event_type"])


def actor(event: Mapping[str, Any]) -> tuple[str | None, str]:
    """Id and name of who did it; the system has no id."""
    by = event.get("created_by") or {}
    for kind in ("user", "ven", "agent", "container_cluster", "service_account"):
        if kind in by:
            named = by[kind]
            name = named.get("username") or named.get("hostname") or named.get("name")
            return str(named.get("href") or "").rpartition("/")[2], str(name or kind)
    return None, "system"


def _line(version: str, signature: str, name: str, severity: int, pairs: Pairs) -> str:
    header = ("CEF:0", VENDOR, PRODUCT, version, signature, name, str(severity))
    extension = " ".join(f"{key}={_value(value)}" for key, value in pairs if value is not None)
    return "|".join((header[0], *map(_header, header[1:]))) + "|" + extension


def _header(text: str) -> str:
    clean = visible(text).replace("\\", "\\\\").replace("|", "\\|")
    return " ".join(clean.split())


def _value(value: Any) -> str:
    text = visible(value if isinstance(value, str) else str(value))
    text = text.replace("\\", "\\\\").replace("=", "\\=")
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _time(timestamp: str) -> str:
    """``Jan 31 2026 12:00:00.000 +0000``; the months are English whatever the locale."""
    at = datetime.fromisoformat(timestamp)
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[at.month * 3 - 3 : at.month * 3]
    return f"{month} {at:%d %Y %H:%M:%S}.{at.microsecond // 1000:03d} +0000"


def _event(event: Mapping[str, Any]) -> Pairs:
    action = event.get("action") or {}
    duid, duser = actor(event)
    chunks = _chunks(event.get("resource_changes") or [])
    return (
        ("rt", _time(event["timestamp"])),
        ("dvchost", event.get("pce_fqdn")),
        ("duid", duid),
        ("duser", duser),
        ("dst", action.get("src_ip") or event.get("pce_fqdn")),
        ("outcome", event.get("status") or ""),
        ("cat", "audit_events"),
        ("request", action.get("api_endpoint")),
        ("requestMethod", action.get("api_method")),
        ("reason", action.get("http_status_code")),
        *_labelled("cs1", "event_href", event["href"]),
        *_labelled("cs2", "resource_changes", chunks[0]),
        *_labelled("cs3", "resource_changes_2", chunks[1]),
        *_labelled("cs4", "notifications", _json(event.get("notifications") or [])[:CHUNK]),
        *_labelled("cn2", "schema-version", SCHEMA_VERSION),
    )


def _chunks(changes: Sequence[Mapping[str, Any]]) -> tuple[str, str | None]:
    """The changes as one or two texts; entries lose their details when they are longer."""
    text = _json(changes)
    if len(text) > 2 * CHUNK:
        bare = [{k: v for k, v in entry.items() if k != "changes"} for entry in changes]
        text = _json(bare)
    return text[:CHUNK], text[CHUNK : 2 * CHUNK] or None


def _labelled(key: str, label: str, value: Any) -> Pairs:
    return () if value is None else ((key, value), (f"{key}Label", label))


def _flow(flow: Mapping[str, Any]) -> Pairs:
    inbound = flow["dir"] == "I"
    end = "d" if inbound else "s"
    extras = {
        "icmp_type": flow.get("type"),
        "icmp_code": flow.get("code"),
        "trafclass_code": flow["class"],
        "ddms": flow.get("ddms"),
        "tdms": flow.get("tdms"),
        "network": flow.get("network"),
        "pd_qualifier": flow.get("pd_qualifier"),
    }
    return (
        ("rt", _time(flow["timestamp"])),
        ("dvchost", flow.get("pce_fqdn")),
        ("act", DECISIONS[flow["pd"]]),
        ("cat", "flow_summary"),
        ("deviceDirection", 0 if inbound else 1),
        ("src", flow["src_ip"]),
        ("dst", flow["dst_ip"]),
        ("dpt", flow["dst_port"]),
        ("proto", PROTOCOLS.get(flow["proto"], flow["proto"])),
        ("cnt", flow["count"]),
        ("in", flow.get("dst_tbi")),
        ("out", flow.get("dst_tbo")),
        (f"{end}user", flow.get("un")),
        (f"{end}proc", flow.get("pn")),
        ("destinationServiceName", flow.get("sn")),
        ("destinationDnsDomain", flow.get("fqdn")),
        ("shost", flow.get("src_hostname")),
        ("dhost", flow.get("dst_hostname")),
        *_labelled("cn1", "interval_sec", flow["interval_sec"]),
        *_labelled("cn2", "dbi", flow.get("dst_dbi")),
        *_labelled("cn3", "dbo", flow.get("dst_dbo")),
        *_labelled("cs2", "state", flow["state"] or None),
        *_labelled("cs3", "src_labels", _known(flow, "src_labels")),
        *_labelled("cs4", "dst_labels", _known(flow, "dst_labels")),
        *_labelled("cs5", "src_href", flow.get("src_href")),
        *_labelled("cs6", "dst_href", flow.get("dst_href")),
        ("msg", _json({name: value for name, value in extras.items() if value is not None})),
    )


def _known(flow: Mapping[str, Any], name: str) -> str | None:
    return _json(flow[name])[:CHUNK] if name in flow else None
