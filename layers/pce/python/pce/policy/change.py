"""Facts of an estate that were replaced."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pce.policy.estate import (
    Estate,
    FirewallSettings,
    IpList,
    LabelGroup,
    Rule,
    RuleSet,
    VirtualService,
    Workload,
)
from ven_protocol.policy import Service


@dataclass(frozen=True)
class EstateChange:
    """What is so now, by id; None: it exists no more. What is not mentioned is as it was.

    It says what is, not what happened: repeating it changes nothing, and of two changes of one
    object the later counts.
    """

    workloads: Mapping[str, Workload | None] = field(default_factory=dict)
    label_keys: Mapping[str, str | None] = field(default_factory=dict)
    label_groups: Mapping[str, LabelGroup | None] = field(default_factory=dict)
    ip_lists: Mapping[str, IpList | None] = field(default_factory=dict)
    services: Mapping[str, tuple[Service, ...] | None] = field(default_factory=dict)
    rule_sets: Mapping[str, RuleSet | None] = field(default_factory=dict)
    boundaries: Mapping[str, Rule | None] = field(default_factory=dict)
    """By ``Rule.id``."""
    virtual_services: Mapping[str, VirtualService | None] = field(default_factory=dict)
    firewall: FirewallSettings | None = None
    """None: as it was."""

    def then(self, later: "EstateChange") -> "EstateChange":
        """Both as one."""
        both = {name: {**getattr(self, name), **getattr(later, name)} for name in _BY_ID}
        return EstateChange(**both, firewall=later.firewall or self.firewall)


_BY_ID = tuple(each.name for each in fields(EstateChange) if each.name != "firewall")


def everything(estate: Estate) -> EstateChange:
    """The change from an org without any facts to this estate."""
    return EstateChange(**_by_id(estate), firewall=estate.firewall)


def difference(old: Estate, new: Estate) -> EstateChange:
    """The change that makes ``new`` of ``old``. Linear."""
    before, after = _by_id(old), _by_id(new)
    return EstateChange(
        **{
            name: {
                **dict.fromkeys(before[name].keys() - facts.keys()),
                **{id: fact for id, fact in facts.items() if before[name].get(id) != fact},
            }
            for name, facts in after.items()
        },
        firewall=None if old.firewall == new.firewall else new.firewall,
    )


def changed(estate: Estate, change: EstateChange) -> Estate:
    """The estate after a change. Linear in the estate."""
    facts: dict[str, Any] = {}
    for name, old in _by_id(estate).items():
        new = {**old, **getattr(change, name)}
        facts[name] = {id: fact for id, fact in new.items() if fact is not None}
    for name in ("workloads", "rule_sets", "boundaries"):
        facts[name] = tuple(facts[name].values())
    return Estate(**facts, firewall=change.firewall or estate.firewall)


def _by_id(estate: Estate) -> dict[str, dict[str, Any]]:
    """The facts by the fields of a change."""
    return {
        "workloads": {workload.id: workload for workload in estate.workloads},
        "label_keys": dict(estate.label_keys),
        "label_groups": dict(estate.label_groups),
        "ip_lists": dict(estate.ip_lists),
        "services": dict(estate.services),
        "rule_sets": {rule_set.id: rule_set for rule_set in estate.rule_sets},
        "boundaries": {boundary.id: boundary for boundary in estate.boundaries},
        "virtual_services": dict(estate.virtual_services),
    }
