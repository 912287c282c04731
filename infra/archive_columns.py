"""Columns of the archive's tables, as Athena calls their types."""

from collections.abc import Mapping

_TEXTS = (
    *("timestamp", "dir", "src_ip", "dst_ip", "state", "class", "network", "fqdn", "pn", "un"),
    *("sn", "src_hostname", "src_href", "dst_hostname", "dst_href", "pce_fqdn"),
)
_NUMBERS = ("version", "interval_sec", "proto", "dst_port", "type", "code", "pd_qualifier")
_AMOUNTS = ("count", "dst_tbi", "dst_tbo", "dst_dbi", "dst_dbo", "ddms", "tdms")

SUMMARIES: Mapping[str, str] = {
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(_NUMBERS, "int"),
    **dict.fromkeys(_AMOUNTS, "bigint"),
    **dict.fromkeys(("src_labels", "dst_labels"), "map<string,string>"),
}
"""Column to type, as ``pce.flows.summary`` writes them; ``pd`` and ``org_id`` are partitions."""

EVENTS: Mapping[str, str] = {
    **dict.fromkeys(
        ("href", "timestamp", "pce_fqdn", "event_type", "status", "severity"), "string"
    ),
    # Of varying form: read with json_extract.
    **dict.fromkeys(("created_by", "action", "resource_changes", "notifications"), "string"),
}
