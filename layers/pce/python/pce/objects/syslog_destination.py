"""Syslog destinations: where audit events and flow summaries are sent, and which of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import (
    INVALID,
    MISSING,
    Choice,
    Flag,
    Integer,
    ListOf,
    Record,
    Shape,
    Text,
)

TCP, UDP = 6, 17
MAX_CA_BUNDLE = 65_536
"""Characters: a chain of ten certificates has 20,000."""


def _together(remote: Mapping[str, Any], at: str) -> Iterable[Problem]:
    if remote["protocol"] not in (TCP, UDP):
        message = f"{at}.protocol: {remote['protocol']} is neither 6 (TCP) nor 17 (UDP)"
        yield Problem(INVALID, message, f"{at}.protocol")
    if remote.get("tls_enabled") and remote["protocol"] == UDP:
        message = f"{at}: TLS runs over TCP; set protocol to 6 or tls_enabled to false"
        yield Problem(INVALID, message, f"{at}.tls_enabled")
    if remote.get("tls_enabled") and remote.get("tls_verify_cert") is False:
        message = (
            f"{at}: certificates are always verified; set tls_verify_cert to true, and give a"
            " private authority in tls_ca_bundle"
        )
        yield Problem(INVALID, message, f"{at}.tls_verify_cert")


def _whole(document: Mapping[str, Any]) -> Iterable[Problem]:
    if not document.get("remote_syslog"):
        yield Problem(MISSING, "remote_syslog is required", "remote_syslog")


_REMOTE = Shape(
    {
        "address": Text(pattern=r"[A-Za-z0-9._:-]+"),
        "port": Integer(1, 65_535),
        "protocol": Integer(0, 255),
        "tls_enabled": Flag(),
        "tls_ca_bundle": Text(MAX_CA_BUNDLE),
        "tls_verify_cert": Flag(),
        # Ours: how messages are told apart in a TCP stream (RFC 6587).
        "framing": Choice(("octet_counting", "lf")),
    },
    required=("address", "port", "protocol"),
)

SYSLOG_DESTINATIONS = Collection(
    name="destinations",
    kind="syslog_destination",
    shape=Shape(
        {
            # One PCE is one place here: the scope is kept for clients, and changes nothing.
            "pce_scope": ListOf(Text(), max_entries=100),
            "type": Choice(("remote_syslog",)),
            "description": Text(),
            "audit_event_logger": Record(
                Shape(
                    {
                        "configuration_event_included": Flag(),
                        "system_event_included": Flag(),
                        "min_severity": Choice(("error", "warning", "informational")),
                    }
                )
            ),
            "traffic_event_logger": Record(
                Shape(
                    {
                        "traffic_flow_allowed_event_included": Flag(),
                        "traffic_flow_potentially_blocked_event_included": Flag(),
                        "traffic_flow_blocked_event_included": Flag(),
                    }
                )
            ),
            # There are no nodes whose status could be sent; kept for clients.
            "node_status_logger": Record(Shape({"node_status_included": Flag()})),
            "remote_syslog": Record(_REMOTE, also=_together),
        },
        required=("pce_scope", "type", "remote_syslog"),
    ),
    defaults={
        "description": "",
        "audit_event_logger": {
            "configuration_event_included": False,
            "system_event_included": False,
            "min_severity": "informational",
        },
        "traffic_event_logger": {
            "traffic_flow_allowed_event_included": False,
            "traffic_flow_potentially_blocked_event_included": False,
            "traffic_flow_blocked_event_included": False,
        },
        "node_status_logger": {"node_status_included": False},
    },
    unique=(),
    whole_check=_whole,
    searched=(),
    numbered=False,
    shown_in_events=("href", "description"),
)
"""Under ``settings/syslog/destinations`` of an org."""
