"""What VENs report leaves the PCE again: to a syslog destination that the API was told of."""

import ipaddress
import json
import socket
import time
from typing import Any

import pytest

from demo.operator import Operator
from tests.e2e.ven_client import VenClient
from ven_protocol.flows import FlowSummary

pytestmark = pytest.mark.e2e

DEADLINE_S = 200
"""Flows are sent when they are 30 s old, by what looks every minute."""


@pytest.mark.timeout(DEADLINE_S + 40)
def test_a_flow_reaches_a_syslog_destination(operator: Operator) -> None:
    """Enriched with the workload's name, whoever the PCE runs on; the destination says so."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE_S)
        remote = {"address": "127.0.0.1", "port": receiver.getsockname()[1], "protocol": 17}
        logger = {"traffic_flow_allowed_event_included": True}
        destination = operator.create(
            f"{operator.org}/settings/syslog/destinations",
            {
                "pce_scope": [],
                "type": "remote_syslog",
                "remote_syslog": remote,
                "traffic_event_logger": logger,
            },
        )
        ven = VenClient.pair(operator, "10.78.0.1")
        now = int(time.time())
        flow = FlowSummary(
            src_ip=ipaddress.ip_address("192.0.2.7").packed,
            dst_ip=ipaddress.ip_address("10.78.0.1").packed,
            proto=6,
            dst_port=443,
            dir="I",
            pd=0,
            state="C",
            first=now - 5,
            last=now - 1,
        )
        ven.post_flows(1, [flow], end=now)
        documents: list[dict[str, Any]] = []
        while not documents:
            found = json.loads(receiver.recv(65_535).partition(b"] ")[2])
            documents += [found] if found.get("src_ip") == "192.0.2.7" else []
    assert documents[0]["dst_hostname"] == ven.host.hostname
    assert documents[0]["dst_href"] == ven.workload_href
    assert documents[0]["network"] == "Corporate"
    operator.delete(destination["href"])
