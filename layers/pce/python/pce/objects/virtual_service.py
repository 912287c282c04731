"""Virtual services: a service by itself, wherever it runs. Provisioned; which workloads they are
bound to is not (``service_binding.py``)."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import (
    INVALID,
    MAX_TEXT,
    Address,
    Choice,
    Integer,
    ListOf,
    Record,
    Reference,
    Shape,
    Text,
)
from pce.objects.filters import (
    Filter,
    MakeFilter,
    contains,
    equals,
    has_labels,
    refers_to,
    whole_number,
)
from pce.objects.ip_list import FQDN
from pce.objects.service import PORTS, TCP, UDP, port_problems


def _tcp_or_udp_problems(entry: Mapping[str, Any], at: str) -> Iterable[Problem]:
    if entry["proto"] not in (TCP, UDP):
        message = f"{at}: proto must be 6 (TCP) or 17 (UDP), not {entry['proto']}"
        yield Problem(INVALID, message, at)
        return
    yield from port_problems(entry, at)


_PORT = Record(
    Shape({name: PORTS[name] for name in ("proto", "port", "to_port")}, required=("proto",)),
    also=_tcp_or_udp_problems,
)


def _address_problems(entry: Mapping[str, Any], at: str) -> Iterable[Problem]:
    if ("ip" in entry) == ("fqdn" in entry):
        yield Problem(INVALID, f"{at}: must have exactly one of ip and fqdn", at)
    elif "network" in entry and "fqdn" in entry:
        yield Problem(INVALID, f"{at}: network goes with ip, not with fqdn", at)


_ADDRESS = Record(
    Shape(
        {
            "ip": Address(),
            "network": Reference("networks", nullable=True),
            "fqdn": FQDN,
            "description": Text(MAX_TEXT),
            "port": Integer(-1, 65535),
        }
    ),
    also=_address_problems,
)


def _one_way_to_say_ports(body: Any) -> Any:
    """``service`` and ``service_ports`` exclude each other: who sends one takes the other back."""
    if not isinstance(body, Mapping):
        return body
    if body.get("service") and not body.get("service_ports"):
        return {**body, "service_ports": []}
    if body.get("service_ports") and not body.get("service"):
        return {**body, "service": None}
    return body


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if bool(document.get("service")) == bool(document.get("service_ports")):
        yield Problem(
            "virtual_service_needs_one_service",
            "a virtual service has either a service or service_ports, exactly one of them",
            "service",
        )


def _offers(name: str) -> MakeFilter:
    """One of the ports said inline has this ``port`` (ranges count whole) or ``proto``."""

    def make(text: str) -> Filter:
        wanted = whole_number(text, name)

        def covers(entry: Mapping[str, Any]) -> bool:
            first = entry.get(name)
            last = entry.get("to_port") if name == "port" else None
            return first is not None and first <= wanted <= (last or first)

        return lambda document: any(map(covers, document.get("service_ports") or ()))

    return make


def _reached_at(name: str) -> MakeFilter:
    def make(text: str) -> Filter:
        wanted = text.casefold()
        return lambda document: any(
            wanted in str(address.get(name) or "").casefold()
            for address in document.get("service_addresses") or ()
        )

    return make


def _displayed(virtual_service: Mapping[str, Any]) -> dict[str, Any]:
    """The virtual service with the one of ``service`` and ``service_ports`` that it has."""
    shown = {"pce_fqdn": None, **virtual_service}
    for name in ("service", "service_ports"):
        if not shown.get(name):
            shown.pop(name, None)
    return shown


VIRTUAL_SERVICES = Collection(
    name="virtual_services",
    kind="virtual_service",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "apply_to": Choice(("host_only", "internal_bridge_network")),
            "service": Reference("services", nullable=True),
            "service_ports": ListOf(_PORT),
            "service_addresses": ListOf(_ADDRESS),
            "ip_overrides": ListOf(Address(prefix=True)),
            "labels": ListOf(Reference("labels"), max_entries=64),
            **EXTERNAL_DATA,
        },
        required=("name",),
    ),
    defaults={"apply_to": "host_only"},
    translate=_one_way_to_say_ports,
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "service": refers_to("service"),
        "labels": has_labels,
        "service_ports.port": _offers("port"),
        "service_ports.proto": _offers("proto"),
        "service_address.fqdn": _reached_at("fqdn"),
        "service_address.ip": _reached_at("ip"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "provision", "delete"),
    display=_displayed,
)


def offers(
    virtual_service: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Protocols and ports of a virtual service. ``services``: documents by href."""
    service = virtual_service.get("service")
    if not service:
        return list(virtual_service.get("service_ports") or ())
    found = services.get(service["href"], {})
    return [*(found.get("service_ports") or ()), *(found.get("windows_services") or ())]
