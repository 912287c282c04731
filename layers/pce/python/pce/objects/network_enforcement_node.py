"""Network enforcement nodes (NENs): what stands between the PCE and switches or load balancers.

The nodes are software of their own, which is not here. An operator registers one, so that switches,
load balancers, and what is discovered on them, have a place.
"""

from collections.abc import Mapping
from typing import Any

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, Address, Shape, Text
from pce.objects.filters import contains, equals


def _displayed(node: Mapping[str, Any]) -> dict[str, Any]:
    """With what a node would report of itself: nothing, since none reports."""
    return {
        "status": None,
        "last_status_at": None,
        "uptime_seconds": None,
        "conditions": [],
        "supported_devices": [],
        "active_pce_fqdn": None,
        "target_pce_fqdn": None,
        **node,
    }


NETWORK_ENFORCEMENT_NODES = Collection(
    name="network_enforcement_nodes",
    kind="network_enforcement_node",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "hostname": Text(),
            "public_ip": Address(),
            "software_version": Text(),
            **EXTERNAL_DATA,
        },
        required=("name",),
    ),
    filters={
        "name": contains("name"),
        "hostname": contains("hostname"),
        "description": contains("description"),
        "software_version": equals("software_version"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "delete"),
    display=_displayed,
)


def with_devices(node: Mapping[str, Any], devices: list[str]) -> dict[str, Any]:
    """The node with the hrefs of its network devices."""
    references = [{"href": href} for href in devices]
    return {**node, "network_devices": references, "network_devices_count": len(references)}
