"""From the rules of an estate to rules over selectors: everything that needs no workload."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pce.policy.estate import EVERYTHING, Estate, Rule, Scope
from pce.policy.selectors import ANYBODY, Side, scope_conditions, workloads_meant
from pce.policy.services import sound_services
from pce.policy.virtual_services import as_consumer, offers, services_meant, united
from ven_protocol.policy import Service

Report = Callable[[str, str], None]
"""Takes where (an object's id) and what cannot be understood there."""


class Join(NamedTuple):
    """What a rule joins: one scope's providers with the same scope's consumers."""

    providers: Side
    consumers: Side
    services: tuple[Service, ...]
    """Sound ones, sorted, without repeats; never none."""
    part: str = ""
    """Which part of the rule this is, of a rule that means virtual services: the service's id, and
    what tells its ports apart. Joins of one part have the same services."""


class ResolvedRule(NamedTuple):
    """A rule that may have an effect, over selectors."""

    rule: Rule
    joins: tuple[Join, ...]
    """Never none. A scope joins only its own two sides."""


def active_rules(estate: Estate) -> Iterator[tuple[Rule, tuple[Scope, ...]]]:
    """Every enabled rule of an enabled rule set, and every enabled boundary, with its scopes."""
    for rule_set in estate.rule_sets:
        if rule_set.enabled:
            yield from ((rule, rule_set.scopes) for rule in rule_set.rules if rule.enabled)
    yield from ((rule, (EVERYTHING,)) for rule in estate.boundaries if rule.enabled)


def resolve_rules(estate: Estate, report: Report) -> list[ResolvedRule]:
    """All active rules that may have an effect, sorted by id. Never raises."""
    found = sorted(active_rules(estate), key=lambda found: found[0].id)
    resolved = [resolve_rule(estate, rule, scopes, report) for rule, scopes in found]
    return [rule for rule in resolved if rule is not None]


def resolve_rule(
    estate: Estate, rule: Rule, scopes: Iterable[Scope], report: Report
) -> ResolvedRule | None:
    """One rule over selectors, or None when it can have no effect.

    Reads the labels, label groups, IP lists, services and virtual services that the rule and its
    scopes name, and no workload.
    """
    if rule.unenforceable:
        report(rule.id, "not enforced, it demands " + ", ".join(sorted(rule.unenforceable)))
        return None

    def report_here(what: str) -> None:
        report(rule.id, what)

    services = sound_services(estate, rule.services, report_here)
    joins: list[Join] = []
    for scope in scopes:
        within = scope_conditions(estate, scope, report_here)
        consumers_within = ANYBODY if rule.unscoped_consumers else within
        providers = workloads_meant(
            estate,
            rule.providers,
            within,
            labels_are_workloads=rule.provider_labels_are_workloads,
            report=report_here,
        )
        consumers = workloads_meant(
            estate,
            rule.consumers,
            consumers_within,
            labels_are_workloads=rule.consumer_labels_are_workloads,
            report=report_here,
        )
        consuming_services = services_meant(
            estate,
            rule.consumers,
            consumers_within,
            labels_are_services=rule.consumer_labels_are_services,
            report=report_here,
        )
        for virtual_service in consuming_services:
            consumers = united(consumers, as_consumer(estate, virtual_service))
        if services:
            joins.append(Join(providers, consumers, services))
        providing_services = services_meant(
            estate,
            rule.providers,
            within,
            labels_are_services=rule.provider_labels_are_services,
            report=report_here,
        )
        joins += [
            Join(offer.side, offer.consumers or consumers, offer.services, offer.part)
            for virtual_service in providing_services
            for offer in offers(estate, virtual_service, report_here)
        ]
    return ResolvedRule(rule, tuple(joins)) if joins else None
