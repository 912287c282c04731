"""Services: protocols and ports, or Windows processes, under one name. Provisioned."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import INVALID, MAX_TEXT, Integer, ListOf, Record, Shape, Text
from pce.objects.filters import Filter, contains, equals, whole_number

ALL_NAME = "All Services"
"""Name of the factory service that clients look for."""
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58

PORTS = {
    "proto": Integer(-1, 255),
    "port": Integer(-1, 65535),
    "to_port": Integer(0, 65535),
    "icmp_type": Integer(0, 255),
    "icmp_code": Integer(0, 255),
}
"""Attributes of an entry; a port of -1 means any port, as an absent one does."""


def port_problems(entry: Mapping[str, Any], at: str) -> Iterable[Problem]:
    """What is wrong with protocol, port and to_port together."""
    port, to_port, proto = entry.get("port"), entry.get("to_port"), entry.get("proto")
    if (port is not None and port >= 0) and proto not in (TCP, UDP):
        yield Problem(INVALID, f"{at}: only TCP (6) and UDP (17) have ports, not {proto}", at)
    if to_port is not None and (port is None or port < 0):
        yield Problem(INVALID, f"{at}: to_port {to_port} needs a port to begin at", at)
    elif to_port is not None and to_port < port:
        yield Problem(INVALID, f"{at}: to_port {to_port} must not be lower than port {port}", at)
    for name in ("icmp_type", "icmp_code"):
        if entry.get(name) is not None and proto not in (ICMP, ICMPV6):
            yield Problem(INVALID, f"{at}: {name} goes with protocol 1 or 58, not {proto}", at)
    if entry.get("icmp_code") is not None and entry.get("icmp_type") is None:
        yield Problem(INVALID, f"{at}: icmp_code needs an icmp_type", at)


def _windows_problems(entry: Mapping[str, Any], at: str) -> Iterable[Problem]:
    if not entry:
        yield Problem(INVALID, f"{at}: needs proto, service_name or process_name", at)
    yield from port_problems(entry, at)


_PORT = Record(Shape(PORTS, required=("proto",)), also=port_problems)
_WINDOWS = Record(
    Shape({**PORTS, "service_name": Text(), "process_name": Text(1024)}), also=_windows_problems
)
_EGRESS = Record(
    Shape({"service_name": Text(), "process_name": Text(1024)}), also=_windows_problems
)

INLINE_SERVICE = Record(
    Shape(
        {"proto": PORTS["proto"], "port": PORTS["port"], "to_port": PORTS["to_port"]}, ("proto",)
    ),
    also=port_problems,
)
"""Ports said in a rule instead of the href of a service."""


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    kinds = [
        name
        for name in ("service_ports", "windows_services", "windows_egress_services")
        if document.get(name)
    ]
    if not kinds:
        message = "a service needs an entry in service_ports or windows_services"
        yield Problem("service_empty", message, "service_ports")
    if len(kinds) > 1:
        message = f"a service has one kind of entries, not both {' and '.join(kinds)}"
        yield Problem("service_kinds_mixed", message, kinds[1])


def _entries(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(document.get("service_ports") or ()), *(document.get("windows_services") or ())]


def _has_port(text: str) -> Filter:
    wanted = whole_number(text, "port")

    def covers(entry: Mapping[str, Any]) -> bool:
        first = entry.get("port")
        return first is not None and first <= wanted <= (entry.get("to_port") or first)

    return lambda document: any(map(covers, _entries(document)))


def _has_proto(text: str) -> Filter:
    wanted = whole_number(text, "proto")
    return lambda document: any(entry.get("proto") == wanted for entry in _entries(document))


def _displayed(service: Mapping[str, Any]) -> dict[str, Any]:
    """The service with the keys that clients index without looking, and without empty kinds."""
    shown = {**service, "description_url": None, "risk_details": None}
    shown["service_ports"] = [_with_keys(entry) for entry in service.get("service_ports") or ()]
    for name in ("service_ports", "windows_services", "windows_egress_services"):
        if not shown.get(name):
            shown.pop(name, None)
    return shown


def _with_keys(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Ports always have ``port``, ICMP always type and code (null means any)."""
    if entry["proto"] in (TCP, UDP):
        return {"port": None, **entry}
    if entry["proto"] in (ICMP, ICMPV6):
        return {"icmp_type": None, "icmp_code": None, **entry}
    return dict(entry)


SERVICES = Collection(
    name="services",
    kind="service",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "process_name": Text(1024),
            "service_ports": ListOf(_PORT),
            "windows_services": ListOf(_WINDOWS),
            "windows_egress_services": ListOf(_EGRESS),
            **EXTERNAL_DATA,
        },
        required=("name",),
    ),
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "port": _has_port,
        "proto": _has_proto,
        # No service is known to be favoured by ransomware: that list belongs to another product.
        "is_ransomware": lambda text: lambda document: text.casefold() != "true",
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    caps=("write", "provision"),
    display=_displayed,
)
