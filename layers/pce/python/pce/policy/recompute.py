"""The full recompute: every VEN's policy from all facts, from scratch.

Clarity beats speed here: this is the meaning of policy, against which any faster engine is tested.
How the pieces fit is in docs/policy.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pce.policy.addresses import Interval, interval, member, peer_address, subtract
from pce.policy.estate import Estate, Workload
from pce.policy.resolve import Report, ResolvedRule, resolve_rules
from pce.policy.selectors import IpListSelector, Selector, WorkloadSelector
from ven_protocol.policy import PolicyDocument, Rule, policy_etag

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
        etags = {key: policy_etag(document) for key, document in by_document.items()}
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
    classes = _classes(estate.workloads, rules)
    sets = _address_sets(estate, classes, rules, report)
    documents: dict[str, PolicyDocument] = {}
    for number, alike in enumerate(classes):
        of_kind: dict[tuple[str, str], PolicyDocument] = {}
        for workload in alike:
            if not workload.managed:
                continue
            kind = (workload.enforcement_mode, workload.visibility_level)
            if kind not in of_kind:
                of_kind[kind] = _document(estate, workload, number, rules, sets)
            documents[workload.id] = of_kind[kind]
    return Recomputed(documents, tuple(sorted(problems)))


def _classes(workloads: Iterable[Workload], rules: Iterable[ResolvedRule]) -> list[list[Workload]]:
    """Workloads grouped so that every selector selects all of a group or none of it."""
    named: set[str | None] = set()
    labels: set[tuple[str, str]] = set()
    for selector in _selectors(rules):
        if isinstance(selector, WorkloadSelector):
            named.add(selector.workload_id)
            labels.update((c.key, label) for c in selector.conditions for label in c.ids)
    classes: dict[tuple[object, ...], list[Workload]] = {}
    for workload in workloads:
        told_apart_by = (
            workload.id if workload.id in named else None,
            frozenset(labels.intersection(workload.labels.items())),
        )
        classes.setdefault(told_apart_by, []).append(workload)
    return list(classes.values())


def _selectors(rules: Iterable[ResolvedRule]) -> set[Selector]:
    """Every selector of every rule."""
    return {s for rule in rules for join in rule.joins for side in join for s in side}


@dataclass(frozen=True, slots=True)
class _AddressSet:
    """What one selector selects."""

    classes: frozenset[int]
    """Numbers of the classes; none for an IP list, which selects addresses and no hosts."""
    members: list[str]
    """As a document carries them. An offline workload is in a class and lends no member."""


def _address_sets(
    estate: Estate,
    classes: list[list[Workload]],
    rules: Iterable[ResolvedRule],
    report: Report,
) -> dict[str, _AddressSet]:
    """Set id to what it selects, for every selector of the rules."""
    addresses = [
        {a for workload in alike for a in _peer_addresses(estate, workload, report)}
        for alike in classes
    ]
    sets: dict[str, _AddressSet] = {}
    for selector in _selectors(rules):
        if isinstance(selector, IpListSelector):
            members = _ip_list_members(estate, selector.ip_list_id, report)
            sets[selector.set_id] = _AddressSet(frozenset(), members)
        else:
            selected = frozenset(n for n, alike in enumerate(classes) if selector.matches(alike[0]))
            members = sorted({address for n in selected for address in addresses[n]})
            sets[selector.set_id] = _AddressSet(selected, members)
    return sets


def _peer_addresses(estate: Estate, workload: Workload, report: Report) -> list[str]:
    """The addresses that peers know a workload by; none while it is out of policy."""
    for key, label in workload.labels.items():
        if estate.label_keys.get(label) != key:
            report(f"workload {workload.id}", f"label {label} of key {key} does not exist")
    found: list[str] = []
    for text in workload.addresses:
        try:
            address = peer_address(text)
        except ValueError:
            report(f"workload {workload.id}", f"{text} is no address")
        else:
            if workload.in_policy and address is not None:
                found.append(address)
    return found


def _ip_list_members(estate: Estate, ip_list_id: str, report: Report) -> list[str]:
    """The addresses of an IP list less its exclusions. One bad range empties the list: what it
    would have taken out is not known."""
    ip_list = estate.ip_lists[ip_list_id]
    where = f"ip list {ip_list_id}"
    if ip_list.fqdns:
        report(where, "its fqdns select nothing, names are not resolved")
    parts: dict[bool, list[Interval]] = {False: [], True: []}
    for part in ip_list.ranges:
        try:
            parts[part.exclusion].append(interval(part.from_ip, part.to_ip))
        except ValueError as wrong:
            report(where, f"selects nothing: {wrong}")
            return []
    return sorted(map(member, subtract(parts[False], parts[True])))


def _document(
    estate: Estate,
    workload: Workload,
    number: int,
    rules: Iterable[ResolvedRule],
    sets: dict[str, _AddressSet],
) -> PolicyDocument:
    """The document of the class ``number``, in the mode of ``workload``, which is in it."""
    lines: list[Rule] = []
    if workload.enforcement_mode != "idle":
        for rule in rules:
            for direction in _DIRECTIONS:
                peers = _peers(rule, direction, number, sets)
                if peers:
                    lines.append(
                        Rule(
                            id=f"{rule.rule.id}/{direction}",
                            direction=direction,
                            action=rule.rule.action,
                            peers=peers,
                            services=list(rule.services),
                            stateless=rule.rule.stateless,
                        )
                    )
    lines = _without_repeats(lines)
    return PolicyDocument(
        mode=workload.enforcement_mode,
        visibility=workload.visibility_level,
        block_ipv6_in_full=estate.block_ipv6_in_full,
        sets={set_id: sets[set_id].members for line in lines for set_id in line.peers},
        rules=lines,
    )


def _peers(
    rule: ResolvedRule, direction: Direction, number: int, sets: dict[str, _AddressSet]
) -> list[str]:
    """Ids of the sets that the class ``number`` may (not) talk with by this rule, sorted: the
    other side of every scope in which the class is on its own side."""
    peers: set[str] = set()
    for providers, consumers in rule.joins:
        own, others = (providers, consumers) if direction == "in" else (consumers, providers)
        if any(number in sets[selector.set_id].classes for selector in own):
            peers.update(selector.set_id for selector in others)
    return sorted(peers)


def _without_repeats(lines: Iterable[Rule]) -> list[Rule]:
    """Sorted by id; of rules that say the same only the first."""
    unique: dict[tuple[object, ...], Rule] = {}
    for line in sorted(lines, key=lambda line: line.id):
        says = (line.direction, line.action, *line.peers, *line.services, line.stateless)
        unique.setdefault(says, line)
    return list(unique.values())
