"""Which rules join two ends, found without looking at every rule.

Each rule is filed under what its sides name: labels, groups, workloads, IP lists, or its scope
where that says more. An end asks for what could mean it; the rules that both ends find, and whose
services fit, are resolved and compared exactly. Filing decides nothing, it only saves work: the
meaning is :func:`pce.policy.resolve.resolve_rule`'s.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pce.policy.addresses import Interval, member_interval
from pce.policy.estate import OFFERING, Actor, Estate, Rule, Scope, Workload
from pce.policy.kinds import Kinds
from pce.policy.questions.ends import End
from pce.policy.recompute import Direction, members_said, names_said
from pce.policy.resolve import Join, active_rules, resolve_rule
from pce.policy.selectors import (
    ANYBODY,
    AddressSelector,
    Selector,
    Side,
    label_conditions,
    workloads_meant,
)
from pce.policy.services import sound_services
from pce.policy.traffic import Traffic, service_matches
from ven_protocol.policy import Service

Key = tuple[str, str]
"""Kind and id of an actor."""
_ANYBODY: Key = ("ams", "")
"""Sides that no label narrows; every workload asks for them."""
_VIRTUAL: Key = ("virtual_service", "")
"""Sides that mean virtual services; every end asks for them."""


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that joins two ends for some traffic, and through which row of its scopes."""

    rule: Rule
    scope: Scope
    join: Join
    at_source: bool
    """The source's firewall holds it, and knows the destination's address by it."""
    at_destination: bool
    """The same at the destination."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a firewall holds of a rule, through one row of its scopes."""

    rule: Rule
    scope: Scope
    join: Join
    direction: Direction
    peers: tuple[Selector, ...]
    """The other side."""


