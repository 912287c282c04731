"""What a resolved rule gives to the selectors on its sides."""

from pce.policy.recompute import Direction, line_id
from pce.policy.resolve import ResolvedRule
from pce.policy.selectors import Selector, WorkloadSelector
from ven_protocol.policy import Rule, Service

_DIRECTIONS: tuple[Direction, ...] = ("in", "out")

RuleLines = dict[tuple[WorkloadSelector, str], tuple[Rule, tuple[Selector, ...]]]
"""Own selector and line id to the line and its peers. A host that several of the selectors select
has the peers of all of them."""


def lines_of(resolved: ResolvedRule) -> RuleLines:
    """The lines of one rule: providers get those towards consumers, and the other way round."""
    peers_of: dict[tuple[WorkloadSelector, Direction, str], dict[str, Selector]] = {}
    services: dict[str, tuple[Service, ...]] = {}
    for join in resolved.joins:
        services[join.part] = join.services
        for direction in _DIRECTIONS:
            own, others = join.providers, join.consumers
            if direction == "out":
                own, others = others, own
            if others.peers:
                found = {peer.set_id: peer for peer in others.peers}
                for host in own.hosts:
                    peers_of.setdefault((host, direction, join.part), {}).update(found)
    lines: RuleLines = {}
    rule = resolved.rule
    for (host, direction, part), found in peers_of.items():
        id = line_id(rule.id, part, direction)
        line = Rule(
            id=id,
            direction=direction,
            action=rule.action,
            peers=sorted(found),
            services=list(services[part]),
            stateless=rule.stateless,
        )
        lines[host, id] = (line, tuple(found.values()))
    return lines


def loses_access(old: Rule | None, new: Rule | None) -> bool:
    """Could the change of a line forbid what was allowed? In doubt it could."""
    if old is None or new is None:
        line = old or new
        return line is not None and (line.action == "allow") is (new is None)
    if (old.action, old.direction, old.stateless) != (new.action, new.direction, new.stateless):
        return True
    wider, narrower = (new, old) if new.action == "allow" else (old, new)
    return not (
        set(narrower.peers) <= set(wider.peers) and set(narrower.services) <= set(wider.services)
    )
