"""Policy computed incrementally: what a change of the facts makes other, and nothing else.

The meaning is :mod:`pce.policy.recompute`'s, to which tests hold this. An engine is a function of
the present facts: how it came to them does not matter, but for what is wide (``wide.py``).
docs/policy.md says how the pieces fit.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from pce.policy.change import EstateChange
from pce.policy.incremental.class_parts import ClassParts
from pce.policy.incremental.effect import Effect, SetChange, Statistics
from pce.policy.incremental.facts import Facts, Stale
from pce.policy.incremental.index import Index
from pce.policy.incremental.lists import Said
from pce.policy.incremental.membership import (
    add_vens,
    count_vens,
    fill_sets,
    members_of,
    needed_sets,
    sum_sets,
)
from pce.policy.incremental.places import Places
from pce.policy.incremental.rulebook import Rulebook
from pce.policy.incremental.wide import WideParts
from pce.policy.incremental.work import Work
from pce.policy.parts import Block, ClassPart, Target, WideHead, assemble
from pce.policy.recompute import PolicyProblem
from pce.policy.selectors import AddressSelector
from ven_protocol.policy import PolicyDocument

WIDE_FROM = 500
"""VENs. Beyond this many a part is wide: a change would rewrite that many presence rows (1 write
unit each). Of the policy of 100,000 VENs 121 parts are wide from 500 on, 56 from 1,000 and 288 from
250; each is a bit in presence rows and an entry of the head."""


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage: of what is built from nothing everything is kept, and looking through
    it again and again takes a third of the time. Once frozen and thawed it counts as old, so that
    not even the next search for young garbage looks through it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if enabled:
            gc.enable()


class Engine:
    """The policy of one org, held in memory and kept up with changes.

    It begins without any facts: ``engine.apply(everything(estate))`` builds it. What it hands out
    (:meth:`class_part`, :meth:`block`, :meth:`members`) is what is so after the last change.
    """

    def __init__(self, head: WideHead | None = None, *, wide_from: int = WIDE_FROM) -> None:
        """``head``: the stored wide head, with which slots and generations go on. What is in it
        stays wide until it has less than half of ``wide_from`` VENs."""
        self._facts = Facts()
        self._index = Index(self._facts.uses)
        self._wide = WideParts(head or WideHead(), wide_from)
        self._rulebook = Rulebook(self._facts, self._index, self._wide.introduce)
        self._class_parts = ClassParts()
        self._places = Places(self._facts, self._index)
        self._built = False

    @property
    def head(self) -> WideHead:
        """The wide parts that are current."""
        return self._wide.head

    @property
    def workloads(self) -> int:
        """How many workloads the org has."""
        return len(self._places)

    def document(self, workload_id: str) -> PolicyDocument:
        """The document of a managed workload; KeyError for any other. Linear in its members."""
        part = self.class_part(self.target(workload_id).name)
        blocks = [self.block(part_id) for part_id in part.blocks]
        mentioned = set(part.sets)
        for line in chain(part.lines, *(block.lines for block in blocks)):
            mentioned.update(line.peers)
        return assemble(part, blocks, {set_id: self.members(set_id) for set_id in mentioned})

    def target(self, workload_id: str) -> Target:
        """What a managed workload is to hold; KeyError for any other."""
        target = self._places.target(workload_id)
        if target is None:
            raise KeyError(f"there is no workload {workload_id} with a VEN")
        return target

    def targets(self) -> dict[str, Target]:
        """Every managed workload's target. Linear in the workloads."""
        return self._places.targets()

    def sets(self) -> dict[str, SetChange]:
        """The version of every set that some document mentions, as if none had been needed before.
        Linear in the sets."""
        audiences = self._index.audiences.values()
        return {a.set_id: SetChange(a.needed, None) for a in audiences if a.needed is not None}

    def class_part(self, name: str) -> ClassPart:
        """The class part of this narrow name; KeyError when no VEN is to hold it."""
        return self._class_parts.class_part(name)

    def block(self, part_id: str) -> Block:
        """The wide block of this part id; KeyError when there is none."""
        return self._wide.audience_of(part_id).block()

    def members(self, set_id: str) -> list[str]:
        """The members of a set, sorted as text; KeyError when no line mentions it."""
        return sorted(members_of(self._index.audiences[set_id]))

    def problems(self) -> tuple[PolicyProblem, ...]:
        """What cannot be understood and selects nothing; sorted, without repeats."""
        of_each = (self._facts, self._rulebook, self._places)
        return tuple(sorted({problem for each in of_each for problem in each.problems()}))

    def apply(self, change: EstateChange) -> Effect:
        """Take a change over, and say what it does.

        Reads nothing but its arguments and never raises on what cannot be understood. Cost: the
        rules that changed or name what did, the classes that they reach, and the members that came
        or went; all workloads when a rule asks about a label that none asked about before.
        """
        if self._built:
            return self._change(change)
        self._built = True
        with _uncollected():
            return self._build(change)

    def _build(self, change: EstateChange) -> Effect:
        """The first change, which is all facts. What :meth:`_change` does to the same end, but
        rules come first, so that each workload is placed once and each class summed once."""
        work = Work()
        stale = self._facts.replace(change)
        for rule_id in self._facts.rules:
            self._rulebook.replace(rule_id, work)
        self._places.fill(work)
        count_vens(work)
        sum_sets(self._index, self._changed_lists(stale, work))
        return self._finish(stale, work, 0)

    def _change(self, change: EstateChange) -> Effect:
        """Any change; the workloads first, then the rules."""
        work = Work()
        tried = self._index.tried
        stale = self._facts.replace(change)
        if stale.kinds:
            self._places.replace({**self._facts.workloads, **stale.workloads}, work)
        else:
            self._places.replace(stale.workloads, work)
        self._replace_rules(stale, work)
        count_vens(work)
        fill_sets(self._index, self._changed_lists(stale, work), work)
        return self._finish(stale, work, tried)

    def _finish(self, stale: Stale, work: Work, tried: int) -> Effect:
        """What follows from new lines, places and members."""
        self._wide.turn(work)
        _affect_classes(work)
        self._class_parts.rename(work)
        sets = needed_sets(work)
        head, changed_slots, tightened_slots = self._wide.next_head(work)
        targets = self._changed_targets(work)
        self._forget_unused(work)
        return Effect(
            sets=sets,
            blocks=work.blocks,
            class_parts=self._class_parts.taken_up(work),
            wide=head,
            changed_slots=changed_slots,
            targets=targets,
            tightened=frozenset(work.tightened & targets.keys()),
            tightened_slots=tightened_slots,
            retired=self._class_parts.given_up(work).union(work.retired),
            statistics=Statistics(
                selectors_tried=self._index.tried - tried,
                selectors_always_tried=len(self._index.always),
                rules_resolved=len(stale.rules),
                classes_affected=work.parts_made,
                classes_changed=work.parts_changed,
                members_added=sum(len(change.added) for change in sets.values()),
                members_removed=sum(len(change.removed) for change in sets.values()),
            ),
        )

    def _replace_rules(self, stale: Stale, work: Work) -> None:
        """Bring the lines of stale rules up to date, and find what new selectors select."""
        for rule_id in stale.rules:
            self._rulebook.replace(rule_id, work)
        if work.fresh:
            self._places.tell_apart(work.fresh, work)
        for audience in work.born:
            vens = 0
            for host_class in self._index.candidates(audience):
                if self._index.match((audience,), host_class):
                    vens += host_class.counted
            add_vens(audience, vens, work)

    def _changed_lists(self, stale: Stale, work: Work) -> dict[AddressSelector, Said]:
        """What lists say: those of new audiences, and those that changed."""
        lists = self._rulebook.lists
        lists.read_again(self._facts.estate, stale.lists)
        selectors = set(stale.lists)
        for audience in work.born:
            if isinstance(audience.selector, AddressSelector):
                selectors.add(audience.selector)
        return {selector: lists.said[selector] for selector in selectors if selector in lists.said}

    def _changed_targets(self, work: Work) -> dict[str, Target | None]:
        targets: dict[str, Target | None] = {}
        for id, was in work.was_target.items():
            now = self._places.target(id)
            if now != was:
                targets[id] = now
        return targets

    def _forget_unused(self, work: Work) -> None:
        """Drop classes without workloads and selectors that no line names."""
        for host_class in work.resized:
            if not host_class.members:
                self._index.drop(host_class)
        for audience in work.born.union(work.relined, work.weighed):
            if not audience.lines and not audience.mentioned_by:
                self._index.remove(audience)


def _affect_classes(work: Work) -> None:
    """Find the classes whose class part may have become another by lines and sets."""
    for audience, tightens in work.relined.items():
        if audience.block_slot is None or audience in work.born:
            work.affect(audience.classes, tightens=tightens)
    for audience in work.resets:
        if audience.set_slot is None:
            for other in audience.mentioned_by:
                work.affect(other.classes, tightens=audience in work.alarmed)
