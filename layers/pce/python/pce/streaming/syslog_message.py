"""Syslog messages of RFC 5424, and how they are told apart in a TCP stream.

``<PRI>1 TIMESTAMP HOSTNAME APP-NAME - MSGID [meta sequenceId="N"] MSG``, in which MSG is a JSON,
CEF or LEEF line in UTF-8 without a byte order mark (the RFC leaves it open; parsers stumble over
one).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from pce.streaming.cef import cef
from pce.streaming.leef import leef
from pce.streaming.records import PRIORITIES, Record

Format = Literal["JSON", "CEF", "LEEF"]
Framing = Literal["octet_counting", "lf"]

FACILITY = 1
"""User-level messages."""

MAX_MESSAGE_BYTES = 60_000
"""A message that fits a UDP datagram (65,507 bytes) whatever the transport. Events that are larger
lose details, the largest first."""

_APPLICATIONS = {"audit_event": "illumio_pce/agent", "flow_summary": "illumio_pce/collector"}
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]+")
_LAST_SEQUENCE = 2**31 - 1


def syslog_message(
    record: Record, format: Format, sequence: int, pce_fqdn: str, product_version: str
) -> bytes:
    """One message. ``sequence`` is the number of records that the destination got before from
    this source: a record that is sent again has its old number."""
    header = (
        f"<{FACILITY * 8 + PRIORITIES[record.severity]}>1 {record.document['timestamp']}"
        f" {_name(pce_fqdn, 255)} {_APPLICATIONS[record.kind]} - {record.kind}"
        f' [meta sequenceId="{sequence % _LAST_SEQUENCE + 1}"] '
    ).encode()
    room = MAX_MESSAGE_BYTES - len(header)
    texts = (_text(shorter, format, product_version) for shorter in _ever_shorter(record))
    messages = (text.encode("utf-8", "backslashreplace") for text in texts)
    return header + next(message for message in messages if len(message) <= room)


def framed(messages: Sequence[bytes], framing: Framing) -> bytes:
    """Messages as a TCP stream: each with its length before it (RFC 6587, 3.4.1; TLS wants this:
    RFC 5425, 4.3), or with a line feed behind it (3.4.2). No message has a line feed inside."""
    if framing == "lf":
        return b"".join(message + b"\n" for message in messages)
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


def _text(record: Record, format: Format, product_version: str) -> str:
    if format == "CEF":
        return cef(record, product_version)
    if format == "LEEF":
        return leef(record, product_version)
    document = dict(record.document)
    if record.kind == "audit_event":
        document["version"] = 2
    return msgspec.json.encode(document).decode()


def _ever_shorter(record: Record) -> Sequence[Record]:
    """The record, and what is left of an event that is too large."""
    if record.kind != "audit_event":
        return (record,)
    event = record.document
    changes = event.get("resource_changes") or []
    bare = [{**change, "changes": {}} for change in changes]
    return (
        record,
        Record(record.kind, {**event, "resource_changes": bare}),
        Record(record.kind, {**event, "resource_changes": bare[:10], "truncated": len(bare)}),
        Record(record.kind, _head(event)),
    )


def _head(event: Mapping[str, Any]) -> dict[str, Any]:
    """Who did what and when: fits always, since none of its texts is long."""
    kept = ("href", "timestamp", "pce_fqdn", "event_type", "status", "severity")
    return {
        **{name: event[name] for name in kept if name in event},
        "created_by": {},
        "truncated": len(event.get("resource_changes") or []),
    }


def _name(text: str, longest: int) -> str:
    """A header field: printable ASCII without spaces, ``-`` when there is none."""
    return _NOT_PRINTABLE.sub("_", text)[:longest] or "-"
