"""Network endpoints: the ports of a network device, and the unmanaged workloads behind each.

Clients send and read what a port is under ``config``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import Choice, Field, Flag, ListOf, Record, Reference, Shape, Text
from pce.objects.filters import Filter, contains, equals, refers_to
from pce.objects.network_device import ENDPOINT_TYPE, config_beside, required_problems

MAX_WORKLOADS = 100
"""Behind one port: another switch, or a host of virtual machines."""

_CONFIG: Mapping[str, Field] = {
    "name": Text(),
    "endpoint_type": Choice((ENDPOINT_TYPE,)),
    "traffic_flow_id": Text(),
    "workload_discovery": Flag(),
}


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    yield from required_problems(document, "name", "network_device")


def _serves(text: str) -> Filter:
    return lambda document: any(w["href"] == text for w in document["workloads"])


def _displayed(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint as clients read it. Nobody reads the flows of switches: it is not monitored."""
    shown = {name: value for name, value in endpoint.items() if name not in _CONFIG}
    return {**shown, "config": {n: endpoint.get(n) for n in _CONFIG}, "status": "unmonitored"}


NETWORK_ENDPOINTS = Collection(
    name="network_endpoints",
    kind="network_endpoint",
    shape=Shape(
        {
            **_CONFIG,
            "config": Record(Shape(_CONFIG)),
            "workloads": ListOf(Reference("workloads"), max_entries=MAX_WORKLOADS),
            "network_device": Reference("network_devices"),
        }
    ),
    defaults={"endpoint_type": ENDPOINT_TYPE, "workload_discovery": False},
    immutable=("network_device",),
    unique=(("network_device", "name"),),
    translate=config_beside,
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "endpoint_type": equals("endpoint_type"),
        "network_device": refers_to("network_device"),
        "workload": _serves,
    },
    numbered=False,
    caps=("write", "delete"),
    display=_displayed,
    shown_in_events=("href", "name", "network_device"),
)
