"""Virtual services in rules: which are meant, what they offer, and where they are.

A virtual service's workloads are those that are bound to it. As a provider it brings its own ports
along (the rule's services are not looked at), its workloads take the traffic in, and consumers
reach it at its IP overrides or else at its workloads' addresses. A workload that is bound under
other ports is an offer of its own.

A virtual server is reached at its VIP in the same way. Its members hear the load balancer, or the
consumers themselves where it keeps their addresses, on the virtual server's service: an offer with
consumers of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pce.policy.estate import OFFERING, Actor, Backend, Estate, PortOverride
from pce.policy.selectors import (
    ANYBODY,
    AddressSelector,
    Conditions,
    Selector,
    Side,
    WorkloadSelector,
    label_conditions,
    workloads_meant,
)
from pce.policy.services import canonical, sound_services
from ven_protocol.policy import Service

Report = Callable[[str], None]


@dataclass(frozen=True)
class Offer:
    """One virtual service as a provider, under one mapping of its ports."""

    part: str
    side: Side
    services: tuple[Service, ...]
    consumers: Side | None = None
    """Who connects, where it is not the rule's consumers."""


def services_meant(
    estate: Estate,
    actors: Iterable[Actor],
    within: Conditions | None,
    *,
    labels_are_services: bool,
    report: Report,
) -> list[str]:
    """Ids of the virtual services that ``actors`` mean inside the scope ``within``, sorted.

    By id, and by label where labels mean virtual services (``ams``: all of them). The scope
    restricts both, by the labels of the virtual service. What is missing selects nothing.
    """
    actors = tuple(actors)
    named = {actor.id: actor.kind for actor in actors if actor.kind in OFFERING}
    by_label = labels_are_services and any(
        actor.kind in ("ams", "label", "label_group") for actor in actors
    )
    if not named and not by_label:
        return []
    for id in sorted(named.keys() - estate.virtual_services.keys()):
        report(f"{named[id].replace('_', ' ')} {id} does not exist")
    if within is None:
        return []
    wanted = label_conditions(estate, actors, report) if by_label else None
    return sorted(
        id
        for id, virtual_service in estate.virtual_services.items()
        if within.hold(virtual_service.labels)
        and (id in named or (wanted is not None and wanted.hold(virtual_service.labels)))
    )


def as_consumer(estate: Estate, id: str) -> Side:
    """The side of a virtual service that connects to others: its workloads, however bound."""
    bound = _bound(id)
    others = [_bound(binding) for binding in sorted(_overridden(estate, id))]
    hosts = (bound, *others)
    return Side(hosts, hosts)


def offers(estate: Estate, id: str, report: Report) -> Iterator[Offer]:
    """What a virtual service provides: under its own ports, and under those of its bindings."""
    virtual_service = estate.virtual_services[id]
    services = sound_services(estate, virtual_service.services, report)
    if not services:
        return
    overrides: tuple[Selector, ...] = ()
    if virtual_service.ip_overrides:
        overrides = (AddressSelector("virtual_service", id),)
    plain = _bound(id)
    yield Offer(id, Side((plain,), overrides or (plain,)), services)
    for binding in sorted(_overridden(estate, id)):
        moved = _moved(services, virtual_service.port_overrides[binding])
        here = _bound(binding)
        # Whoever asks at an override asks for the service's own port; the workload hears its own.
        yield Offer(binding, Side((here,), () if overrides else (here,)), moved)
    if virtual_service.backend is not None:
        yield from _behind(estate, id, virtual_service.backend, report)


def _behind(estate: Estate, id: str, backend: Backend, report: Report) -> Iterator[Offer]:
    """What the members of a virtual server take in."""
    services = sound_services(estate, backend.services, report)
    if not services:
        return
    members = workloads_meant(
        estate, backend.members, ANYBODY, labels_are_workloads=True, report=report
    )
    consumers = None
    if backend.sources:
        consumers = Side((), (AddressSelector("load_balancer", id),))
    # Consumers ask at the VIP: nobody needs to know the members' addresses.
    yield Offer(f"{id}:members", Side(members.hosts, ()), services, consumers)


def united(one: Side, other: Side) -> Side:
    """Both sides together."""
    return Side(one.hosts + other.hosts, one.peers + other.peers)


def _overridden(estate: Estate, id: str) -> Iterable[str]:
    return estate.virtual_services[id].port_overrides


def _bound(binding: str) -> WorkloadSelector:
    return WorkloadSelector(bound_to=binding)


def _moved(services: Iterable[Service], overrides: Iterable[PortOverride]) -> tuple[Service, ...]:
    """The services with each overridden port in place of the service's own."""
    by_port = {(o.proto, o.port): o for o in overrides}
    moved: set[Service] = set()
    for service in services:
        override = by_port.get((service.proto, service.port or 0))
        if override is None:
            moved.add(service)
        else:
            moved.add(
                canonical(
                    Service(
                        proto=service.proto, port=override.new_port, to_port=override.new_to_port
                    )
                )
            )
    return tuple(sorted(moved, key=lambda s: (s.proto, s.port or 0, s.to_port or 0)))
