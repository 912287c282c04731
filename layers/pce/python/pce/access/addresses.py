"""From which address a request comes, and whether its caller may come from there. Pure."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

USER_SESSIONS = "user_sessions"
API_KEYS = "api_keys"
KINDS = (USER_SESSIONS, API_KEYS)
"""Kinds of credentials to which an access restriction need not apply."""

MAX_HOPS = 20
"""Addresses of ``X-Forwarded-For`` that are looked at, from the nearest on."""


def forwarded_hops(header: str) -> list[str]:
    """The addresses in ``X-Forwarded-For``, the farthest first."""
    return [hop.strip() for hop in header.split(",") if hop.strip()][-MAX_HOPS:]


def client_address(peer: str, hops: Sequence[str], trusted: Iterable[str]) -> str:
    """The address of who sent a request that came from ``peer``.

    A proxy writes down behind all others whom it heard, so the list is believed from its end, as
    long as trusted proxies wrote it: the first address that is none of theirs is the client's.
    What is no address ends it.
    """
    networks = [ipaddress.ip_network(text) for text in trusted]
    rest = list(hops)
    if rest and rest[-1] == peer:
        rest.pop()  # API Gateway writes down whom it heard, too
    address = peer
    while rest and _is_in(address, networks):
        farther = rest.pop()
        if _parsed(farther) is None:
            break
        address = farther
    return address


def is_allowed(restriction: Mapping[str, Any], address: str, kind: str) -> bool:
    """Whether credentials of this kind may be used from an address."""
    if kind in restriction["enforcement_exclusions"]:
        return True
    return _is_in(address, [ipaddress.ip_network(text) for text in restriction["ips"]])


def _is_in(text: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    address = _parsed(text)
    return address is not None and any(address in network for network in networks)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; an IPv4 address in IPv6 clothes is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
