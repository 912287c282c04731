r"""LEEF 2.0: ``LEEF:2.0|vendor|product|version|id|x09|key=value<TAB>key=value``.

The format has no escapes, so that a tab in a value becomes a space and a line end becomes ``\n``;
an equals sign may stay, since the first one of a field ends its key. Keys are the format's own
where it has one; the others are the summary's or event's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pce.streaming.cef import PROTOCOLS, actor, event_signature
from pce.streaming.characters import visible
from pce.streaming.records import DECISIONS, PRODUCT, VENDOR, Record

TIME_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSSX"
_SEVERITIES = {"info": 1, "warning": 5, "err": 8}
_FLOW_SEVERITIES = (1, 3, 5, 1)


def leef(record: Record, product_version: str) -> str:
    """One line, without an end. A value that is None is left out."""
    document = record.document
    if record.kind == "audit_event":
        return _line(product_version, event_signature(document), _event(record))
    return _line(product_version, f"flow_{DECISIONS[document['pd']]}", _flow(document))


def _line(version: str, id: str, pairs: Iterable[tuple[str, Any]]) -> str:
    header = "|".join(map(_header, (VENDOR, PRODUCT, version, id)))
    fields = "\t".join(f"{key}={_value(value)}" for key, value in pairs if value is not None)
    return f"LEEF:2.0|{header}|x09|{fields}"


def _header(text: str) -> str:
    return " ".join(visible(text).replace("|", "/").split())


def _value(value: Any) -> str:
    if not isinstance(value, str | int):
        value = msgspec.json.encode(value).decode()
    text = visible(str(value))
    return text.replace("\t", " ").replace("\r", "\\r").replace("\n", "\\n")


def _event(record: Record) -> Iterable[tuple[str, Any]]:
    event = record.document
    action = event.get("action") or {}
    return (
        ("cat", "audit_events"),
        ("devTime", event["timestamp"]),
        ("devTimeFormat", TIME_FORMAT),
        ("sev", _SEVERITIES[record.severity]),
        ("identHostName", event.get("pce_fqdn")),
        ("usrName", actor(event)[1]),
        ("src", action.get("src_ip")),
        ("url", action.get("api_endpoint")),
        ("requestMethod", action.get("api_method")),
        ("reason", action.get("http_status_code")),
        ("outcome", event.get("status")),
        ("event_href", event["href"]),
        ("resource_changes", event.get("resource_changes") or []),
        ("notifications", event.get("notifications") or []),
    )


def _flow(flow: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    said = {
        "cat": "flow_summary",
        "devTime": flow["timestamp"],
        "devTimeFormat": TIME_FORMAT,
        "sev": _FLOW_SEVERITIES[flow["pd"]],
        "identHostName": flow.get("pce_fqdn"),
        "action": DECISIONS[flow["pd"]],
        "src": flow["src_ip"],
        "dst": flow["dst_ip"],
        "dstPort": flow["dst_port"],
        "proto": PROTOCOLS.get(flow["proto"], flow["proto"]),
        "srcBytes": flow.get("dst_tbi"),
        "dstBytes": flow.get("dst_tbo"),
        "usrName": flow.get("un"),
    }
    named = {"version", "timestamp", "pce_fqdn", "src_ip", "dst_ip", "dst_port", "proto", "pd"}
    named |= {"dst_tbi", "dst_tbo", "un"}
    return (*said.items(), *((name, value) for name, value in flow.items() if name not in named))
