"""From the management API's JSON documents, as they are stored, to the facts of an estate.

Documents are believed to have passed the API's validation. What nothing here enforces (a kind of
actor, a demand of a rule) is carried along, so that the recompute leaves it out and says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pce.identifiers import tail
from pce.policy.estate import (
    Actor,
    Backend,
    Coexistence,
    Estate,
    FirewallSettings,
    IpList,
    IpRange,
    LabelGroup,
    PortOverride,
    Scope,
    VirtualService,
    Workload,
)
from pce.policy.ipv6_support import ipv6_support_of
from pce.policy.rules_from_documents import (
    Document,
    actor_of,
    boundary_of,
    exists,
    ports_of,
    rule_set_of,
)
from ven_protocol.messages import EnforcementMode
from ven_protocol.policy import Service


@dataclass(frozen=True)
class Surroundings:
    """What the facts of a workload follow from beside its own document."""

    label_keys: Mapping[str, str]
    """Label id to the label's key."""
    bound: Mapping[str, frozenset[str]]
    """Workload id to what stands in ``Workload.bound``."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """A virtual server as its load balancer has it."""

    address: str
    service: Service
    sources: tuple[str, ...]
    """The load balancer's own addresses and networks, when members see these."""


def estate_from_documents(
    workloads: Iterable[Document],
    labels: Iterable[Document],
    active: Mapping[str, Iterable[Document]],
    service_bindings: Iterable[Document] = (),
    discovered_virtual_servers: Iterable[Document] = (),
) -> Estate:
    """The estate of one org.

    ``workloads`` are hosts and container workloads alike. ``active`` holds the provisionable
    objects of one policy version by type: ``rule_sets``, ``label_groups``, ``ip_lists``,
    ``services``, ``virtual_services``, ``virtual_servers``, ``enforcement_boundaries``,
    ``firewall_settings``; an absent type has no objects. Deleted objects, and drafts whose
    ``update_type`` is ``delete``, do not exist. Raises KeyError when a document has no href.
    """

    def objects(kind: str) -> list[Document]:
        return [document for document in active.get(kind, ()) if exists(document)]

    bindings = list(service_bindings)
    around = Surroundings(label_keys_of(labels), bound_workloads(bindings))
    port_overrides = port_overrides_of(bindings)
    discovered = discovered_of(discovered_virtual_servers)
    return Estate(
        workloads=tuple(workload_of(w, around) for w in workloads if exists(w)),
        label_keys=around.label_keys,
        label_groups={tail(g["href"]): label_group_of(g) for g in objects("label_groups")},
        ip_lists={tail(i["href"]): ip_list_of(i) for i in objects("ip_lists")},
        services={tail(s["href"]): service_of(s) for s in objects("services")},
        virtual_services={
            **{
                tail(v["href"]): virtual_service_of(v, around.label_keys, port_overrides)
                for v in objects("virtual_services")
            },
            **{
                tail(v["href"]): virtual_server_of(v, around.label_keys, discovered)
                for v in objects("virtual_servers")
            },
        },
        rule_sets=tuple(map(rule_set_of, objects("rule_sets"))),
        boundaries=tuple(map(boundary_of, objects("enforcement_boundaries"))),
        firewall=firewall_settings_of(objects("firewall_settings")),
    )


def label_keys_of(labels: Iterable[Document]) -> dict[str, str]:
    """Label id to key, of the labels that exist."""
    return {tail(label["href"]): str(label["key"]) for label in labels if exists(label)}


def workload_of(document: Document, around: Surroundings) -> Workload:
    """A workload, or a container workload, that exists."""
    ignored = set(document.get("ignored_interface_names") or ())
    interfaces = [
        interface
        for interface in document.get("interfaces") or ()
        if interface.get("address")
        and interface.get("name") not in ignored
        and not is_unsupported_wireless(document, interface)
    ]
    return Workload(
        id=tail(document["href"]),
        labels=labels_by_key(document, around.label_keys),
        addresses=tuple(i["address"] for i in interfaces if not i.get("loopback")),
        loopback_addresses=tuple(i["address"] for i in interfaces if i.get("loopback")),
        managed=bool((document.get("ven") or {}).get("href")),
        in_policy=bool(document.get("online")),
        enforcement_mode=document.get("enforcement_mode") or "visibility_only",
        visibility_level=document.get("visibility_level") or "flow_summary",
        ipv6_support=ipv6_support_of(document),
        bound=around.bound.get(tail(document["href"]), frozenset()),
        container_host=bool(document.get("container_cluster")),
    )