class RuleIndex:
    """The active rules of an estate, filed. Its workloads are not looked at.

    Building: 10 microseconds a rule. What is resolved on the way is kept.
    """

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self._rules = sorted(active_rules(estate), key=lambda found: found[0].id)
        self._providers: dict[Key, list[int]] = {}
        self._consumers: dict[Key, list[int]] = {}
        self._joins: dict[int, tuple[tuple[Scope, Join], ...]] = {}
        self._services: dict[str | Service, tuple[Service, ...]] = {}
        self._spans: dict[AddressSelector, list[Interval]] = {}
        self._lists: dict[object, list[Key]] = {}
        balanced = any(v.backend is not None for v in estate.virtual_services.values())
        uses = Counter(entry for _, scopes in self._rules for scope in scopes for entry in scope)
        for number, (rule, scopes) in enumerate(self._rules):
            if rule.unenforceable:
                continue
            narrow: list[Key | None] = [_narrowest(scope, uses) for scope in scopes]
            for key in _filed(rule.providers, narrow, services=rule.provider_labels_are_services):
                self._providers.setdefault(key, []).append(number)
            if rule.unscoped_consumers:
                narrow = [None]
            for key in _filed(rule.consumers, narrow, services=rule.consumer_labels_are_services):
                self._consumers.setdefault(key, []).append(number)
            if balanced and _may_offer(rule):
                # A load balancer is a consumer whom no actor names.
                filed = self._consumers.setdefault(_VIRTUAL, [])
                if not filed or filed[-1] != number:
                    filed.append(number)

    def matches(self, source: End, destination: End, traffic: Traffic) -> Iterator[Match]:
        """Rules of every tier whose consumers mean the source, and whose providers mean the
        destination, for this traffic; a rule once for each row and part that does. By rule id.

        Cost: the rules filed under both ends; about 200 microseconds for each that is resolved
        for the first time.
        """
        found = self._candidates(self._consumers, source)
        found &= self._candidates(self._providers, destination)
        for number in sorted(found):
            rule = self._rules[number][0]
            if not self._may_serve(rule, traffic):
                continue
            for scope, join in self.joins(number):
                if not any(service_matches(service, traffic) for service in join.services):
                    continue
                consumes = self._on(join.consumers, source)
                provides = self._on(join.providers, destination)
                if any(consumes) and any(provides):
                    yield Match(
                        rule=rule,
                        scope=scope,
                        join=join,
                        at_source=consumes[0] and provides[1],
                        at_destination=provides[0] and consumes[1],
                    )

    def held_by(self, workload: Workload) -> Iterator[Held]:
        """What the workload's firewall holds of the rules, whoever the peer, in any mode but
        ``idle``. By rule id, row, and ``in`` before ``out``."""
        end = End(workload, (), ())
        providing = self._candidates(self._providers, end)
        for number in sorted(providing | self._candidates(self._consumers, end)):
            for scope, join in self.joins(number):
                sides: tuple[tuple[Direction, Side, Side], ...] = (
                    ("in", join.providers, join.consumers),
                    ("out", join.consumers, join.providers),
                )
                for direction, own, others in sides:
                    if others.peers and any(selector.matches(workload) for selector in own.hosts):
                        yield Held(self._rules[number][0], scope, join, direction, others.peers)

    def joins(self, number: int) -> tuple[tuple[Scope, Join], ...]:
        """What the rule of this number joins, each with its row of the scopes."""
        if number not in self._joins:
            rule, scopes = self._rules[number]
            resolved = ((s, resolve_rule(self.estate, rule, (s,), _ignore)) for s in scopes)
            self._joins[number] = tuple(
                (scope, join) for scope, one in resolved if one is not None for join in one.joins
            )
        return self._joins[number]

    def rules(self) -> Iterator[tuple[int, Rule, tuple[Scope, ...]]]:
        """Every active rule with its number and its rows, by id."""
        for number, (rule, scopes) in enumerate(self._rules):
            yield number, rule, scopes

    def naming(self, lists: Iterable[AddressSelector]) -> Iterator[Rule]:
        """Rules that name one of these IP lists; some more than once."""
        for selector in lists:
            for filed in (self._providers, self._consumers):
                for number in filed.get((selector.kind, selector.id), ()):
                    yield self._rules[number][0]

    def services_of(self, named: Iterable[str | Service]) -> list[Service]:
        """The sound services among these, those by reference looked up."""
        return [service for one in named for service in self._sound(one)]

    def on_side(self, side: Side, end: End) -> bool:
        """Does this side of a rule mean the end: its host, or its address?"""
        return any(self._on(side, end))

    def means(self, actor: Actor, end: End) -> bool:
        """Does this one actor, by itself, mean the end?"""
        if actor.kind == "ip_list":
            return actor.id in self.estate.ip_lists and self._knows(
                AddressSelector("ip_list", actor.id), end
            )
        workloads = end.known_as if end.host is None else (end.host, *end.known_as)
        if actor.kind == "ams":
            return bool(workloads)
        if actor.kind == "workload":
            return any(workload.id == actor.id for workload in workloads)
        if actor.kind == "container_host":
            return any(workload.container_host for workload in workloads)
        if actor.kind in OFFERING:
            return self._is_served_by(actor.id, workloads, end)
        conditions = label_conditions(self.estate, (actor,), _ignore)
        return conditions is not None and any(conditions.hold(w.labels) for w in workloads)

    def _is_served_by(self, id: str, workloads: Iterable[Workload], end: End) -> bool:
        """Is the end at the address of a virtual service or server, bound to it, or behind it?"""
        virtual_service = self.estate.virtual_services.get(id)
        if virtual_service is None:
            return False
        if self._knows(AddressSelector("virtual_service", id), end):
            return True
        if any(binding.partition(":")[0] == id for w in workloads for binding in w.bound):
            return True
        backend = virtual_service.backend
        if backend is None:
            return False
        members = workloads_meant(
            self.estate, backend.members, ANYBODY, labels_are_workloads=True, report=_ignore
        )
        return any(selector.matches(w) for w in workloads for selector in members.hosts)

    def spans(self, selector: AddressSelector) -> list[Interval]:
        """The addresses that an object says itself: sorted, disjoint."""
        if selector not in self._spans:
            said = members_said(self.estate, selector, _ignore)
            self._spans[selector] = sorted(map(member_interval, said))
        return self._spans[selector]

    def _on(self, side: Side, end: End) -> tuple[bool, bool]:
        """Does the end's firewall hold this side; do others know the end by it?"""
        host = end.host
        holds = host is not None and any(selector.matches(host) for selector in side.hosts)
        return holds, any(self._knows(selector, end) for selector in side.peers)

    def _knows(self, selector: Selector, end: End) -> bool:
        if not isinstance(selector, AddressSelector):
            return any(selector.matches(workload) for workload in end.known_as)
        if end.by_any_name and names_said(self.estate, selector):
            return True
        spans = self.spans(selector)
        return any(all(_within(one, spans) for one in together) for together in end.spans)

    def _may_serve(self, rule: Rule, traffic: Traffic) -> bool:
        if _may_offer(rule):
            return True  # a virtual service brings its own ports
        return any(service_matches(s, traffic) for s in self.services_of(rule.services))

    def _sound(self, named: str | Service) -> tuple[Service, ...]:
        if named not in self._services:
            self._services[named] = sound_services(self.estate, (named,), _ignore)
        return self._services[named]

    def _candidates(self, filed: dict[Key, list[int]], end: End) -> set[int]:
        return {number for key in self._keys(end) for number in filed.get(key, ())}

    def _keys(self, end: End) -> set[Key]:
        """Everything that could mean the end."""
        keys = {_VIRTUAL}
        for workload in {w.id: w for w in (end.host, *end.known_as) if w is not None}.values():
            keys |= {_ANYBODY, ("workload", workload.id)}
            for label in workload.labels.values():
                keys.add(("label", label))
                keys.update(("label_group", group) for group in self._groups.get(label, ()))
        asked = end.spans, end.by_any_name
        if asked not in self._lists:
            selectors = (AddressSelector("ip_list", id) for id in self.estate.ip_lists)
            self._lists[asked] = [("ip_list", s.id) for s in selectors if self._knows(s, end)]
        return keys.union(self._lists[asked])

    @cached_property
    def kinds(self) -> Kinds:
        """The estate's settings, resolved."""
        return Kinds.of_estate(self.estate, _ignore)

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        """Label id to the groups that hold it, directly or through groups in them."""
        groups: dict[str, list[str]] = {}
        for id in self.estate.label_groups:
            conditions = label_conditions(self.estate, (Actor("label_group", id),), _ignore)
            for labels in conditions.wanted.values() if conditions else ():
                for label in labels:
                    groups.setdefault(label, []).append(id)
        return groups


