"""Selectors: who the actors of a rule are, in canonical form.

A selector is one condition on workloads, or the addresses of one IP list or virtual service. Two
rules that mean the same workloads give the same selector, so they share one address set, named by
the selector and not by its members: an address that comes or goes changes the set's members and
nothing else.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec

from pce.policy.estate import Actor, Estate, Scope, Workload

Report = Callable[[str], None]
"""Takes a sentence about what cannot be understood and therefore selects nothing."""


class LabelCondition(NamedTuple):
    """A workload's label of ``key`` is (``negated``: is not) one of ``ids``.

    A workload without a label of that key fails the plain condition and meets the negated one.
    """

    key: str
    negated: bool
    ids: frozenset[str]

    def holds(self, workload: Workload) -> bool:
        """Does this workload meet the condition?"""
        return (workload.labels.get(self.key) in self.ids) is not self.negated


class WorkloadSelector(msgspec.Struct, frozen=True, dict=True):
    """Workloads that meet every condition; with ``workload_id``, at most that one; with
    ``bound_to``, at most those whose binding this is; with ``container_host``, those that are."""

    conditions: tuple[LabelCondition, ...] = ()
    """Sorted by key, at most one a key. None at all: every workload."""
    workload_id: str | None = None
    bound_to: str | None = None
    container_host: bool = False

    def matches(self, workload: Workload) -> bool:
        """Does it select this workload? Addresses and presence do not matter here."""
        if self.workload_id not in (None, workload.id):
            return False
        if self.bound_to is not None and self.bound_to not in workload.bound:
            return False
        if self.container_host and not workload.container_host:
            return False
        return all(condition.holds(workload) for condition in self.conditions)

    @cached_property
    def set_id(self) -> str:
        """Name of the set of its addresses: the same for the same selector, always."""
        conditions = [[c.key, c.negated, sorted(c.ids)] for c in self.conditions]
        return "w" + _short_hash([self.workload_id, self.bound_to, self.container_host, conditions])


class AddressSelector(msgspec.Struct, frozen=True, dict=True):
    """Addresses that an object says itself, whoever has them: the ranges and names of an IP list,
    the IP overrides of a virtual service, or those of the load balancer before a virtual server's
    members."""

    kind: Literal["ip_list", "virtual_service", "load_balancer"]
    id: str

    @cached_property
    def set_id(self) -> str:
        """Name of the set of its addresses."""
        return "i" + _short_hash([self.kind, self.id])


Selector = WorkloadSelector | AddressSelector


class Side(NamedTuple):
    """The providers or the consumers of a rule, in one scope."""

    hosts: tuple[WorkloadSelector, ...]
    """Whose firewalls hold this side of the rule."""
    peers: tuple[Selector, ...]
    """The sets by which the other side knows this one."""


NOBODY = Side((), ())


def _short_hash(value: object) -> str:
    """60 bits of SHA-256: a clash within one org would take about 10^9 selectors."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:15]


def workloads_meant(
    estate: Estate,
    actors: Iterable[Actor],
    within: "Conditions | None",
    *,
    labels_are_workloads: bool,
    report: Report,
) -> Side:
    """The side that ``actors`` make inside the scope ``within``, virtual services left aside.

    - Labels and label groups: OR within a key, AND between keys, exclusions taken out. They are
      one selector. ``ams`` stands for every workload and makes the plain labels pointless;
      exclusions alone mean every workload but those.
    - Each workload named by id, each IP list, and all container hosts are selectors of their own.
    - The scope restricts all of them but IP lists.

    A label, group or IP list that is missing selects nothing; where it would have restricted or
    taken something out (another key, an exclusion, the scope: None) nothing is left: fail closed.
    """
    actors = tuple(actors)
    selected: list[WorkloadSelector | None] = []
    lists: list[Selector] = []
    if labels_are_workloads and not _LABELLED.isdisjoint([actor.kind for actor in actors]):
        labelled = label_conditions(estate, actors, report)
        if labelled is not None and within is not None:
            selected.append(labelled.both(within).selector())
    for actor in actors:
        if actor.kind == "workload" and within is not None:
            selected.append(within.selector(actor.id))
        elif actor.kind == "container_host" and within is not None:
            selected.append(within.selector(container_host=True))
        elif actor.kind == "ip_list":
            if actor.id in estate.ip_lists:
                lists.append(AddressSelector("ip_list", actor.id))
            else:
                report(f"ip list {actor.id} does not exist")
        elif actor.kind == "other":
            report(f"actors of the kind {actor.id} are not enforced")
    hosts = tuple([selector for selector in selected if selector is not None])
    return Side(hosts, (*hosts, *lists))


