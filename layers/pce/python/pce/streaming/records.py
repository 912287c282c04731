"""What is streamed: flow summaries and audit events, each a JSON document.

A destination takes them from five *sources* of its org, each in its own order: the audit events,
and the flows in four shards. A VEN's batches are all in one shard, so that one VEN's records stay
in order while four workers send an org's flows side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["flow_summary", "audit_event"]

FLOW_SHARDS = 4
"""One worker encodes some 18,000 summaries a second; an org of 100,000 VENs makes 50,000."""

EVENTS = "events"
FLOWS = tuple(f"flows-{shard}" for shard in range(FLOW_SHARDS))
SOURCES = (EVENTS, *FLOWS)

DECISIONS = ("allowed", "potentially_blocked", "blocked", "unknown")
"""Names of ``pd`` 0 to 3."""

VENDOR, PRODUCT = "Illumio", "PCE"
"""What CEF and LEEF headers say: parsers choose their rules by these two."""

PRIORITIES = {"err": 3, "warning": 4, "info": 6}
"""Severity of an audit event -> that of syslog (RFC 5424, table 2)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One document, as JSON has it."""

    kind: Kind
    document: Mapping[str, Any]

    @property
    def severity(self) -> str:
        """``info``, ``warning`` or ``err``; a flow summary is information."""
        return str(self.document.get("severity") or "info")


def shard_of(ven_id_bytes: bytes) -> int:
    """The flow shard of a VEN: always the same one."""
    return ven_id_bytes[15] % FLOW_SHARDS