def _narrowest(scope: Scope, uses: Counter[Actor]) -> Key | None:
    """The entry of a scope row that the fewest rows share; None when nothing narrows it."""
    plain = [entry for entry in scope if not entry.exclusion]
    if not plain:
        return None
    narrowest = min(plain, key=lambda entry: uses[entry])
    return narrowest.kind, narrowest.id


def _filed(actors: Iterable[Actor], narrow: Iterable[Key | None], *, services: bool) -> set[Key]:
    """Under what one side of a rule is filed. ``narrow``: for each row, what narrows it;
    ``services``: labels mean virtual services (too)."""
    actors = tuple(actors)
    labels = [actor for actor in actors if actor.kind in ("label", "label_group")]
    own: set[Key] = {(actor.kind, actor.id) for actor in labels if not actor.exclusion}
    if any(a.kind in ("ams", "container_host") for a in actors) or (labels and not own):
        own.add(_ANYBODY)
    keys: set[Key] = {(a.kind, a.id) for a in actors if a.kind in ("workload", "ip_list")}
    if any(a.kind in OFFERING for a in actors) or (services and own):
        keys.add(_VIRTUAL)
    if own:
        for key in narrow:
            keys |= own if key is None else {key}
    return keys


def _may_offer(rule: Rule) -> bool:
    """Do its providers mean virtual services or virtual servers?"""
    return rule.provider_labels_are_services or any(a.kind in OFFERING for a in rule.providers)


def _within(span: Interval, spans: list[Interval]) -> bool:
    """Does one of the sorted, disjoint intervals hold all of this one?"""
    version, first, last = span
    at = bisect_right(spans, (version, first, 1 << 129)) - 1
    return at >= 0 and spans[at][0] == version and spans[at][1] <= first and last <= spans[at][2]


def _ignore(*what: str) -> None:
    """Problems are the compile's matter."""
