"""The facts that an engine holds, and which rules and workloads a change of them concerns."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pce.policy.change import EstateChange
from pce.policy.estate import (
    EVERYTHING,
    OFFERING,
    Backend,
    Estate,
    FirewallSettings,
    IpList,
    LabelGroup,
    Rule,
    RuleSet,
    Scope,
    VirtualService,
    Workload,
)
from pce.policy.kinds import Kinds
from pce.policy.recompute import PolicyProblem
from pce.policy.selectors import AddressSelector
from ven_protocol.policy import Service

ActiveRule = tuple[Rule, tuple[Scope, ...]]
_Name = tuple[str, str]
"""Kind and id of what a rule names."""
_NO_BACKEND = Backend()
_SERVICES_BY_LABEL: _Name = ("virtual_service", "")
"""What a rule names whose labels mean virtual services: any of them."""


@dataclass
class Stale:
    """What has to be looked at again after a change."""

    rules: set[str] = field(default_factory=set)
    """Ids of active rules, and of such as are active no more."""
    workloads: dict[str, Workload | None] = field(default_factory=dict)
    """Those that changed, as they are now."""
    lists: set[AddressSelector] = field(default_factory=set)
    """What IP lists, virtual services and virtual servers say that changed."""
    kinds: bool = False
    """Settings changed: every workload's kind and addresses may have."""


class Facts:
    """An estate that changes, with an index from what rules name to the rules."""

    def __init__(self) -> None:
        self.workloads: dict[str, Workload] = {}
        self.uses = Counter[str]()
        """Label id to the number of workloads that have it."""
        self.rules: dict[str, ActiveRule] = {}
        self.kinds = Kinds.of_estate(Estate(), lambda where, what: None)
        self._label_keys: dict[str, str] = {}
        self._sound: set[tuple[str, str]] = set()
        """Key and id of every label: what workloads may have."""
        self._label_groups: dict[str, LabelGroup] = {}
        self._ip_lists: dict[str, IpList] = {}
        self._services: dict[str, tuple[Service, ...]] = {}
        self._virtual_services: dict[str, VirtualService] = {}
        self._rule_sets: dict[str, RuleSet] = {}
        self._custom: dict[str, RuleSet] = {}
        self._boundaries: dict[str, Rule] = {}
        self._firewall = FirewallSettings()
        self._naming: dict[_Name, set[str]] = {}
        self._kinds_problems: list[PolicyProblem] = []
        self._label_problems: dict[str, list[PolicyProblem]] = {}
        self.estate = self._estate()

    def replace(self, change: EstateChange) -> Stale:
        """Take a change over. Cost: what changed, and the rules that name it; all workloads only
        when a label that some have came, went or changed its key."""
        stale = Stale()
        labels = _replaced(self._label_keys, change.label_keys)
        groups = self._with_groups_around(_replaced(self._label_groups, change.label_groups))
        lists = _replaced(self._ip_lists, change.ip_lists)
        services = _replaced(self._services, change.services)
        virtual = _replaced(self._virtual_services, change.virtual_services)
        offering = self._virtual_services_naming(services, {*labels, *groups})
        rule_sets = _replaced(self._rule_sets, change.rule_sets)
        boundaries = _replaced(self._boundaries, change.boundaries)
        stale.workloads = self._take_workloads(change)
        for old, new in rule_sets.values():
            self._replace_rules(_active(old), _active(new), stale)
        for boundary, successor in boundaries.values():
            self._replace_rules(_alone(boundary), _alone(successor), stale)
        named = [("label", id) for id in labels]
        named += [("label_group", id) for id in groups]
        named += [
            ("ip_list", id)
            for id, (old, new) in lists.items()
            if (old is None) is not (new is None)
        ]
        named += [("service", id) for id in services]
        named += [(kind, id) for id in (*virtual, *offering) for kind in OFFERING]
        if virtual or offering:
            named.append(_SERVICES_BY_LABEL)
        for name in named:
            stale.rules |= self._naming.get(name, set())
        stale.lists = {AddressSelector("ip_list", id) for id in lists}
        for id in virtual:
            stale.lists |= {
                AddressSelector("virtual_service", id),
                AddressSelector("load_balancer", id),
            }
        custom = self._take_custom_rules(rule_sets)
        if change.firewall is not None and change.firewall != self._firewall:
            self._firewall = change.firewall
            custom = True
        if custom or labels or groups or (self._custom and (lists or virtual)):
            stale.kinds = self._resolve_kinds()
        self._check_labels(labels, stale.workloads)
        return stale

    def problems(self) -> Iterator[PolicyProblem]:
        """What is wrong with settings, custom rules, workloads' labels, and with rules that name
        workloads that do not exist."""
        yield from self._kinds_problems
        yield from chain.from_iterable(self._label_problems.values())
        for (kind, id), rule_ids in self._naming.items():
            if kind == "workload" and id not in self.workloads:
                for rule_id in rule_ids:
                    yield PolicyProblem(rule_id, f"workload {id} does not exist")

    def _estate(self) -> Estate:
        """The facts that rules and settings are resolved with; it shares our dicts. Of the rule
        sets only those that have custom rules."""
        return Estate(
            label_keys=self._label_keys,
            label_groups=self._label_groups,
            ip_lists=self._ip_lists,
            services=self._services,
            rule_sets=tuple(self._custom.values()),
            virtual_services=self._virtual_services,
            firewall=self._firewall,
        )

    def _take_workloads(self, change: EstateChange) -> dict[str, Workload | None]:
        """Those that differ, as they are now."""
        replaced = _replaced(self.workloads, change.workloads)
        self.uses.subtract(_labels(old for old, _ in replaced.values()))
        self.uses.update(_labels(new for _, new in replaced.values()))
        return {id: new for id, (_, new) in replaced.items()}

    def _replace_rules(
        self, old: Mapping[str, ActiveRule], new: Mapping[str, ActiveRule], stale: Stale
    ) -> None:
        for rule_id, active in old.items():
            if new.get(rule_id) != active:
                stale.rules.add(rule_id)
                del self.rules[rule_id]
                for name in _names_in(active):
                    self._naming[name].discard(rule_id)
                    if not self._naming[name]:
                        del self._naming[name]
        for rule_id, active in new.items():
            if old.get(rule_id) != active:
                stale.rules.add(rule_id)
                self.rules[rule_id] = active
                for name in _names_in(active):
                    if name in self._naming:
                        self._naming[name].add(rule_id)
                    else:
                        self._naming[name] = {rule_id}

    def _with_groups_around(self, changed: Mapping[str, Any]) -> set[str]:
        """Label groups that changed, and those that they are in, at any depth."""
        found = set(changed)
        grown = bool(found)
        while grown:
            around = {
                id
                for id, group in self._label_groups.items()
                if found.intersection(group.sub_groups)
            }
            grown = not around <= found
            found |= around
        return found

    def _virtual_services_naming(self, services: Mapping[str, Any], members: set[str]) -> list[str]:
        """Those that offer one of these services, or whose members one of these labels and label
        groups says. The ids of labels and groups are never the same."""
        if not services and not members:
            return []
        found = []
        for id, virtual_service in self._virtual_services.items():
            backend = virtual_service.backend or _NO_BACKEND
            offered = (*virtual_service.services, *backend.services)
            if any(isinstance(s, str) and s in services for s in offered) or any(
                actor.id in members for actor in backend.members
            ):
                found.append(id)
        return found

    def _take_custom_rules(
        self, rule_sets: Mapping[str, tuple[RuleSet | None, RuleSet | None]]
    ) -> bool:
        """Did custom rules change?"""
        any_changed = False
        for id, (old, new) in rule_sets.items():
            if (old and old.custom_rules) or (new and new.custom_rules):
                any_changed = True
                self._custom.pop(id, None)
                if new and new.custom_rules:
                    self._custom[id] = new
        return any_changed

    def _resolve_kinds(self) -> bool:
        """Did what follows from the settings and custom rules change?"""
        self.estate = self._estate()
        problems: list[PolicyProblem] = []
        kinds = Kinds.of_estate(
            self.estate, lambda where, what: problems.append(PolicyProblem(where, what))
        )
        same = kinds == self.kinds
        self.kinds, self._kinds_problems = kinds, problems
        return not same

    def _check_labels(self, labels: Mapping[str, Any], workloads: Mapping[str, Any]) -> None:
        """Find workloads that have labels that do not exist."""
        if labels:
            self._sound = {(key, label) for label, key in self._label_keys.items()}
        checked = workloads
        if any(self.uses[label] for label in labels):
            checked = {**workloads, **self.workloads}
        sound = self._sound
        for id, workload in checked.items():
            if workload is None or sound.issuperset(workload.labels.items()):
                if self._label_problems:
                    self._label_problems.pop(id, None)
            else:
                self._label_problems[id] = [
                    PolicyProblem(f"workload {id}", f"label {label} of key {key} does not exist")
                    for key, label in workload.labels.items()
                    if (key, label) not in sound
                ]


