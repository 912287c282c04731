"""From the rules of an estate to rules over selectors: everything that needs no workload."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pce.policy.estate import EVERYTHING, Estate, Rule, Scope
from pce.policy.selectors import Selector, select
from ven_protocol.policy import Service

WITH_PORTS = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP, UDP-Lite (IANA protocol numbers)."""
ICMP = frozenset({1, 58})
"""ICMP of IPv4 and of IPv6."""

Report = Callable[[str, str], None]
"""Takes where (an object's id) and what cannot be understood there."""


@dataclass(frozen=True)
class ResolvedRule:
    """A rule that may have an effect, over selectors."""

    rule: Rule
    services: tuple[Service, ...]
    """Sound ones, sorted, without repeats; never none."""
    joins: tuple[tuple[tuple[Selector, ...], tuple[Selector, ...]], ...]
    """Providers and consumers, one pair a scope. A scope joins only its own two sides."""


def active_rules(estate: Estate) -> Iterator[tuple[Rule, tuple[Scope, ...]]]:
    """Every enabled rule of an enabled rule set, and every enabled boundary, with its scopes."""
    for rule_set in estate.rule_sets:
        if rule_set.enabled:
            yield from ((rule, rule_set.scopes) for rule in rule_set.rules if rule.enabled)
    yield from ((rule, (EVERYTHING,)) for rule in estate.boundaries if rule.enabled)


def resolve_rules(estate: Estate, report: Report) -> list[ResolvedRule]:
    """All active rules that may have an effect, sorted by id. Never raises."""
    workload_ids = {workload.id for workload in estate.workloads}
    resolved: list[ResolvedRule] = []
    for rule, scopes in sorted(active_rules(estate), key=lambda found: found[0].id):
        if rule.unenforceable:
            report(rule.id, "not enforced, it demands " + ", ".join(sorted(rule.unenforceable)))
            continue

        def report_here(what: str, where: str = rule.id) -> None:
            report(where, what)

        for actor in rule.providers + rule.consumers:
            if actor.kind == "workload" and actor.id not in workload_ids:
                report_here(f"workload {actor.id} does not exist")
        services = _services(estate, rule, report_here)
        joins = tuple(
            (
                select(
                    estate,
                    rule.providers,
                    scope,
                    labels_are_workloads=rule.provider_labels_are_workloads,
                    report=report_here,
                ),
                select(
                    estate,
                    rule.consumers,
                    EVERYTHING if rule.unscoped_consumers else scope,
                    labels_are_workloads=rule.consumer_labels_are_workloads,
                    report=report_here,
                ),
            )
            for scope in scopes
        )
        if services:
            resolved.append(ResolvedRule(rule, services, joins))
    return resolved


def _services(estate: Estate, rule: Rule, report: Callable[[str], None]) -> tuple[Service, ...]:
    """The rule's services, those by reference looked up; unsound ones select no traffic."""
    found: list[Service] = []
    for service in rule.services:
        if isinstance(service, Service):
            found.append(service)
        elif service in estate.services:
            found.extend(estate.services[service])
        else:
            report(f"service {service} does not exist")
    sound: set[Service] = set()
    for service in found:
        if is_sound(service):
            sound.add(canonical(service))
        else:
            report(f"no packet filter can match {service}")
    return tuple(sorted(sound, key=_order))


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
