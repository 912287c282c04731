"""Services: protocol and ports in one spelling each, and which a packet filter can match."""

from collections.abc import Callable, Iterable
from functools import lru_cache

from pce.policy.estate import Estate
from ven_protocol.policy import Service

WITH_PORTS = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP, UDP-Lite (IANA protocol numbers)."""
ICMP = frozenset({1, 58})
"""ICMP of IPv4 and of IPv6."""


def sound_services(
    estate: Estate, named: Iterable[str | Service], report: Callable[[str], None]
) -> tuple[Service, ...]:
    """Services, those by reference looked up; unsound ones select no traffic."""
    found: list[Service] = []
    for service in named:
        if isinstance(service, Service):
            found.append(service)
        elif service in estate.services:
            found.extend(estate.services[service])
        else:
            report(f"service {service} does not exist")
    sound: set[Service] = set()
    for service in found:
        spelled = _spelled(service)
        if spelled is None:
            report(f"no packet filter can match {service}")
        else:
            sound.add(spelled)
    return tuple(sorted(sound, key=_order)) if len(sound) > 1 else tuple(sound)


@lru_cache(maxsize=4096)
def _spelled(service: Service) -> Service | None:
    """A service in its one spelling, None for an unsound one. Many rules are about few services."""
    return canonical(service) if is_sound(service) else None


def is_sound(service: Service) -> bool:
    """Can a packet filter match it: known numbers, a range that runs forward, ports and ICMP
    types only of protocols that have them?"""
    ports = (service.port, service.to_port)
    icmp = (service.icmp_type, service.icmp_code)
    if any(number is not None and not 0 <= number <= 65535 for number in ports):
        return False
    if any(number is not None and not 0 <= number <= 255 for number in icmp):
        return False
    if not -1 <= service.proto <= 255:
        return False
    if ports != (None, None) and service.proto not in WITH_PORTS:
        return False
    if icmp != (None, None) and service.proto not in ICMP:
        return False
    if service.icmp_code is not None and service.icmp_type is None:
        return False
    if service.to_port is None:
        return True
    return service.port is not None and service.port <= service.to_port


def canonical(service: Service) -> Service:
    """One spelling for one meaning: a range of one port is a port, all ports are no port."""
    port, to_port = service.port, service.to_port
    if (port, to_port) == (0, 65535):
        port = to_port = None
    elif to_port == port:
        to_port = None
    return Service(
        proto=service.proto,
        port=port,
        to_port=to_port,
        icmp_type=service.icmp_type,
        icmp_code=service.icmp_code,
    )


def _order(service: Service) -> tuple[int, ...]:
    """Sort key: the numbers, unsaid before said."""
    numbers = (
        service.proto,
        service.port,
        service.to_port,
        service.icmp_type,
        service.icmp_code,
    )
    return tuple(-2 if number is None else number for number in numbers)
