"""The full recompute: every VEN's policy from all facts, from scratch.

Clarity beats speed here: this is the meaning of policy, against which any faster engine is tested.
How the pieces fit is in docs/policy.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pce.policy.addresses import Interval, interval, member, subtract
from pce.policy.estate import Estate, Workload
from pce.policy.kinds import Kind, Kinds
from pce.policy.repeats import without_repeats
from pce.policy.resolve import Report, ResolvedRule, active_rules, resolve_rules
from pce.policy.selectors import AddressSelector, Selector, WorkloadSelector
from ven_protocol.policy import PolicyDocument, Rule, policy_digest

Direction = Literal["in", "out"]
_DIRECTIONS: tuple[Direction, ...] = ("in", "out")


@dataclass(frozen=True, slots=True, order=True)
class PolicyProblem:
    """Something in the active policy that selects nothing because it cannot be understood."""

    where: str
    """Rule, object or workload."""
    what: str


@dataclass(frozen=True)
class Recomputed:
    """The policy of every managed workload, and what was left out of it."""

    documents: dict[str, PolicyDocument]
    """Workload id to document; workloads that no rule can tell apart share one object."""
    problems: tuple[PolicyProblem, ...]
    """Sorted, without repeats."""

    def etags(self) -> dict[str, str]:
        """Workload id to etag; each distinct document is hashed once."""
        by_document = {id(document): document for document in self.documents.values()}
        etags = {key: policy_digest(document) for key, document in by_document.items()}
        return {name: etags[id(document)] for name, document in self.documents.items()}


def recompute(estate: Estate) -> Recomputed:
    """Compute all documents.

    Never raises: what cannot be understood (a reference to nothing, an address that is none)
    selects nothing and is listed in ``problems``. The order of the facts does not matter.

    Cost: workloads are grouped into classes that no selector can tell apart, then
    classes x (selectors + rules x scopes), and the bytes of the documents of distinct classes.
    """
    problems: set[PolicyProblem] = set()

    def report(where: str, what: str) -> None:
        problems.add(PolicyProblem(where, what))

    rules = resolve_rules(estate, report)
    kinds = Kinds.of_estate(estate, report)
    _report_missing(estate, report)
    classes = _classes(estate.workloads, rules)
    sets = _address_sets(estate, kinds, classes, rules, report)
    documents: dict[str, PolicyDocument] = {}
    for number, alike in enumerate(classes):
        of_kind: dict[Kind, PolicyDocument] = {}
        for workload in alike:
            if not workload.managed:
                continue
            kind = kinds.of(workload)
            if kind not in of_kind:
                of_kind[kind] = _document(estate, kind, number, rules, sets)
            documents[workload.id] = of_kind[kind]
    return Recomputed(documents, tuple(sorted(problems)))


def _report_missing(estate: Estate, report: Report) -> None:
    """Workloads that rules name and labels that workloads have, where there are none."""
    workload_ids = {workload.id for workload in estate.workloads}
    for rule, _ in active_rules(estate):
        for actor in rule.providers + rule.consumers:
            if actor.kind == "workload" and actor.id not in workload_ids:
                report(rule.id, f"workload {actor.id} does not exist")
    for workload in estate.workloads:
        for key, label in workload.labels.items():
            if estate.label_keys.get(label) != key:
                report(f"workload {workload.id}", f"label {label} of key {key} does not exist")


def _classes(workloads: Iterable[Workload], rules: Iterable[ResolvedRule]) -> list[list[Workload]]:
    """Workloads grouped so that every selector selects all of a group or none of it."""
    asked = {s for s in _selectors(rules) if isinstance(s, WorkloadSelector)}
    named = {s.workload_id for s in asked}
    bindings = {s.bound_to for s in asked}
    labels = {(c.key, label) for s in asked for c in s.conditions for label in c.ids}
    hosts_matter = any(s.container_host for s in asked)
    classes: dict[tuple[object, ...], list[Workload]] = {}
    for workload in workloads:
        told_apart_by = (
            workload.id if workload.id in named else None,
            frozenset(labels.intersection(workload.labels.items())),
            workload.bound & bindings,
            workload.container_host and hosts_matter,
        )
        classes.setdefault(told_apart_by, []).append(workload)
    return list(classes.values())


def _selectors(rules: Iterable[ResolvedRule]) -> set[Selector]:
    """Every selector of every rule."""
    return {
        selector
        for rule in rules
        for join in rule.joins
        for side in (join.providers, join.consumers)
        for selector in (*side.hosts, *side.peers)
    }


@dataclass(frozen=True, slots=True)
class _AddressSet:
    """What one selector selects."""

    classes: frozenset[int]
    """Numbers of the classes; none for an address selector, which selects no hosts."""
    members: list[str]
    """As a document carries them. An offline workload is in a class and lends no member."""


def _address_sets(
    estate: Estate,
    kinds: Kinds,
    classes: list[list[Workload]],
    rules: Iterable[ResolvedRule],
    report: Report,
) -> dict[str, _AddressSet]:
    """Set id to what it selects, for every selector of the rules."""
    addresses: list[set[str]] = []
    for alike in classes:
        addresses.append(set())
        for workload in alike:

            def report_here(what: str, where: str = f"workload {workload.id}") -> None:
                report(where, what)

            addresses[-1].update(kinds.addresses_of(workload, report_here))
    sets: dict[str, _AddressSet] = {}
    for selector in _selectors(rules):
        if isinstance(selector, AddressSelector):
            members = members_said(estate, selector, report)
            sets[selector.set_id] = _AddressSet(frozenset(), members)
        else:
            selected = frozenset(n for n, alike in enumerate(classes) if selector.matches(alike[0]))
            members = sorted({address for n in selected for address in addresses[n]})
            sets[selector.set_id] = _AddressSet(selected, members)
    return sets


def members_said(estate: Estate, selector: AddressSelector, report: Report) -> list[str]:
    """The addresses of an IP list less its exclusions, of a virtual service's IP overrides, or of
    a virtual server's load balancer.

    One bad range empties an IP list: what it would have taken out is not known.
    """
    if selector.kind == "ip_list":
        ranges = estate.ip_lists[selector.id].ranges
        where = f"ip list {selector.id}"
    elif selector.kind == "virtual_service":
        ranges = estate.virtual_services[selector.id].ip_overrides
        where = f"virtual service {selector.id}"
    else:
        backend = estate.virtual_services[selector.id].backend
        ranges = backend.sources if backend else ()
        where = f"virtual server {selector.id}"
    parts: dict[bool, list[Interval]] = {False: [], True: []}
    for part in ranges:
        try:
            parts[part.exclusion].append(interval(part.from_ip, part.to_ip))
        except ValueError as wrong:
            report(where, f"selects nothing: {wrong}")
            return []
    return sorted(map(member, subtract(parts[False], parts[True])))


def names_said(estate: Estate, selector: Selector) -> list[str]:
    """The domain names of an IP list, sorted, in lower case; of other selectors none."""
    if not isinstance(selector, AddressSelector) or selector.kind != "ip_list":
        return []
    return sorted({name.lower().rstrip(".") for name in estate.ip_lists[selector.id].fqdns})


def _document(
    estate: Estate,
    kind: Kind,
    number: int,
    rules: Iterable[ResolvedRule],
    sets: dict[str, _AddressSet],
) -> PolicyDocument:
    """The document of the workloads of class ``number`` and of this kind."""
    lines: list[Rule] = []
    peers_of: dict[str, Selector] = {}
    if kind.mode != "idle":
        for rule in rules:
            for direction in _DIRECTIONS:
                for part, services in {join.part: join.services for join in rule.joins}.items():
                    peers = _peers(rule, part, direction, number, sets)
                    peers_of.update(peers)
                    if peers:
                        lines.append(
                            Rule(
                                id=line_id(rule.rule.id, part, direction),
                                direction=direction,
                                action=rule.rule.action,
                                peers=sorted(peers),
                                services=list(services),
                                stateless=rule.rule.stateless,
                            )
                        )
    lines = without_repeats(lines)
    mentioned = sorted({set_id for line in lines for set_id in line.peers})
    names = {set_id: names_said(estate, peers_of[set_id]) for set_id in mentioned}
    return PolicyDocument(
        mode=kind.mode,
        visibility=kind.visibility,
        firewall=kind.firewall,
        sets={set_id: sets[set_id].members for set_id in mentioned},
        names={set_id: found for set_id, found in names.items() if found},
        rules=lines,
        not_enforced=list(kind.not_enforced),
    )


def line_id(rule_id: str, part: str, direction: Direction) -> str:
    """``rule_sets/3/sec_rules/12/in``; a part stands before the direction."""
    return "/".join(filter(None, (rule_id, part, direction)))


def _peers(
    rule: ResolvedRule,
    part: str,
    direction: Direction,
    number: int,
    sets: dict[str, _AddressSet],
) -> dict[str, Selector]:
    """What the class ``number`` may (not) talk with by this part of the rule, by set id: the other
    side of every scope in which the class is on its own side."""
    peers: dict[str, Selector] = {}
    for join in rule.joins:
        if join.part != part:
            continue
        own, others = join.providers, join.consumers
        if direction == "out":
            own, others = others, own
        if any(number in sets[selector.set_id].classes for selector in own.hosts):
            peers.update((selector.set_id, selector) for selector in others.peers)
    return peers
