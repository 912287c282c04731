"""Which records a syslog destination gets, as its settings say."""

from collections.abc import Mapping
from typing import Any

from pce.streaming.records import DECISIONS, Record

_RANK = {"info": 0, "informational": 0, "warning": 1, "err": 2, "error": 2}

Settings = Mapping[str, Any]


def wants(destination: Settings, record: Record, min_severity: str) -> bool:
    """Whether a record goes to a destination.

    ``min_severity`` is the org's (``audit_event_min_severity``); the destination's own holds
    too. Flows of idle hosts (state S) and those whose decision nobody knows go to none.
    """
    document = record.document
    if record.kind == "flow_summary":
        if document["state"] == "S" or document["pd"] == 3:
            return False
        logger = destination.get("traffic_event_logger") or {}
        return bool(logger.get(f"traffic_flow_{DECISIONS[document['pd']]}_event_included"))
    logger = destination.get("audit_event_logger") or {}
    rank = _RANK[record.severity]
    if rank < _RANK[min_severity] or rank < _RANK[logger.get("min_severity") or "informational"]:
        return False
    by_people = {"user", "service_account"} & set(document.get("created_by") or ())
    included = "configuration_event_included" if by_people else "system_event_included"
    return bool(logger.get(included))