def labels_by_key(document: Document, label_keys: Mapping[str, str]) -> dict[str, str]:
    """Label key to label id, of the labels of a workload or virtual service."""
    labels: dict[str, str] = {}
    for label in document.get("labels") or ():
        label_id = tail(label["href"])
        key = label_keys.get(label_id) or label.get("key")
        labels[key or f"unknown key of label {label_id}"] = label_id
    return labels


def is_unsupported_wireless(workload: Document, interface: Document) -> bool:
    """Whether an interface is wireless on a host where that is not supported: peers are not told of
    its addresses (VEN-to-PCE Communication, Wireless Connections and VPNs: endpoints only)."""
    managed = bool((workload.get("ven") or {}).get("href"))
    return (
        managed and interface.get("kind") == "wireless" and workload.get("ven_type") != "endpoint"
    )


def label_group_of(document: Document) -> LabelGroup:
    """A label group that exists."""
    return LabelGroup(
        key=document["key"],
        labels=tuple(tail(label["href"]) for label in document.get("labels") or ()),
        sub_groups=tuple(tail(group["href"]) for group in document.get("sub_groups") or ()),
    )


def ip_list_of(document: Document) -> IpList:
    """An IP list that exists."""
    return IpList(
        ranges=tuple(
            IpRange(part["from_ip"], part.get("to_ip") or None, bool(part.get("exclusion")))
            for part in document.get("ip_ranges") or ()
        ),
        fqdns=tuple(name["fqdn"] for name in document.get("fqdns") or ()),
    )


def service_of(document: Document) -> tuple[Service, ...]:
    """Ports of a service. A Windows service that names only a process has none: a packet filter
    cannot tell processes apart."""
    ports = [*(document.get("service_ports") or ()), *(document.get("windows_services") or ())]
    return tuple(ports_of(port) for port in ports if port.get("proto") is not None)


def virtual_service_of(
    document: Document,
    label_keys: Mapping[str, str],
    port_overrides: Mapping[str, tuple[PortOverride, ...]],
) -> VirtualService:
    """A virtual service that exists. ``port_overrides`` are those of all bindings."""
    id = tail(document["href"])
    service = document.get("service") or {}
    return VirtualService(
        labels=labels_by_key(document, label_keys),
        services=(tail(service["href"]),)
        if service.get("href")
        else tuple(map(ports_of, document.get("service_ports") or ())),
        ip_overrides=tuple(IpRange(text) for text in document.get("ip_overrides") or ()),
        port_overrides={
            binding: overrides
            for binding, overrides in port_overrides.items()
            if binding.partition(":")[0] == id
        },
    )


def discovered_of(documents: Iterable[Document]) -> dict[str, Discovered]:
    """Discovered virtual servers by id, of those that exist."""
    return {
        tail(document["href"]): Discovered(
            document["vip_address"],
            Service(proto=document["vip_proto"], port=document["vip_port"]),
            tuple(document.get("local_ips") or ()),
        )
        for document in documents
        if exists(document)
    }


def virtual_server_of(
    document: Document,
    label_keys: Mapping[str, str],
    discovered: Mapping[str, Discovered],
) -> VirtualService:
    """A virtual server that exists. One that is not enforced, or that its load balancer does not
    have any more, offers nothing."""
    labels = labels_by_key(document, label_keys)
    found = discovered.get(tail(document["discovered_virtual_server"]["href"]))
    if found is None or document.get("mode") != "enforced":
        return VirtualService(labels=labels)
    service = document.get("service") or {}
    return VirtualService(
        labels=labels,
        services=(found.service,),
        ip_overrides=(IpRange(found.address),),
        backend=Backend(
            members=tuple(map(actor_of, document.get("providers") or ())),
            services=(tail(service["href"]) if service.get("href") else found.service,),
            sources=tuple(map(IpRange, found.sources)),
        ),
    )