_LABELLED = frozenset({"ams", "label", "label_group"})
"""Kinds of actors that mean workloads by their labels."""
_NO_IDS = frozenset[str]()


class Conditions(msgspec.Struct, frozen=True):
    """On labels: per key, the ids that are wanted (absent: any) and those that are not."""

    wanted: dict[str, frozenset[str]]
    unwanted: dict[str, frozenset[str]]

    def both(self, other: "Conditions") -> "Conditions":
        """The workloads that meet these and those."""
        if not other.wanted and not other.unwanted:
            return self
        wanted = dict(self.wanted)
        for key, ids in other.wanted.items():
            wanted[key] = wanted[key] & ids if key in wanted else ids
        unwanted = dict(self.unwanted)
        for key, ids in other.unwanted.items():
            unwanted[key] = unwanted.get(key, frozenset()) | ids
        return Conditions(wanted, unwanted)

    def hold(self, labels: Mapping[str, str]) -> bool:
        """Do these labels (key to id) meet all of it?"""
        return all(labels.get(key) in ids for key, ids in self.wanted.items()) and not any(
            labels.get(key) in ids for key, ids in self.unwanted.items()
        )

    def selector(
        self,
        workload_id: str | None = None,
        bound_to: str | None = None,
        *,
        container_host: bool = False,
    ) -> WorkloadSelector | None:
        """The canonical selector, or None when no workload can ever meet the conditions."""
        conditions: list[LabelCondition] = []
        for key in sorted(self.wanted.keys() | self.unwanted.keys()):
            ids = self.wanted.get(key)
            unwanted = self.unwanted.get(key, _NO_IDS)
            if ids is None:
                conditions.append(LabelCondition(key, True, unwanted))
            else:
                left = ids - unwanted if unwanted else ids
                if not left:
                    return None
                conditions.append(LabelCondition(key, False, left))
        return WorkloadSelector(tuple(conditions), workload_id, bound_to, container_host)


ANYBODY = Conditions({}, {})


def label_conditions(estate: Estate, actors: Iterable[Actor], report: Report) -> Conditions | None:
    """What the labels, label groups and ``ams`` of one side ask for; None when unknown."""
    wanted: dict[str, frozenset[str]] = {}
    unwanted: dict[str, frozenset[str]] = {}
    known = True
    everyone = False
    for actor in actors:
        if actor.kind not in ("label", "label_group"):
            everyone |= actor.kind == "ams"
            continue
        named = _labels_of(estate, actor, report)
        if named is None:
            known = False
            continue
        key, ids = named
        into = unwanted if actor.exclusion else wanted
        into[key] = into[key] | ids if key in into else ids
    if not known:
        return None
    return Conditions({} if everyone else wanted, unwanted)


def scope_conditions(estate: Estate, scope: Scope, report: Report) -> Conditions | None:
    """What a scope asks for: each of its entries. None when unknown."""
    wanted: dict[str, frozenset[str]] = {}
    unwanted: dict[str, frozenset[str]] = {}
    known = True
    for entry in scope:
        if entry.kind not in ("label", "label_group"):
            report(f"a scope cannot name {entry.kind} {entry.id}")
            known = False
            continue
        named = _labels_of(estate, entry, report)
        if named is None:
            known = False
            continue
        key, ids = named
        if entry.exclusion:
            unwanted[key] = unwanted[key] | ids if key in unwanted else ids
        else:
            wanted[key] = wanted[key] & ids if key in wanted else ids
    return Conditions(wanted, unwanted) if known else None


def _labels_of(estate: Estate, actor: Actor, report: Report) -> tuple[str, frozenset[str]] | None:
    """Key and label ids that a label or label group stands for; None when it is missing."""
    if actor.kind == "label":
        if actor.id in estate.label_keys:
            return estate.label_keys[actor.id], frozenset({actor.id})
        report(f"label {actor.id} does not exist")
        return None
    ids: set[str] = set()
    seen: set[str] = set()
    waiting = [actor.id]
    while waiting:
        group_id = waiting.pop()
        if group_id in seen:
            continue
        seen.add(group_id)
        group = estate.label_groups.get(group_id)
        if group is None:
            report(f"label group {group_id} does not exist")
            return None
        ids.update(group.labels)
        waiting.extend(group.sub_groups)
    return estate.label_groups[actor.id].key, frozenset(ids)
