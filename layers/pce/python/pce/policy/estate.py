"""The facts of one organisation from which its policy follows.

An :class:`Estate` is what the active policy version and the workloads say, and nothing else: no
names, no descriptions, no drafts, no clocks. Two estates that are equal give equal policy.

Objects are named by the last part of their href (a label ``7``, a workload's UUID); rules by the
part of their href behind the policy version (``rule_sets/3/sec_rules/12``). References may dangle:
what they name is looked up when policy is computed, and what is missing selects nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pce.policy.ipv6_support import Ipv6Support
from ven_protocol.messages import EnforcementMode, VisibilityLevel
from ven_protocol.policy import Ipv6Handling, RuleAction, Service


@dataclass(frozen=True, slots=True)
class Workload:
    """One host, with a VEN (``managed``) or without."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Label key to label id; a workload has at most one label of a key."""
    addresses: tuple[str, ...] = ()
    """Addresses of its interfaces as reported; those that are no peer's are left out later."""
    managed: bool = True
    """Has a VEN, so it receives a document. Without one it only lends addresses to sets."""
    in_policy: bool = True
    """False while offline or gone: nobody's sets hold its addresses. Suspended ones stay in."""
    enforcement_mode: EnforcementMode = "visibility_only"
    visibility_level: VisibilityLevel = "flow_summary"
    loopback_addresses: tuple[str, ...] = ()
    """Addresses of its loopback interfaces: peers know them only where a setting says so."""
    ipv6_support: Ipv6Support = "by_rules"
    """What the VEN can do with IPv6: VENs before 20.2.0 know no IPv6 rules, and those on AIX and
    Solaris never block it whole."""
    bound: frozenset[str] = frozenset()
    """Bindings: ids of virtual services whose traffic this workload serves. One bound under other
    ports than the service's own has them behind the id."""
    container_host: bool = False
    """Runs containers: the actor ``container_host`` means it."""


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """Labels of one key under one name. Groups nest; a group inside itself adds nothing more."""

    key: str
    labels: tuple[str, ...] = ()
    sub_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IpRange:
    """``from_ip`` alone is an address or a prefix; with ``to_ip`` a range, both ends inclusive."""

    from_ip: str
    to_ip: str | None = None
    exclusion: bool = False
    """Taken out of what the other ranges of the list add, wherever it stands in the list."""


@dataclass(frozen=True, slots=True)
class IpList:
    """Addresses by number, and by name: each VEN resolves ``fqdns`` for itself."""

    ranges: tuple[IpRange, ...] = ()
    fqdns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortOverride:
    """A binding's own port or range in place of the virtual service's that begins at ``port``."""

    proto: int
    port: int
    new_port: int
    new_to_port: int | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """Who stands behind a load balancer's virtual server, and how it talks with them."""

    members: tuple["Actor", ...] = ()
    """Labels, label groups and workloads; the scopes of rules do not restrict them."""
    services: tuple[str | Service, ...] = ()
    """What it asks them for: a service's id, or protocol and ports said inline."""
    sources: tuple[IpRange, ...] = ()
    """Its own addresses, which members see in place of consumers'. None: they see consumers'."""


@dataclass(frozen=True, slots=True)
class VirtualService:
    """A service by itself, wherever it runs: its workloads are those that are bound to it.

    A load balancer's virtual server is one too: nobody is bound to it, its address is an override,
    and its workloads stand behind it (``backend``).
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    """Label key to label id."""
    services: tuple[str | Service, ...] = ()
    """What it offers: a service's id, or protocol and ports said inline."""
    ip_overrides: tuple[IpRange, ...] = ()
    """Where consumers reach it in place of its workloads' addresses (a load balancer's)."""
    port_overrides: Mapping[str, tuple[PortOverride, ...]] = field(default_factory=dict)
    """Bindings under other ports: what stands in ``Workload.bound``, to those ports."""
    backend: Backend | None = None


ActorKind = Literal[
    "ams",
    "label",
    "label_group",
    "workload",
    "ip_list",
    "virtual_service",
    "virtual_server",
    "container_host",
    "other",
]
OFFERING: tuple[ActorKind, ...] = ("virtual_service", "virtual_server")
"""Kinds of actors that :attr:`Estate.virtual_services` has, under ids that are never the same."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One entry of a rule's providers or consumers, or of a scope."""

    kind: ActorKind
    id: str = ""
    """Empty for ``ams`` (all workloads) and ``container_host`` (all that run containers); for
    ``other`` the kind's name, which nothing enforces."""
    exclusion: bool = False
    """Only of labels and label groups: what they select is taken out."""


