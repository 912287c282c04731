"""What the documents of workloads of one class still differ in: mode, visibility, firewall, and
the custom rules that nobody enforces. None of it needs an address or another workload."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pce.policy.addresses import peer_address
from pce.policy.estate import Estate, Scope, Workload
from pce.policy.selectors import Conditions, WorkloadSelector, scope_conditions, workloads_meant
from ven_protocol.messages import EnforcementMode, VisibilityLevel
from ven_protocol.policy import Firewall, Ipv6Handling

Report = Callable[[str, str], None]
"""Takes where (an object's id) and what cannot be understood there."""


class Kind(NamedTuple):
    """Fields of a document that follow from the workload and the org's settings alone."""

    mode: EnforcementMode
    visibility: VisibilityLevel
    firewall: Firewall
    not_enforced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kinds:
    """An estate's settings, resolved once, and asked for each workload.

    Two that are equal give every workload the same kind and the same addresses.
    """

    ipv6: Ipv6Handling
    older_ipv6: Ipv6Handling
    reject: tuple[Conditions, ...]
    loopback: tuple[Conditions, ...]
    static: tuple[Conditions, ...]
    containers: tuple[Conditions, ...]
    forwarding: tuple[Conditions, ...]
    coexistence: tuple[tuple[Conditions, frozenset[EnforcementMode], bool], ...]
    """Whom each entry means: labels, modes; and whether our firewall goes first there."""
    switches: tuple[bool, bool, bool]
    """DHCP client, traceroute, IGMP."""
    custom_rules: tuple[tuple[str, tuple[WorkloadSelector, ...]], ...]

    @classmethod
    def of_estate(cls, estate: Estate, report: Report) -> "Kinds":
        """Resolve the firewall settings and custom iptables rules. Cost: their number."""
        settings = estate.firewall

        def scopes(named: Iterable[Scope]) -> tuple[Conditions, ...]:
            return tuple(conditions for scope in named if (conditions := asked_by(scope)))

        def asked_by(scope: Scope) -> Conditions | None:
            return scope_conditions(estate, scope, lambda w: report("firewall_settings", w))

        return cls(
            ipv6=settings.ipv6,
            older_ipv6=settings.older_ipv6,
            reject=scopes(settings.reject_scopes),
            loopback=scopes(settings.loopback_scopes),
            static=scopes(settings.static_scopes),
            containers=scopes(settings.container_scopes),
            forwarding=scopes(settings.forwarding_scopes),
            coexistence=tuple(
                (conditions, entry.modes, entry.first)
                for entry in settings.coexistence
                if (conditions := asked_by(entry.scope))
            ),
            switches=(
                settings.allow_dhcp_client,
                settings.allow_traceroute,
                settings.allow_igmp,
            ),
            custom_rules=tuple(_custom_rules(estate, report)),
        )

    def of(self, workload: Workload) -> Kind:
        """The kind of one workload; of equal ones the same object."""
        ipv6 = self.older_ipv6 if workload.ipv6_support == "all_or_nothing" else self.ipv6
        if ipv6 == "blocked_in_full" and workload.ipv6_support == "never_blocked":
            ipv6 = "allowed"
        labels = workload.labels
        inherit = _any_holds(self.containers, labels) and not _any_holds(self.forwarding, labels)
        said = (
            workload.enforcement_mode,
            workload.visibility_level,
            ipv6,
            _any_holds(self.reject, labels),
            self._goes_first(workload),
            inherit,
            _any_holds(self.static, labels),
            self._not_enforced(workload) if self.custom_rules else (),
        )
        kind = self._kinds.get(said)
        if kind is None:
            kind = self._kinds[said] = self._kind(*said)
        return kind

    def addresses_of(self, workload: Workload, report: Callable[[str], None]) -> tuple[str, ...]:
        """The addresses that peers know a workload by, canonical, without repeats; none while it is
        out of policy.

        Those on loopback interfaces count inside the scopes that say so.
        """
        texts = workload.addresses
        if workload.loopback_addresses and any(c.hold(workload.labels) for c in self.loopback):
            texts += workload.loopback_addresses
        found: list[str] = []
        for text in texts:
            try:
                address = peer_address(text)
            except ValueError:
                report(f"{text} is no address")
            else:
                if workload.in_policy and address is not None:
                    found.append(address)
        return tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)

    def _not_enforced(self, workload: Workload) -> tuple[str, ...]:
        return tuple(
            rule_id
            for rule_id, hosts in self.custom_rules
            if any(selector.matches(workload) for selector in hosts)
        )

    def _goes_first(self, workload: Workload) -> bool:
        for conditions, modes, first in self.coexistence:
            if workload.enforcement_mode in modes and conditions.hold(workload.labels):
                return first
        return True

    @cached_property
    def _kinds(self) -> dict[tuple[object, ...], Kind]:
        """Those that were asked for; there are few."""
        return {}

    def _kind(
        self,
        mode: EnforcementMode,
        visibility: VisibilityLevel,
        ipv6: Ipv6Handling,
        reject: bool,
        first: bool,
        inherit: bool,
        static: bool,
        not_enforced: tuple[str, ...],
    ) -> Kind:
        dhcp, traceroute, igmp = self.switches
        firewall = Firewall(
            ipv6=ipv6,
            reject_blocked=reject,
            allow_dhcp_client=dhcp,
            allow_traceroute=traceroute,
            allow_igmp=igmp,
            order="first" if first else "last",
            containers="by_policy" if inherit else "untouched",
            updates="static" if static else "adaptive",
        )
        return Kind(mode, visibility, firewall, not_enforced)


def _any_holds(scopes: tuple[Conditions, ...], labels: Mapping[str, str]) -> bool:
    return bool(scopes) and any(conditions.hold(labels) for conditions in scopes)


def _custom_rules(
    estate: Estate, report: Report
) -> Iterator[tuple[str, tuple[WorkloadSelector, ...]]]:
    """Each enabled custom rule, sorted by id, and whom it means."""
    for rule_set in sorted(estate.rule_sets, key=lambda rule_set: rule_set.id):
        if not rule_set.enabled:
            continue
        for rule in sorted(rule_set.custom_rules, key=lambda rule: rule.id):
            if not rule.enabled:
                continue
            report(rule.id, "custom iptables rules are not enforced on hosts with nftables")

            def report_here(what: str, where: str = rule.id) -> None:
                report(where, what)

            sides = (
                workloads_meant(
                    estate,
                    rule.actors,
                    scope_conditions(estate, scope, report_here),
                    labels_are_workloads=True,
                    report=report_here,
                )
                for scope in rule_set.scopes
            )
            yield rule.id, tuple(selector for side in sides for selector in side.hosts)
