"""A connection that a client asks about: query parameters in, checked and in our terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from pce.errors import Invalid, Problem
from pce.objects.filters import whole_number
from pce.policy.services import ICMP, WITH_PORTS
from pce.policy.traffic import Traffic

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
"""Names that clients may use in place of IANA numbers."""

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AskedEnd:
    """A source or destination as it was asked for: by workload, by address, or both."""

    parameter: str
    """The query parameter that named it, for error messages."""
    workload_href: str | None = None
    address: str | None = None
    """Canonical text."""


def asked_end(query: Query, parameter: str, address_parameter: str) -> AskedEnd:
    """An address or a workload's href under ``parameter``; of a workload that has several, which
    address, under ``address_parameter``. Raises :class:`Invalid` naming the parameter."""
    text = query.get(parameter, "")
    if not text:
        raise _wrong(parameter, "is required: an IP address, or the href of a workload")
    if not text.startswith("/"):
        if query.get(address_parameter):
            raise _wrong(address_parameter, f"goes with a workload's href in {parameter} only")
        return AskedEnd(parameter, address=_address(text, parameter))
    address = query.get(address_parameter)
    return AskedEnd(parameter, text, _address(address, address_parameter) if address else None)


def only_end(query: Query, side: str) -> AskedEnd:
    """A workload's href under ``<side>_workload``, or an address under ``<side>_external_ip``.

    Raises :class:`Invalid` when it is not exactly one of them.
    """
    by_href, by_address = f"{side}_workload", f"{side}_external_ip"
    href, address = query.get(by_href), query.get(by_address)
    if bool(href) == bool(address):
        raise _wrong(by_href, f"or {by_address} is required, one of them")
    if href:
        return AskedEnd(by_href, href)
    return AskedEnd(by_address, address=_address(address or "", by_address))


def asked_traffic(query: Query, proto_parameter: str = "proto") -> Traffic:
    """Protocol (a number or a name), and port or ICMP type and code where the protocol has them.

    Raises :class:`Invalid` naming the parameter.
    """
    text = query.get(proto_parameter, "")
    if not text:
        raise _wrong(proto_parameter, f"is required: a number, or one of {', '.join(PROTOCOLS)}")
    named = PROTOCOLS.get(text.lower())
    proto = named or _number({proto_parameter: text}, proto_parameter, 255) or 0
    port, icmp_type = _number(query, "port", 65_535), _number(query, "icmp_type", 255)
    icmp_code = _number(query, "icmp_code", 255)
    if proto in WITH_PORTS and port is None:
        raise _wrong("port", f"is required: protocol {text} has ports")
    if proto not in WITH_PORTS and port is not None:
        raise _wrong("port", f"makes no sense: protocol {text} has no ports")
    for name, given in (("icmp_type", icmp_type), ("icmp_code", icmp_code)):
        if given is not None and proto not in ICMP:
            raise _wrong(name, f"makes no sense: protocol {text} is not ICMP")
    if icmp_code is not None and icmp_type is None:
        raise _wrong("icmp_code", "makes sense together with icmp_type only")
    return Traffic(proto, port, icmp_type, icmp_code)


def shown_traffic(traffic: Traffic) -> dict[str, int]:
    """The traffic as services write it."""
    said = {
        "proto": traffic.proto,
        "port": traffic.port,
        "icmp_type": traffic.icmp_type,
        "icmp_code": traffic.icmp_code,
    }
    return {name: number for name, number in said.items() if number is not None}


def _address(text: str, parameter: str) -> str:
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise _wrong(parameter, f"must be an IP address, not {text[:100]!r}") from None
    if "%" in text:
        raise _wrong(parameter, f"must be an address without a zone, not {text[:100]!r}")
    return str(address)


def _number(query: Query, parameter: str, most: int) -> int | None:
    text = query.get(parameter, "")
    if not text:
        return None
    number = whole_number(text, parameter)
    if not 0 <= number <= most:
        raise _wrong(parameter, f"must lie in 0..{most}, not {text[:100]!r}")
    return number


def _wrong(parameter: str, what: str) -> Invalid:
    message = f"the query parameter {parameter} {what}"
    return Invalid(Problem("invalid_query_parameter", message, parameter))