Scope = tuple[Actor, ...]
"""Labels and label groups, joined by AND. An empty scope is every workload."""

EVERYTHING: Scope = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One allow rule, deny rule or enforcement boundary of the active policy."""

    id: str
    """Href behind the policy version, such as ``rule_sets/3/sec_rules/12``."""
    action: RuleAction
    providers: tuple[Actor, ...]
    """Destinations: who offers the services."""
    consumers: tuple[Actor, ...]
    """Sources: who connects."""
    services: tuple[str | Service, ...]
    """A service's id, or protocol and ports said inline."""
    enabled: bool = True
    unscoped_consumers: bool = False
    """Extra-scope: the scope restricts the providers alone."""
    stateless: bool = False
    provider_labels_are_workloads: bool = True
    provider_labels_are_services: bool = False
    """Do labels among the providers mean workloads, or virtual services, or both?"""
    consumer_labels_are_workloads: bool = True
    consumer_labels_are_services: bool = False
    unenforceable: tuple[str, ...] = ()
    """Demands that a packet filter cannot meet (a user group, a process). Such a rule opens and
    closes nothing, rather than more than was asked."""


@dataclass(frozen=True, slots=True)
class CustomRule:
    """Custom iptables rules for some hosts: kept, and reported as not enforced."""

    id: str
    """Href behind the policy version, such as ``rule_sets/3/ip_tables_rules/1``."""
    actors: tuple[Actor, ...]
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules that share scopes. Each scope is applied by itself: a rule inside the scopes A and B
    joins A with A and B with B, never A with B."""

    id: str
    rules: tuple[Rule, ...]
    scopes: tuple[Scope, ...] = (EVERYTHING,)
    enabled: bool = True
    custom_rules: tuple[CustomRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Coexistence:
    """Which hosts ask whose firewall first."""

    scope: Scope
    first: bool
    """Ours is asked first."""
    modes: frozenset[EnforcementMode]
    """Hosts in these modes are meant."""


@dataclass(frozen=True, slots=True)
class FirewallSettings:
    """What the hosts' firewalls do beside the rules."""

    ipv6: Ipv6Handling = "by_policy"
    """On VENs of 20.2.0 and later."""
    older_ipv6: Ipv6Handling = "allowed"
    """On VENs before 20.2.0."""
    reject_scopes: tuple[Scope, ...] = ()
    """Where blocked connections are answered rather than dropped in silence."""
    loopback_scopes: tuple[Scope, ...] = ()
    """Where addresses of loopback interfaces are addresses like others."""
    static_scopes: tuple[Scope, ...] = ()
    """Where a new policy waits until a person has it applied."""
    container_scopes: tuple[Scope, ...] = ()
    """Where a host's rules judge what it forwards to and from its containers."""
    forwarding_scopes: tuple[Scope, ...] = ()
    """Where they do not, even so: these hosts forward whatever they are sent."""
    coexistence: tuple[Coexistence, ...] = ()
    """Where other software's firewall goes first. Of several that mean a host, the first counts."""
    allow_dhcp_client: bool = True
    allow_traceroute: bool = True
    allow_igmp: bool = True


@dataclass(frozen=True, slots=True)
class Estate:
    """All of it. The order of workloads, rule sets and boundaries means nothing."""

    workloads: tuple[Workload, ...] = ()
    label_keys: Mapping[str, str] = field(default_factory=dict)
    """Label id to the label's key."""
    label_groups: Mapping[str, LabelGroup] = field(default_factory=dict)
    ip_lists: Mapping[str, IpList] = field(default_factory=dict)
    services: Mapping[str, tuple[Service, ...]] = field(default_factory=dict)
    rule_sets: tuple[RuleSet, ...] = ()
    boundaries: tuple[Rule, ...] = ()
    """Enforcement boundaries: deny rules of no scope."""
    virtual_services: Mapping[str, VirtualService] = field(default_factory=dict)
    """Virtual servers among them."""
    firewall: FirewallSettings = field(default_factory=FirewallSettings)
