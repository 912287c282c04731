"""What becomes of one connection, straight from the rules as they are written.

This is the second, independent statement of what policy means: it knows no selectors, classes,
sets or documents. A property test holds it and the recompute to each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal

from pce.policy.addresses import peer_address
from pce.policy.estate import EVERYTHING, Actor, Estate, IpList, Rule, Scope, Workload
from pce.policy.resolve import active_rules
from pce.policy.services import is_sound
from pce.policy.traffic import Judgement, Traffic, Verdict, judge, service_matches, strictest
from ven_protocol.policy import Service


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection: an address, and the workload behind it if there is one."""

    address: str
    workload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What both ends' firewalls do; the traffic passes when neither blocks."""

    verdict: Verdict
    """The stricter of the two."""
    source: Judgement
    destination: Judgement


def decide(estate: Estate, source: Endpoint, destination: Endpoint, traffic: Traffic) -> Decision:
    """Judge one connection attempt at both ends.

    An end has a say when it is a managed workload in any mode but ``idle``. Rule ids are those of
    the estate. Never raises on dangling references. Cost: linear in rules x workloads.
    """
    at_source = _at(estate, source, destination, "out", traffic)
    at_destination = _at(estate, destination, source, "in", traffic)
    verdict = strictest((at_source.verdict, at_destination.verdict))
    return Decision(verdict, at_source, at_destination)


def _at(
    estate: Estate,
    own: Endpoint,
    peer: Endpoint,
    direction: Literal["in", "out"],
    traffic: Traffic,
) -> Judgement:
    """What the firewall of ``own`` does with traffic from (``in``) or to (``out``) ``peer``."""
    workload = next((w for w in estate.workloads if w.id == own.workload_id), None)
    if workload is None or not workload.managed:
        return Judgement("unknown")
    is_ipv6 = ip_address(peer.address).version == 6
    if (
        is_ipv6
        and workload.firewall.ipv6 == "blocked_in_full"
        and workload.enforcement_mode == "full"
    ):
        return Judgement("blocked")
    return judge(
        workload.enforcement_mode,
        (
            (rule.action, rule.id)
            for rule, scopes in active_rules(estate)
            if not rule.unenforceable
            and _has_service(estate, rule, traffic)
            and any(_joins(estate, rule, s, workload, peer.address, direction) for s in scopes)
        ),
    )


def _joins(
    estate: Estate,
    rule: Rule,
    scope: Scope,
    workload: Workload,
    peer_address: str,
    direction: Literal["in", "out"],
) -> bool:
    """Is the workload on its side of the rule, and the peer's address on the other?"""
    providers = _Side(estate, rule.providers, scope, rule.provider_labels_are_workloads)
    consumers = _Side(
        estate,
        rule.consumers,
        EVERYTHING if rule.unscoped_consumers else scope,
        rule.consumer_labels_are_workloads,
    )
    own, other = (providers, consumers) if direction == "in" else (consumers, providers)
    return own.has_workload(workload) and other.has_address(peer_address)


@dataclass(frozen=True)
class _Side:
    """The providers or the consumers of a rule, in one scope."""

    estate: Estate
    actors: tuple[Actor, ...]
    scope: Scope
    labels_are_workloads: bool

    def has_address(self, address: str) -> bool:
        """Is it an address of a workload of this side that is in policy, or in an IP list?"""
        return any(
            workload.in_policy and address in _addresses(workload) and self.has_workload(workload)
            for workload in self.estate.workloads
        ) or any(
            actor.kind == "ip_list"
            and actor.id in self.estate.ip_lists
            and _in_ip_list(self.estate.ip_lists[actor.id], address)
            for actor in self.actors
        )

    def has_workload(self, workload: Workload) -> bool:
        """Does this side mean the workload?"""
        if not all(self._meets(entry, workload) for entry in self.scope):
            return False
        if any(a.kind == "workload" and a.id == workload.id for a in self.actors):
            return True
        return self.labels_are_workloads and self._has_labels_of(workload)

    def _meets(self, entry: Actor, workload: Workload) -> bool:
        labels = self._labels(entry)
        return labels is not None and (_label_of(workload, labels) is not entry.exclusion)

    def _has_labels_of(self, workload: Workload) -> bool:
        entries = [actor for actor in self.actors if actor.kind in ("label", "label_group")]
        everyone = any(actor.kind == "ams" for actor in self.actors)
        if not entries and not everyone:
            return False
        wanted: dict[str, bool] = {}
        for entry in entries:
            labels = self._labels(entry)
            if labels is None:
                return False
            has_it = _label_of(workload, labels)
            if entry.exclusion and has_it:
                return False
            if not entry.exclusion:
                wanted[labels[0]] = wanted.get(labels[0], False) or has_it
        return everyone or all(wanted.values())

    def _labels(self, entry: Actor) -> tuple[str, frozenset[str]] | None:
        """Key and ids of a label or of a whole group; None when anything named is missing."""
        if entry.kind == "label":
            key = self.estate.label_keys.get(entry.id)
            return None if key is None else (key, frozenset({entry.id}))
        ids = _group_labels(self.estate, entry.id, ()) if entry.kind == "label_group" else None
        return None if ids is None else (self.estate.label_groups[entry.id].key, ids)


def _label_of(workload: Workload, labels: tuple[str, frozenset[str]]) -> bool:
    key, ids = labels
    return workload.labels.get(key) in ids


def _group_labels(estate: Estate, group_id: str, above: tuple[str, ...]) -> frozenset[str] | None:
    """All labels of a group and of the groups in it; None when one of them is missing."""
    if group_id in above:
        return frozenset()
    if group_id not in estate.label_groups:
        return None
    group = estate.label_groups[group_id]
    ids = frozenset(group.labels)
    for sub_group in group.sub_groups:
        more = _group_labels(estate, sub_group, (*above, group_id))
        if more is None:
            return None
        ids |= more
    return ids


def _addresses(workload: Workload) -> set[str]:
    found: set[str] = set()
    for text in workload.addresses:
        try:
            address = peer_address(text)
        except ValueError:
            continue
        if address is not None:
            found.add(address)
    return found


def _in_ip_list(ip_list: IpList, text: str) -> bool:
    """Is the address in a range and in no exclusion? A list with a bad range holds nothing."""
    address = ip_address(text)
    included = excluded = False
    for part in ip_list.ranges:
        try:
            if part.to_ip is None:
                hit = address in ip_network(part.from_ip, strict=False)
            else:
                first, last = ip_address(part.from_ip), ip_address(part.to_ip)
                if first.version != last.version or int(first) > int(last):
                    return False
                same_family = first.version == address.version
                hit = same_family and int(first) <= int(address) <= int(last)
        except ValueError:
            return False
        if part.exclusion:
            excluded = excluded or hit
        else:
            included = included or hit
    return included and not excluded


def _has_service(estate: Estate, rule: Rule, traffic: Traffic) -> bool:
    """Does one of the rule's services match?"""
    return any(
        is_sound(service) and service_matches(service, traffic)
        for service in _services(estate, rule.services)
    )


def _services(estate: Estate, named: Iterable[str | Service]) -> Iterable[Service]:
    for service in named:
        if isinstance(service, Service):
            yield service
        else:
            yield from estate.services.get(service, ())