def bound_workloads(service_bindings: Iterable[Document]) -> dict[str, frozenset[str]]:
    """Workload id to what stands in ``Workload.bound``."""
    bound: dict[str, frozenset[str]] = {}
    for binding in service_bindings:
        workload = binding.get("workload") or binding.get("container_workload")
        if workload and exists(binding):
            id = tail(workload["href"])
            bound[id] = bound.get(id, frozenset()) | {_binding_id(binding)}
    return bound


def port_overrides_of(
    service_bindings: Iterable[Document],
) -> dict[str, tuple[PortOverride, ...]]:
    """What stands in ``Workload.bound`` of bindings under other ports, to those ports."""
    return {
        _binding_id(binding): _port_overrides(binding)
        for binding in service_bindings
        if binding.get("port_overrides") and exists(binding)
    }


def _binding_id(binding: Document) -> str:
    """The virtual service's id; under other ports with these behind it, so that all bindings under
    the same ports are one."""
    id = tail(binding["virtual_service"]["href"])
    ports = [f"{o.proto}-{o.port}-{o.new_port}" for o in _port_overrides(binding)]
    return ":".join((id, *ports))


def _port_overrides(binding: Document) -> tuple[PortOverride, ...]:
    return tuple(
        sorted(
            (
                PortOverride(
                    proto=override["proto"],
                    port=override["port"],
                    new_port=override["new_port"],
                    new_to_port=override.get("new_to_port"),
                )
                for override in binding.get("port_overrides") or ()
            ),
            key=lambda override: (override.proto, override.port, override.new_port),
        )
    )


def firewall_settings_of(settings: Iterable[Document]) -> FirewallSettings:
    """The org's firewall settings; without any, the defaults."""
    for document in settings:
        return FirewallSettings(
            ipv6="blocked_in_full" if _blocks_ipv6(document) else "by_policy",
            older_ipv6="blocked_in_full" if document.get("allow_ipv6") is False else "allowed",
            reject_scopes=_settings_scopes(document, "blocked_connection_reject_scopes"),
            loopback_scopes=_settings_scopes(document, "loopback_interfaces_in_policy_scopes"),
            static_scopes=_settings_scopes(document, "static_policy_scopes"),
            container_scopes=_settings_scopes(document, "containers_inherit_host_policy_scopes"),
            forwarding_scopes=_settings_scopes(document, "ip_forwarding_enabled_scopes"),
            coexistence=tuple(map(_coexistence, document.get("firewall_coexistence") or ())),
            allow_dhcp_client=document.get("allow_dhcp_client") is not False,
            allow_traceroute=document.get("allow_traceroute") is not False,
            allow_igmp=document.get("allow_igmp") is not False,
        )
    return FirewallSettings()


_COEXISTENCE_MODES: dict[str | None, frozenset[EnforcementMode]] = {
    "enforced": frozenset({"full", "selective"}),
    "illuminated": frozenset({"visibility_only"}),
    None: frozenset({"full", "selective", "visibility_only"}),
}
"""By ``workload_mode`` of an entry of ``firewall_coexistence``; without one every mode that has a
firewall is meant."""


def _coexistence(document: Document) -> Coexistence:
    return Coexistence(
        scope=tuple(Actor("label", tail(label["href"])) for label in document["scope"]),
        first=bool(document["illumio_primary"]),
        modes=_COEXISTENCE_MODES[document.get("workload_mode")],
    )


def _settings_scopes(document: Document, field: str) -> tuple[Scope, ...]:
    """Scopes of a setting: no row means nowhere, where in a rule set it means everywhere."""
    return tuple(tuple(map(actor_of, row)) for row in document.get(field) or ())


def _blocks_ipv6(document: Document) -> bool:
    """Of VEN 20.2.0 and later: ``ipv6_mode``; without it the older switch ``allow_ipv6``."""
    mode = document.get("ipv6_mode")
    return mode == "block_all" if mode else document.get("allow_ipv6") is False
