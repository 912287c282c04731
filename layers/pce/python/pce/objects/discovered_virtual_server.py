"""Discovered virtual servers: what a load balancer has at one address and port.

Whoever reads the load balancer (a NEN, or an operator's script) writes them down here. They act at
once: an enforced virtual server is reached where its discovered one says.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import (
    INVALID,
    MAX_TEXT,
    Address,
    Integer,
    ListOf,
    Reference,
    Shape,
    Text,
)
from pce.objects.filters import Filter, contains, equals, refers_to
from pce.objects.service import TCP, UDP

MAX_LOCAL_ADDRESSES = 1_000
"""Of one virtual server: a pool for source translation has 65,536 connections an address."""


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if document["vip_proto"] not in (TCP, UDP):
        message = f"vip_proto must be {TCP} (TCP) or {UDP} (UDP), not {document['vip_proto']}"
        yield Problem(INVALID, message, "vip_proto")


def _displayed(found: Mapping[str, Any]) -> dict[str, Any]:
    """With its identifier: what tells it apart on its load balancer."""
    identifier = found.get("dvs_identifier") or f"{found['vip_address']}:{found['vip_port']}"
    return {**found, "dvs_identifier": identifier}


def _is_at(text: str) -> Filter:
    return lambda document: text in str(document.get("vip_address") or "")


DISCOVERED_VIRTUAL_SERVERS = Collection(
    name="discovered_virtual_servers",
    kind="discovered_virtual_server",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "dvs_identifier": Text(),
            "vip_address": Address(),
            "vip_port": Integer(1, 65535),
            "vip_proto": Integer(0, 255),
            "local_ips": ListOf(Address(), max_entries=MAX_LOCAL_ADDRESSES),
            "slb": Reference("slbs", nullable=True),
            "network_enforcement_node": Reference("network_enforcement_nodes", nullable=True),
            **EXTERNAL_DATA,
        },
        required=("name", "vip_address", "vip_port"),
    ),
    defaults={"vip_proto": TCP},
    # One address and port is one virtual server, on whichever load balancer.
    whole_check=_whole_problems,
    unique=(("vip_address", "vip_port", "vip_proto"),),
    filters={
        "name": contains("name"),
        "vip": _is_at,
        "vip_address": _is_at,
        "vip_port": equals("vip_port"),
        "vip_proto": equals("vip_proto"),
        "slb": refers_to("slb"),
        "network_enforcement_node": refers_to("network_enforcement_node"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "delete"),
    display=_displayed,
)
