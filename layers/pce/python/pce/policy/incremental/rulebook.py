"""The lines that each rule gives to audiences, brought up to date rule by rule."""

from collections.abc import Callable, Iterator
from itertools import chain

from pce.policy.incremental.audience import Audience, Line
from pce.policy.incremental.facts import Facts
from pce.policy.incremental.index import Index
from pce.policy.incremental.lines import RuleLines, lines_of, loses_access
from pce.policy.incremental.lists import Lists
from pce.policy.incremental.work import Work
from pce.policy.parts import line_digest
from pce.policy.recompute import PolicyProblem
from pce.policy.resolve import ResolvedRule, resolve_rule
from pce.policy.selectors import Selector


class Rulebook:
    """Which lines come from which rule."""

    def __init__(self, facts: Facts, index: Index, introduce: Callable[[Audience], None]) -> None:
        """``introduce`` is told of each new audience."""
        self.lists = Lists()
        self._facts = facts
        self._index = index
        self._introduce = introduce
        self._lines: dict[str, list[tuple[Audience, Line]]] = {}
        """Rule id to its lines and whose they are."""
        self._problems: dict[str, list[PolicyProblem]] = {}

    def problems(self) -> Iterator[PolicyProblem]:
        """What is wrong with rules and with the lists that they use."""
        return chain(self.lists.problems(), *self._problems.values())

    def replace(self, rule_id: str, work: Work) -> None:
        """Replace the lines of one rule by those of now, as far as they differ."""
        before = {
            (audience.set_id, line.id): (audience, line)
            for audience, line in self._lines.pop(rule_id, ())
        }
        lines: list[tuple[Audience, Line]] = []
        for key, (host, rule, peers) in self._lines_now(rule_id).items():
            known = before.pop(key, None)
            if known is not None and known[1].rule == rule:
                lines.append(known)
                continue
            if known is not None:
                _drop(*known, work)
            audience = self._audience(host, work)
            audiences = tuple(self._audience(peer, work) for peer in peers)
            line = Line(rule, line_digest(rule), audiences)
            _add(audience, line, work)
            work.reline(audience, tightens=loses_access(known[1].rule if known else None, rule))
            lines.append((audience, line))
        for audience, line in before.values():
            _drop(audience, line, work)
            work.reline(audience, tightens=loses_access(line.rule, None))
        if lines:
            self._lines[rule_id] = lines

    def _lines_now(self, rule_id: str) -> RuleLines:
        problems: list[PolicyProblem] = []
        resolved: ResolvedRule | None = None
        estate = self._facts.estate
        if rule_id in self._facts.rules:
            rule, scopes = self._facts.rules[rule_id]
            resolved = resolve_rule(
                estate,
                rule,
                scopes,
                lambda where, what: problems.append(PolicyProblem(where, what)),
            )
        self._problems.pop(rule_id, None)
        if problems:
            self._problems[rule_id] = problems
        self.lists.use(estate, rule_id, resolved)
        return lines_of(resolved) if resolved else {}

    def _audience(self, selector: Selector, work: Work) -> Audience:
        audience = self._index.audiences.get(selector.set_id)
        if audience is None:
            audience, fresh = self._index.add(selector)
            work.fresh.update(dict.fromkeys(fresh))
            work.born.add(audience)
            self._introduce(audience)
        return audience


def _add(audience: Audience, line: Line, work: Work) -> None:
    audience.lines[line.id] = line
    audience.sorted_lines = None
    for peer in line.peers:
        count = audience.mentions.get(peer, 0)
        audience.mentions[peer] = count + 1
        if not count:
            peer.mentioned_by.add(audience)
            peer.width += audience.vens
            work.weighed.add(peer)
        if line.rule.action == "allow":
            peer.allows += 1
        else:
            peer.denies += 1


def _drop(audience: Audience, line: Line, work: Work) -> None:
    del audience.lines[line.id]
    audience.sorted_lines = None
    for peer in line.peers:
        audience.mentions[peer] -= 1
        if not audience.mentions[peer]:
            del audience.mentions[peer]
            peer.mentioned_by.discard(audience)
            peer.width -= audience.vens
            work.weighed.add(peer)
        if line.rule.action == "allow":
            peer.allows -= 1
        else:
            peer.denies -= 1
