"""Service bindings: which workloads run a virtual service, and on which ports. They act at once."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import INVALID, Integer, ListOf, Record, Reference, Shape
from pce.objects.filters import equals, refers_to
from pce.objects.hrefs import ACTIVE
from pce.objects.service import TCP, UDP

_PORT = Integer(0, 65535)


def _override_problems(override: Mapping[str, Any], at: str) -> Iterable[Problem]:
    if override["proto"] not in (TCP, UDP):
        message = f"{at}: proto must be 6 (TCP) or 17 (UDP), not {override['proto']}"
        yield Problem(INVALID, message, at)
    last = override.get("new_to_port")
    if last is not None and last <= override["new_port"]:
        message = f"{at}: new_to_port {last} must be higher than new_port {override['new_port']}"
        yield Problem(INVALID, message, at)


_OVERRIDE = Record(
    Shape(
        {"proto": Integer(0, 255), "port": _PORT, "new_port": _PORT, "new_to_port": _PORT},
        required=("proto", "port", "new_port"),
    ),
    also=_override_problems,
)


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if bool(document.get("workload")) == bool(document.get("container_workload")):
        message = "a binding has either a workload or a container_workload, exactly one of them"
        yield Problem("service_binding_needs_one_workload", message, "workload")
    seen = set()
    for at, override in enumerate(document.get("port_overrides") or ()):
        port = (override["proto"], override["port"])
        if port in seen:
            where = f"port_overrides[{at}]"
            message = f"{where}: port {port[1]} of protocol {port[0]} is overridden already"
            yield Problem(INVALID, message, where)
        seen.add(port)


def _displayed(binding: Mapping[str, Any]) -> dict[str, Any]:
    """The binding with what is bound, workload or container workload: clients follow the href of
    whichever is there, also of a null."""
    unbound = {name for name in ("workload", "container_workload") if not binding.get(name)}
    return {name: value for name, value in binding.items() if name not in unbound}


SERVICE_BINDINGS = Collection(
    name="service_bindings",
    kind="service_binding",
    shape=Shape(
        {
            "virtual_service": Reference("virtual_services", version=ACTIVE),
            "workload": Reference("workloads", nullable=True),
            "container_workload": Reference("container_workloads", nullable=True),
            "port_overrides": ListOf(_OVERRIDE, max_entries=255),
            **EXTERNAL_DATA,
        },
        required=("virtual_service",),
    ),
    # Two instances on one workload are two bindings, each with ports of its own.
    unique=(
        ("virtual_service", "workload", "port_overrides"),
        ("virtual_service", "container_workload", "port_overrides"),
    ),
    whole_check=_whole_problems,
    filters={
        "virtual_service": refers_to("virtual_service"),
        "workload": equals("workload"),
        "container_workload": equals("container_workload"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    searched=(),
    numbered=False,
    display=_displayed,
    shown_in_events=("href", "virtual_service", "workload"),
)


def unknown_port_problems(
    binding: Mapping[str, Any], offered: Iterable[Mapping[str, Any]]
) -> Iterable[Problem]:
    """Overrides of ports that the virtual service does not offer; of a range the first counts."""
    known = {(port.get("proto"), port.get("port")) for port in offered}
    for at, override in enumerate(binding.get("port_overrides") or ()):
        if (override["proto"], override["port"]) not in known:
            where = f"port_overrides[{at}]"
            yield Problem(
                "port_override_unknown",
                f"{where}: {binding['virtual_service']['href']} has no port {override['port']} of"
                f" protocol {override['proto']}",
                where,
            )
