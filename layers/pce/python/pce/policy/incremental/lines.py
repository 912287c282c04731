"""What a resolved rule gives to the selectors on its sides."""

from pce.policy.recompute import Direction, line_id
from pce.policy.resolve import ResolvedRule
from pce.policy.selectors import Selector, WorkloadSelector
from ven_protocol.policy import Rule

_DIRECTIONS: tuple[Direction, ...] = ("in", "out")

RuleLines = dict[tuple[str, str], tuple[WorkloadSelector, Rule, tuple[Selector, ...]]]
"""Set id of the own selector, and line id, to the selector, the line and its peers. A host that
several selectors select has the peers of all of them."""


def lines_of(resolved: ResolvedRule) -> RuleLines:
    """The lines of one rule: providers get those towards consumers, and the other way round."""
    lines: RuleLines = {}
    services = {join.part: list(join.services) for join in resolved.joins}
    for direction in _DIRECTIONS:
        for join in resolved.joins:
            own, others = join.providers, join.consumers
            if direction == "out":
                own, others = others, own
            if not others.peers:
                continue
            id = line_id(resolved.rule.id, join.part, direction)
            for host in own.hosts:
                peers = {peer.set_id: peer for peer in others.peers}
                if (host.set_id, id) in lines:
                    peers |= {peer.set_id: peer for peer in lines[host.set_id, id][2]}
                line = Rule(
                    id=id,
                    direction=direction,
                    action=resolved.rule.action,
                    peers=sorted(peers),
                    services=services[join.part],
                    stateless=resolved.rule.stateless,
                )
                lines[host.set_id, id] = (host, line, tuple(peers.values()))
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
