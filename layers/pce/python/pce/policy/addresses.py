"""Addresses, prefixes and ranges, and the canonical texts that stand for them in sets.

An interval is ``(version, first, last)`` with both ends inclusive; IPv4 and IPv6 never mix.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Interval = tuple[int, int, int]

_OCTETS = frozenset(map(str, range(256)))
_ORDINARY = _OCTETS.difference(map(str, (0, 127, 169, *range(224, 256))))
"""First octets of IPv4 addresses that can all be somebody's peer."""


def peer_address(text: str) -> str | None:
    """The canonical text of an interface's address, or None when it can be nobody's peer.

    Loopback, link-local, multicast and unspecified addresses mean something only on their own host
    or link. Raises ValueError when ``text`` is no address. Cost: 1 microsecond for plain IPv4.
    """
    octets = text.split(".")
    if len(octets) == 4 and octets[0] in _ORDINARY and _OCTETS.issuperset(octets):
        return text
    address = ip_address(text)
    if (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    ):
        return None
    return str(address)


def interval(from_ip: str, to_ip: str | None = None) -> Interval:
    """The interval of an address, a prefix (host bits are ignored) or a range.

    Raises ValueError when a text is no address, the families differ, the range runs backwards or a
    prefix is given an end.
    """
    if to_ip is None:
        network = ip_network(from_ip, strict=False)
        return network.version, int(network.network_address), int(network.broadcast_address)
    first, last = ip_address(from_ip), ip_address(to_ip)
    if first.version != last.version or int(first) > int(last):
        raise ValueError(f"{from_ip}-{to_ip} is no range")
    return first.version, int(first), int(last)


def subtract(included: Iterable[Interval], excluded: Iterable[Interval]) -> list[Interval]:
    """What is in some ``included`` and in no ``excluded``: sorted, disjoint, not adjacent.

    Cost: linear after sorting, times the number of excluded intervals.
    """
    left = _merged(included)
    for version, first, last in _merged(excluded):
        cut: list[Interval] = []
        for part in left:
            if part[0] != version or part[2] < first or last < part[1]:
                cut.append(part)
                continue
            if part[1] < first:
                cut.append((version, part[1], first - 1))
            if last < part[2]:
                cut.append((version, last + 1, part[2]))
        left = cut
    return left


def member(interval: Interval) -> str:
    """The canonical text: an address if it is one, else a prefix if it is one, else a range."""
    version, first, last = interval
    address, bits = (IPv4Address, 32) if version == 4 else (IPv6Address, 128)
    size = last - first + 1
    if size == 1:
        return str(address(first))
    if size.bit_count() == 1 and first % size == 0:
        return f"{address(first)}/{bits - size.bit_length() + 1}"
    return f"{address(first)}-{address(last)}"


def member_interval(text: str) -> Interval:
    """The interval that a set member stands for; the inverse of :func:`member`."""
    first, dash, last = text.partition("-")
    return interval(first, last if dash else None)


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same addresses as few intervals as possible, sorted."""
    merged: list[Interval] = []
    for version, first, last in sorted(intervals):
        if merged and merged[-1][0] == version and first <= merged[-1][2] + 1:
            merged[-1] = (version, merged[-1][1], max(merged[-1][2], last))
        else:
            merged.append((version, first, last))
    return merged
