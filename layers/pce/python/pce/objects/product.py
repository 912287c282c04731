"""What the PCE says of itself: its API's version, its health, its network."""

import uuid
from typing import Any

PRODUCT_VERSION: dict[str, Any] = {
    "version": "25.2.0",
    "build": 1,
    "long_display": "25.2.0-1",
    "short_display": "25.2.0",
    "release_info": "",
    "engineering_info": "",
}
"""The API level that is implemented; clients branch on it. ``version`` is digits and dots only, and
``long_display`` adds a build number, because clients take them apart."""


def health(fqdn: str, at: str) -> list[dict[str, Any]]:
    """One cluster of one node: whoever reads this has been answered by functions and tables."""
    node = {
        "hostname": fqdn,
        "ip_address": "127.0.0.1",
        "type": "core",
        "runlevel": 5,
        "uptime_seconds": 0,
        "cpu": {"status": "normal", "percent": 0},
        "disk": [],
        "memory": {"status": "normal", "percent": 0},
        "services": {"status": "running", "running": ["api", "policy", "presence", "flows"]},
        "generated_at": at,
    }
    return [
        {
            "fqdn": fqdn,
            "status": "normal",
            "type": "standalone",
            "available_seconds": 0,
            "notifications": [],
            "listen_only_mode_enabled_at": None,
            "nodes": [node],
            "generated_at": at,
        }
    ]


NETWORK_NAME = "Corporate"


def networks(org_id: int) -> list[dict[str, Any]]:
    """The one network that every interface is in."""
    id = uuid.uuid5(uuid.NAMESPACE_OID, f"corporate network of org {org_id}")
    return [
        {
            "href": f"/orgs/{org_id}/networks/{id}",
            "name": NETWORK_NAME,
            "data_center": NETWORK_NAME,
            "data_center_network_uuid": None,
        }
    ]
