"""What becomes of one connection, straight from the rules as they are written.

This is the second, independent statement of what policy means: it knows no selectors, classes,
sets or documents. A property test holds it and the recompute to each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal

from pce.policy.addresses import peer_address
from pce.policy.estate import EVERYTHING, OFFERING, Actor, Estate, IpRange, Rule, Scope, Workload
from pce.policy.resolve import active_rules
from pce.policy.services import canonical, is_sound
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
    if workload is None or not workload.managed or workload.enforcement_mode == "idle":
        return Judgement("unknown")
    if ip_address(peer.address).version == 6:
        if not _follows_rules(estate, workload):
            return Judgement("allowed")
        if _is_blocked_whole(estate, workload):
            return Judgement("blocked")
    return judge(
        workload.enforcement_mode,
        (
            (rule.action, rule.id)
            for rule, scopes in active_rules(estate)
            if not rule.unenforceable
            and any(
                _joins(estate, rule, s, workload, peer.address, direction, traffic) for s in scopes
            )
        ),
    )


def _follows_rules(estate: Estate, workload: Workload) -> bool:
    """Does IPv6 follow the rules there (or is blocked whole, in full enforcement)?"""
    if workload.ipv6_support == "all_or_nothing":
        return estate.firewall.older_ipv6 == "blocked_in_full"
    if workload.ipv6_support == "never_blocked":
        return estate.firewall.ipv6 == "by_policy"
    return estate.firewall.ipv6 != "allowed"


def _is_blocked_whole(estate: Estate, workload: Workload) -> bool:
    older = workload.ipv6_support == "all_or_nothing"
    handling = estate.firewall.older_ipv6 if older else estate.firewall.ipv6
    return workload.enforcement_mode == "full" and handling == "blocked_in_full"


def _joins(
    estate: Estate,
    rule: Rule,
    scope: Scope,
    workload: Workload,
    peer_address: str,
    direction: Literal["in", "out"],
    traffic: Traffic,
) -> bool:
    """Is this the rule's traffic, the workload on its side, and the peer's address on the other?"""
    providers = _Side(
        estate,
        rule.providers,
        scope,
        rule.provider_labels_are_workloads,
        rule.provider_labels_are_services,
    )
    consumers = _Side(
        estate,
        rule.consumers,
        EVERYTHING if rule.unscoped_consumers else scope,
        rule.consumer_labels_are_workloads,
        rule.consumer_labels_are_services,
    )
    if direction == "in":
        if any(
            _is_passed_on(estate, id, workload, traffic)
            and _comes_from(estate, id, consumers, peer_address)
            for id in providers.virtual_services()
        ):
            return True
        return consumers.has_consumer_at(peer_address) and (
            (_has_service(estate, rule.services, traffic) and providers.has_workload(workload))
            or any(_serves(estate, id, workload, traffic) for id in providers.virtual_services())
        )
    return consumers.has_consumer(workload) and (
        (_has_service(estate, rule.services, traffic) and providers.has_address(peer_address))
        or any(_is_at(estate, id, peer_address, traffic) for id in providers.virtual_services())
    )


def _bindings(estate: Estate, id: str) -> tuple[str, ...]:
    """What stands in ``Workload.bound`` of those who serve the virtual service."""
    return (id, *estate.virtual_services[id].port_overrides)


def _serves(estate: Estate, id: str, workload: Workload, traffic: Traffic) -> bool:
    """Does this workload take the traffic in for the virtual service?"""
    return any(
        binding in workload.bound and _is_offered(estate, id, binding, traffic)
        for binding in _bindings(estate, id)
    )


def _is_passed_on(estate: Estate, id: str, workload: Workload, traffic: Traffic) -> bool:
    """Does the workload stand behind this virtual server, and take such traffic in?"""
    virtual_server = estate.virtual_services[id]
    backend = virtual_server.backend
    if backend is None or not any(map(is_sound, _services(estate, virtual_server.services))):
        return False
    members = _Side(
        estate, backend.members, EVERYTHING, labels_are_workloads=True, labels_are_services=False
    )
    return members.has_workload(workload) and _has_service(estate, backend.services, traffic)


def _comes_from(estate: Estate, id: str, consumers: "_Side", address: str) -> bool:
    """Is it an address under which members of the virtual server hear its consumers?"""
    backend = estate.virtual_services[id].backend
    if backend is not None and backend.sources:
        return _in_ranges(backend.sources, address)
    return consumers.has_consumer_at(address)


def _is_at(estate: Estate, id: str, address: str, traffic: Traffic) -> bool:
    """Is the virtual service reached at this address, for this traffic?"""
    overrides = estate.virtual_services[id].ip_overrides
    if overrides:
        return _is_offered(estate, id, id, traffic) and _in_ranges(overrides, address)
    return any(
        workload.in_policy
        and address in _addresses(estate, workload)
        and _serves(estate, id, workload, traffic)
        for workload in estate.workloads
    )


def _is_offered(estate: Estate, id: str, binding: str, traffic: Traffic) -> bool:
    """Is this traffic the virtual service's, under the ports of the binding?"""
    virtual_service = estate.virtual_services[id]
    own = [
        canonical(service)
        for service in _services(estate, virtual_service.services)
        if is_sound(service)
    ]
    for service in own:
        moved = [
            Service(proto=o.proto, port=o.new_port, to_port=o.new_to_port)
            for o in virtual_service.port_overrides.get(binding, ())
            if (o.proto, o.port) == (service.proto, service.port)
        ]
        if any(service_matches(one, traffic) for one in moved[-1:] or [service]):
            return True
    return False


