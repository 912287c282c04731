"""The interfaces that a VEN reports: what the types of the wire cannot see. Pure."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from pce.errors import Invalid, Problem
from ven_protocol.messages import Interface


def check_interfaces(interfaces: Sequence[Interface], at: str = "interfaces") -> None:
    """Raise :class:`Invalid` that names each text that is no address; ``at``: where they stand in
    the message. Peers would miss such an address, and nobody would hear of it. Cost: some
    microseconds an interface."""
    if problems := list(_problems(interfaces, at)):
        raise Invalid(problems)


def _problems(interfaces: Sequence[Interface], at: str) -> Iterator[Problem]:
    for number, interface in enumerate(interfaces):
        said = {"address": interface.address}
        if interface.default_gateway_address:
            said["default_gateway_address"] = interface.default_gateway_address
        for name, text in said.items():
            if not _is_address(text):
                place = f"{at}[{number}].{name}"
                message = f"{place}: {text!r} of {interface.name} is no IPv4 or IPv6 address"
                yield Problem("invalid_address", message, place)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
