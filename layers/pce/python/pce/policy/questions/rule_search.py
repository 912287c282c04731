"""Which rules name an actor, or mean it in whatever words."""

from collections.abc import Iterable, Iterator, Mapping

from pce.policy.estate import OFFERING, Actor, Rule
from pce.policy.questions.ends import End
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.selectors import (
    AddressSelector,
    Selector,
    Side,
    WorkloadSelector,
    label_conditions,
)
from pce.policy.services import canonical
from ven_protocol.policy import Service


def names(actors: Iterable[Actor], wanted: Actor) -> bool:
    """Is the actor among these, excluded or not?"""
    return any((actor.kind, actor.id) == (wanted.kind, wanted.id) for actor in actors)


def means(index: RuleIndex, side: Side, wanted: Actor, ends: Mapping[Actor, End]) -> bool:
    """Could the actor, or part of it, be on this side of a rule, in its scope?

    - a label or label group: a workload with one of its labels could be;
    - a workload or IP list (``ends`` has them): it is, by label, by name or by address;
    - ``ams``: every workload is; a virtual service, virtual server or container host: it is.
    """
    end = ends.get(wanted)
    if end is not None:
        return index.on_side(side, end)
    selectors = (*side.hosts, *side.peers)
    if wanted.kind in ("label", "label_group"):
        conditions = label_conditions(index.estate, (wanted,), _ignore)
        if conditions is None:
            return False
        [(key, ids)] = conditions.wanted.items()
        return any(_may_have(selector, key, ids) for selector in selectors)
    return any(_is(selector, wanted) for selector in selectors)


def search(
    index: RuleIndex,
    providers: Iterable[Actor],
    consumers: Iterable[Actor],
    either: Iterable[Actor],
    services: Iterable[str | Service],
    *,
    ends: Mapping[Actor, End] | None,
) -> Iterator[Rule]:
    """Active rules of which every wanted actor is on its side, and one of the wanted services (any,
    when there are none) is the rule's. By rule id.

    Without ``ends`` a rule must name actor and service; with ``ends`` (the workloads and IP lists
    among the actors) it must mean them: a workload by its labels, a service by its ports. Cost:
    then every rule whose services fit is resolved, some 200 microseconds each.
    """
    providers, consumers, either = tuple(providers), tuple(consumers), tuple(either)
    services = tuple(services)
    for number, rule, _ in index.rules():
        if services and not _has_service(index, rule, services, resolve=ends is not None):
            continue
        if ends is None:
            found = (
                all(names(rule.providers, actor) for actor in providers)
                and all(names(rule.consumers, actor) for actor in consumers)
                and all(names(rule.providers + rule.consumers, actor) for actor in either)
            )
        else:
            found = any(
                all(means(index, join.providers, actor, ends) for actor in providers)
                and all(means(index, join.consumers, actor, ends) for actor in consumers)
                and all(
                    means(index, join.providers, actor, ends)
                    or means(index, join.consumers, actor, ends)
                    for actor in either
                )
                for _, join in index.joins(number)
            )
        if found:
            yield rule


def _has_service(
    index: RuleIndex, rule: Rule, wanted: Iterable[str | Service], *, resolve: bool
) -> bool:
    if not resolve:
        inline = [canonical(s) for s in rule.services if isinstance(s, Service)]
        return any(
            service in rule.services if isinstance(service, str) else canonical(service) in inline
            for service in wanted
        )
    own = index.services_of(rule.services)
    return any(_overlap(one, other) for one in own for other in index.services_of(wanted))


def _overlap(one: Service, other: Service) -> bool:
    """Is there traffic that both services match?"""
    if -1 not in (one.proto, other.proto) and one.proto != other.proto:
        return False
    if one.port is not None and other.port is not None:
        last, other_last = (s.port if s.to_port is None else s.to_port for s in (one, other))
        if not (one.port <= (other_last or 0) and other.port <= (last or 0)):
            return False
    return all(
        mine is None or theirs is None or mine == theirs
        for mine, theirs in (
            (one.icmp_type, other.icmp_type),
            (one.icmp_code, other.icmp_code),
        )
    )


def _may_have(selector: Selector, key: str, ids: frozenset[str]) -> bool:
    """Could a workload with one of these labels be selected?"""
    if isinstance(selector, AddressSelector) or selector.workload_id or selector.bound_to:
        return False
    for condition in selector.conditions:
        if condition.key == key:
            return bool(ids - condition.ids if condition.negated else ids & condition.ids)
    return True


def _is(selector: Selector, wanted: Actor) -> bool:
    """Does the selector stand for just this?"""
    if isinstance(selector, AddressSelector):
        own = OFFERING if selector.kind == "virtual_service" else (selector.kind,)
        return wanted.kind in own and selector.id == wanted.id
    match wanted.kind:
        case "ams":
            return selector == WorkloadSelector()
        case "container_host":
            return selector.container_host
        case "virtual_service":
            return (selector.bound_to or "").partition(":")[0] == wanted.id
    return False


def _ignore(what: str) -> None:
    """Problems are the compile's matter."""