@dataclass(frozen=True)
class _Side:
    """The providers or the consumers of a rule, in one scope."""

    estate: Estate
    actors: tuple[Actor, ...]
    scope: Scope
    labels_are_workloads: bool
    labels_are_services: bool

    def virtual_services(self) -> list[str]:
        """Ids of the virtual services that this side means."""
        return [
            id
            for id, one in self.estate.virtual_services.items()
            if all(self._meets(entry, one.labels) for entry in self.scope)
            and (
                any(a.kind in OFFERING and a.id == id for a in self.actors)
                or (self.labels_are_services and self._means_labels(one.labels))
            )
        ]

    def has_consumer(self, workload: Workload) -> bool:
        """Is the workload a consumer, by itself or for a virtual service?"""
        return self.has_workload(workload) or any(
            binding in workload.bound
            for id in self.virtual_services()
            for binding in _bindings(self.estate, id)
        )

    def has_consumer_at(self, address: str) -> bool:
        """Is it an address of a consumer?"""
        return self.has_address(address) or any(
            workload.in_policy
            and address in _addresses(self.estate, workload)
            and self.has_consumer(workload)
            for workload in self.estate.workloads
        )

    def has_address(self, address: str) -> bool:
        """Is it an address of a workload of this side that is in policy, or in an IP list?"""
        return any(
            workload.in_policy
            and address in _addresses(self.estate, workload)
            and self.has_workload(workload)
            for workload in self.estate.workloads
        ) or any(
            actor.kind == "ip_list"
            and actor.id in self.estate.ip_lists
            and _in_ranges(self.estate.ip_lists[actor.id].ranges, address)
            for actor in self.actors
        )

    def has_workload(self, workload: Workload) -> bool:
        """Does this side mean the workload?"""
        if not all(self._meets(entry, workload.labels) for entry in self.scope):
            return False
        if any(a.kind == "workload" and a.id == workload.id for a in self.actors):
            return True
        if workload.container_host and any(a.kind == "container_host" for a in self.actors):
            return True
        return self.labels_are_workloads and self._means_labels(workload.labels)

    def _meets(self, entry: Actor, held: Mapping[str, str]) -> bool:
        labels = self._labels(entry)
        return labels is not None and (_holds(held, labels) is not entry.exclusion)

    def _means_labels(self, held: Mapping[str, str]) -> bool:
        entries = [actor for actor in self.actors if actor.kind in ("label", "label_group")]
        everyone = any(actor.kind == "ams" for actor in self.actors)
        if not entries and not everyone:
            return False
        wanted: dict[str, bool] = {}
        for entry in entries:
            labels = self._labels(entry)
            if labels is None:
                return False
            has_it = _holds(held, labels)
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


def _holds(held: Mapping[str, str], labels: tuple[str, frozenset[str]]) -> bool:
    key, ids = labels
    return held.get(key) in ids


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


def _addresses(estate: Estate, workload: Workload) -> set[str]:
    texts = list(workload.addresses)
    everybody = _Side(estate, (), (), labels_are_workloads=False, labels_are_services=False)
    if any(
        all(everybody._meets(entry, workload.labels) for entry in scope)
        for scope in estate.firewall.loopback_scopes
    ):
        texts += workload.loopback_addresses
    found: set[str] = set()
    for text in texts:
        try:
            address = peer_address(text)
        except ValueError:
            continue
        if address is not None:
            found.add(address)
    return found


def _in_ranges(ranges: Iterable[IpRange], text: str) -> bool:
    """Is the address in a range and in no exclusion? With one bad range, nothing is."""
    address = ip_address(text)
    included = excluded = False
    for part in ranges:
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


def _has_service(estate: Estate, named: Iterable[str | Service], traffic: Traffic) -> bool:
    """Does one of the services match?"""
    return any(
        is_sound(service) and service_matches(service, traffic)
        for service in _services(estate, named)
    )


def _services(estate: Estate, named: Iterable[str | Service]) -> Iterable[Service]:
    for service in named:
        if isinstance(service, Service):
            yield service
        else:
            yield from estate.services.get(service, ())
