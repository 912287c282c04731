"""Network devices: switches and routers whose ports unmanaged workloads are behind.

Clients send what a device is beside each other and read it under ``config``; both is taken.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import (
    MAX_TEXT,
    MISSING,
    Address,
    Choice,
    Field,
    Record,
    Reference,
    Shape,
    Text,
)
from pce.objects.filters import contains, equals, refers_to

_DESCRIBED: Mapping[str, Field] = {
    "name": Text(),
    "description": Text(MAX_TEXT),
    "device_type": Choice(("switch",)),
    "manufacturer": Text(),
    "model": Text(),
    "ip_address": Address(),
}
ENDPOINT_TYPE = "switch_port"
RULES_FORMAT = "json"
"""In which form instructions are made; the languages of switches' vendors are their nodes' part."""

GENERATED_AT = "enforcement_instructions_data_timestamp"
APPLIED_AT = "enforcement_instructions_ack_timestamp"
BYTES = "enforcement_instructions_bytes"
"""Attribute of a stored device: the size of its instructions, compressed."""


def config_beside(body: Any) -> Any:
    """Puts the attributes of a body's ``config`` beside its other ones, as they are stored."""
    config = body.get("config") if isinstance(body, Mapping) else None
    if not isinstance(config, Mapping):
        return body
    rest = {name: value for name, value in body.items() if name != "config"}
    return {**config, **rest}


def required_problems(document: Mapping[str, Any], *names: str) -> Iterable[Problem]:
    """Attributes that a document needs, wherever in the request they are said."""
    for name in names:
        if not document.get(name):
            yield Problem(MISSING, f"{name} is required", name)


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    yield from required_problems(document, "name", "network_enforcement_node")


def _displayed(device: Mapping[str, Any]) -> dict[str, Any]:
    """The device as clients read it, with its instructions: when they were made, where they are,
    and which of them were applied. Nothing is ever being made, clients wait until that is null."""
    data = f"{device['href']}/enforcement_instructions"
    made, applied = device.get(GENERATED_AT), device.get(APPLIED_AT)
    return {
        **device,
        "config": {**{n: device.get(n) for n in _DESCRIBED}, "rules_format": RULES_FORMAT},
        "supported_endpoint_type": ENDPOINT_TYPE,
        "status": None,
        "configure": False,
        "enforcement_instructions_generation_in_progress": None,
        "enforcement_instructions_data_href": data if made else None,
        GENERATED_AT: made,
        "enforcement_instructions_ack_href": data if applied else None,
        APPLIED_AT: applied,
    }


NETWORK_DEVICES = Collection(
    name="network_devices",
    kind="network_device",
    shape=Shape(
        {
            **_DESCRIBED,
            "config": Record(Shape(_DESCRIBED)),
            "network_enforcement_node": Reference("network_enforcement_nodes"),
            **EXTERNAL_DATA,
        }
    ),
    defaults={"device_type": "switch"},
    immutable=("network_enforcement_node",),
    unique=(("network_enforcement_node", "name"),),
    translate=config_beside,
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "manufacturer": equals("manufacturer"),
        "model": equals("model"),
        "ip_address": contains("ip_address"),
        "network_enforcement_node": refers_to("network_enforcement_node"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "delete"),
    display=_displayed,
    private=(BYTES,),
)


def with_endpoints(device: Mapping[str, Any], endpoints: list[str]) -> dict[str, Any]:
    """The device with the hrefs of its network endpoints."""
    return {**device, "network_endpoints": [{"href": href} for href in endpoints]}
