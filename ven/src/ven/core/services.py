"""Which traffic a service names, as nft expressions; pure."""

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from ven_protocol.policy import Service

Family = Literal[4, 6]
FAMILIES: tuple[tuple[Family, str], ...] = ((4, "ip"), (6, "ip6"))
"""Each with the word by which nft selects its addresses."""

PORT_PROTOCOLS = (6, 17, 33, 132, 136)
"""TCP, UDP, DCCP, SCTP, UDP-Lite: those whose ports conntrack knows."""

_ICMP: dict[Family, int] = {4: 1, 6: 58}
_ANSWERS = {8: 0, 13: 14, 128: 129}
"""ICMP and ICMPv6 types that are answered (echo, timestamp), and by which."""


class Place(Struct, frozen=True):
    """Where nft finds the 16 bits that name a service within a protocol."""

    port: str
    icmp: str
    """Of ICMP: type and code."""
    answers: bool = False
    """It is looked for in what answers the service, and not in what asks for it."""


CONNECTION = Place("ct reply proto-src", "ct original proto-dst")
"""Of the reply the source port is the service; conntrack keeps an ICMP type and code where the
original has its destination port."""
QUESTION = Place("th dport", "@th,0,16")
ANSWER = Place("th sport", "@th,0,16", answers=True)


def service_matches(
    services: Iterable[Service], family: Family, place: Place = CONNECTION
) -> list[str]:
    """nft expressions, each with a space behind it, one of which matches when a service does."""
    whole: set[int] = set()
    named: dict[int, list[tuple[int, int]]] = {}
    for service in services:
        has_type = service.icmp_type is not None or service.icmp_code is not None
        if service.proto == -1 and service.port is None and not has_type:
            return [""]
        for proto in (*PORT_PROTOCOLS, _ICMP[family]) if service.proto == -1 else (service.proto,):
            found = list(_ranges(service, proto, has_type))
            if found == [(0, 0xFFFF)]:
                whole.add(proto)
            elif found and not (proto in _ICMP.values() and proto != _ICMP[family]):
                named.setdefault(proto, []).extend(found)
    lines = [f"meta l4proto {{ {', '.join(map(str, sorted(whole)))} }} "] if whole else []
    for proto in sorted(named.keys() - whole):
        is_icmp = proto in _ICMP.values()
        ranges = list(
            merged(_answered(named[proto]) if is_icmp and place.answers else named[proto])
        )
        key = f"meta l4proto {proto} {place.icmp if is_icmp else place.port}"
        # A range has its own rule: as part of a set it would make it an interval set, which the
        # kernel switches later than the rules.
        single = [str(first) for first, last in ranges if first == last]
        if single:
            lines.append(f"{key} {{ {', '.join(single)} }} ")
        lines += [f"{key} {first}-{last} " for first, last in ranges if first != last]
    return lines


def _ranges(service: Service, proto: int, has_type: bool) -> Iterator[tuple[int, int]]:
    """Ranges of the 16 bits that name a service within ``proto``; none when it cannot match."""
    if service.port is not None:
        if proto in PORT_PROTOCOLS and not has_type:
            yield service.port, service.port if service.to_port is None else service.to_port
    elif not has_type:
        yield 0, 0xFFFF
    elif proto in _ICMP.values():
        types = range(256) if service.icmp_type is None else (service.icmp_type,)
        for kind in types:
            if service.icmp_code is None:
                yield kind << 8, kind << 8 | 0xFF
            else:
                yield kind << 8 | service.icmp_code, kind << 8 | service.icmp_code


def _answered(asked: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What answers ICMP messages; each range is of one type."""
    for first, last in asked:
        answer = _ANSWERS.get(first >> 8)
        if answer is not None:
            yield answer << 8 | first & 0xFF, answer << 8 | last & 0xFF


def answers_are_told(service: Service) -> bool:
    """Can a packet that answers the service be told from one that asks, by itself? By the port it
    comes from, or the ICMP type."""
    return service.port is not None or service.icmp_type is not None


def merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Overlapping and touching ranges joined, because the kernel refuses overlaps."""
    current: tuple[int, int] | None = None
    for first, last in sorted(ranges):
        if current is None:
            current = first, last
        elif first <= current[1] + 1:
            current = current[0], max(current[1], last)
        else:
            yield current
            current = first, last
    if current is not None:
        yield current
