"""Whose documents a change of the rules would change, without computing any document.

The rules that the change touches are compared for the workloads that they select; whoever holds
others then than now is looked at whole, because a line that says what another says is left out of
documents. A property test holds this and the full recompute to each other.
"""

from collections import Counter
from functools import cached_property

from pce.policy.change import difference, everything
from pce.policy.estate import Estate, Workload
from pce.policy.incremental.facts import Facts
from pce.policy.incremental.index import Index
from pce.policy.questions.one_document import lines
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.recompute import names_said
from ven_protocol.policy import Rule

_Mentioned = dict[str, tuple[object, ...]]


class Impact:
    """Two estates compared: before and after. They are given without workloads.

    Making it costs some 70 microseconds a rule; asking for a workload some 5 microseconds, and two
    milliseconds for each class of workloads that hold a touched rule.
    """

    def __init__(self, before: Estate, after: Estate, most_compared: int = 2_000) -> None:
        facts = Facts()
        facts.replace(everything(before))
        stale = facts.replace(difference(before, after))
        self._indexes = RuleIndex(before), RuleIndex(after)
        self._lists = stale.lists
        self._rules = stale.rules.union(
            rule.id for index in self._indexes for rule in index.naming(stale.lists)
        )
        self._known: dict[object, bool] = {}
        self._comparisons_left = most_compared
        self.exact = True
        """False when more classes than ``most_compared`` hold touched rules: of the others each
        counts as changed, though it may only have got what it had from another rule."""

    def changes(self, workload: Workload) -> bool:
        """Would this workload's own document be another? Never for one without a VEN.

        The addresses of others count as unchanged: only the loopback interfaces that firewall
        settings take into policy could change them.
        """
        if not workload.managed:
            return False
        before, after = self._indexes
        if before.kinds.of(workload) != after.kinds.of(workload):
            return True
        if workload.enforcement_mode == "idle":
            return False
        if not self._touched.class_of(workload).audiences:
            return False
        alike = (
            frozenset(workload.labels.items()),
            workload.bound,
            workload.container_host,
            workload.id if workload.id in self._named else None,
        )
        if alike not in self._known:
            self._known[alike] = self._differs(workload)
        return self._known[alike]

    def _differs(self, workload: Workload) -> bool:
        if self._comparisons_left == 0:
            self.exact = False
            return True
        self._comparisons_left -= 1
        before, after = self._indexes
        return self._document(before, workload) != self._document(after, workload)

    def _document(self, index: RuleIndex, workload: Workload) -> tuple[list[Rule], _Mentioned]:
        """What of a workload's document may change: its lines, and lists that do."""
        found = lines(index.held_by(workload))
        mentioned = {set_id for line in found for set_id in line.peers}
        lists: _Mentioned = {
            selector.set_id: (*index.spans(selector), *names_said(index.estate, selector))
            for selector in self._lists
            if selector.set_id in mentioned
        }
        return found, lists

    @cached_property
    def _touched(self) -> Index:
        """Selectors of all hosts that the touched rules mean, before or after. A class that one of
        them selects is touched."""
        found = {
            selector
            for index in self._indexes
            for number, rule, _ in index.rules()
            if rule.id in self._rules
            for _, join in index.joins(number)
            for side in (join.providers, join.consumers)
            for selector in side.hosts
        }
        # What few selectors name tells workloads apart best: they are filed under that.
        named = Counter(id for s in found for condition in s.conditions for id in condition.ids)
        index = Index(named)
        for selector in found:
            index.add(selector)
        return index

    @cached_property
    def _named(self) -> set[str]:
        """Ids of workloads that a rule or a virtual server names."""
        named: set[str] = set()
        for index in self._indexes:
            actors = [a for _, r, _ in index.rules() for a in (*r.providers, *r.consumers)]
            for virtual_service in index.estate.virtual_services.values():
                if virtual_service.backend is not None:
                    actors += virtual_service.backend.members
            named.update(actor.id for actor in actors if actor.kind == "workload")
        return named