def _replaced(facts: dict[str, Any], change: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Take a change over; returns old and new of what differs."""
    replaced: dict[str, tuple[Any, Any]] = {}
    for id, new in change.items():
        old = facts.get(id)
        if old == new:
            continue
        replaced[id] = (old, new)
        if new is None:
            del facts[id]
        else:
            facts[id] = new
    return replaced


def _labels(workloads: Iterable[Workload | None]) -> Iterator[str]:
    """Ids of all their labels, with repeats."""
    return chain.from_iterable(
        workload.labels.values() for workload in workloads if workload is not None
    )


def _active(rule_set: RuleSet | None) -> dict[str, ActiveRule]:
    if rule_set is None or not rule_set.enabled:
        return {}
    return {rule.id: (rule, rule_set.scopes) for rule in rule_set.rules if rule.enabled}


def _alone(boundary: Rule | None) -> dict[str, ActiveRule]:
    if boundary is None or not boundary.enabled:
        return {}
    return {boundary.id: (boundary, (EVERYTHING,))}


def _names_in(active: ActiveRule) -> set[_Name]:
    """Everything that a rule and its scopes name, but what stands for everybody."""
    rule, scopes = active
    names: set[_Name] = {
        (actor.kind, actor.id)
        for actor in chain(rule.providers, rule.consumers, *scopes)
        if actor.id and actor.kind != "other"
    }
    names.update(("service", service) for service in rule.services if isinstance(service, str))
    if rule.provider_labels_are_services or rule.consumer_labels_are_services:
        names.add(_SERVICES_BY_LABEL)
    return names
