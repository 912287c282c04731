"""Policy computed incrementally: what a change of the facts makes other, and nothing else.

The meaning is :mod:`pce.policy.recompute`'s, to which tests hold this. An engine is a function of
the present facts: how it came to them does not matter, but for what is wide (``wide.py``).
docs/policy.md says how the pieces fit.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

from pce.policy.change import EstateChange
from pce.policy.estate import Workload
from pce.policy.incremental.class_parts import ClassParts
from pce.policy.incremental.effect import Effect, SetChange, Statistics
from pce.policy.incremental.facts import Facts, Stale
from pce.policy.incremental.index import HostClass, Index, has_any
from pce.policy.incremental.lists import Said
from pce.policy.incremental.membership import (
    add_vens,
    count_vens,
    fill_sets,
    members_of,
    needed_sets,
)
from pce.policy.incremental.rulebook import Rulebook
from pce.policy.incremental.wide import WideParts
from pce.policy.incremental.work import Work
from pce.policy.kinds import Kind
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


class _Place(NamedTuple):
    """Where a workload is."""

    host_class: HostClass
    kind: Kind | None
    """Without a VEN: None."""
    addresses: tuple[str, ...]
    """Those that it lends to sets, without repeats."""


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
        self._places: dict[str, _Place] = {}
        self._kinds: dict[Kind, Kind] = {}
        """Each kind once: there are few."""
        self._problems: dict[str, list[PolicyProblem]] = {}
        """By workload id."""

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
        place = self._places[workload_id]
        if place.kind is None:
            raise KeyError(f"workload {workload_id} has no VEN, so no target")
        return place.host_class.targets[place.kind]

    def targets(self) -> dict[str, Target]:
        """Every managed workload's target. Linear in the workloads."""
        return {
            id: place.host_class.targets[place.kind]
            for id, place in self._places.items()
            if place.kind is not None
        }

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
        found = chain(self._facts.problems(), self._rulebook.problems(), *self._problems.values())
        return tuple(sorted(set(found)))

    def apply(self, change: EstateChange) -> Effect:
        """Take a change over, and say what it does.

        Reads nothing but its arguments and never raises on what cannot be understood. Cost: the
        rules that changed or name what did, the classes that they reach, and the members that came
        or went; all workloads when a rule asks about a label that none asked about before.
        """
        if self._places:
            return self._apply(change)
        with _uncollected():
            return self._apply(change)

    def _apply(self, change: EstateChange) -> Effect:
        work = Work()
        tried = self._index.tried
        stale = self._facts.replace(change)
        if self._places:
            self._place_workloads(stale, work)
            self._replace_rules(stale, work)
        else:  # From nothing it goes the other way round: then each workload is placed once.
            self._replace_rules(stale, work)
            self._place_workloads(stale, work)
        return self._finish(stale, work, tried)

    def _finish(self, stale: Stale, work: Work, tried: int) -> Effect:
        """What follows from new lines and places."""
        count_vens(work)
        fill_sets(self._index, self._changed_lists(stale, work), work)
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
                classes_affected=work.counts["parts made"],
                classes_changed=work.counts["parts changed"],
                members_added=sum(len(change.added) for change in sets.values()),
                members_removed=sum(len(change.removed) for change in sets.values()),
            ),
        )

    def _replace_rules(self, stale: Stale, work: Work) -> None:
        """Bring the lines of stale rules up to date, and find what new selectors select."""
        for rule_id in stale.rules:
            self._rulebook.replace(rule_id, work)
        if work.fresh:
            for id, place in list(self._places.items()):
                workload = self._facts.workloads[id]
                if has_any(workload, work.fresh):
                    self._move(id, workload, place.kind, place.addresses, work)
        for audience in work.born:
            vens = 0
            for host_class in self._index.candidates(audience):
                if self._index.match((audience,), host_class):
                    vens += host_class.counted
            add_vens(audience, vens, work)

    def _place_workloads(self, stale: Stale, work: Work) -> None:
        """Put every changed workload where it belongs."""
        kinds = self._facts.kinds
        workloads = dict(stale.workloads)
        if stale.kinds:
            workloads.update(self._facts.workloads)
        for id, workload in workloads.items():
            self._problems.pop(id, None)
            kind: Kind | None = None
            addresses: list[str] = []
            if workload is not None:

                def report(what: str, id: str = id) -> None:
                    problem = PolicyProblem(f"workload {id}", what)
                    self._problems.setdefault(id, []).append(problem)

                addresses = kinds.addresses_of(workload, report)
                if workload.managed:
                    kind = kinds.of(workload)
                    kind = self._kinds.setdefault(kind, kind)
            self._move(id, workload, kind, tuple(dict.fromkeys(addresses)), work)

    def _move(
        self,
        id: str,
        workload: Workload | None,
        kind: Kind | None,
        addresses: tuple[str, ...],
        work: Work,
    ) -> None:
        """Take a workload from where it was, if it was anywhere, to where it is."""
        old = self._places.get(id)
        new: _Place | None = None
        if workload is not None:
            new = _Place(self._index.class_of(workload), kind, addresses)
        if old == new:
            return
        self._remember_members(old, new, work)
        if old is not None:
            self._leave(id, old, work)
        if new is not None:
            self._join(id, new, work)
            self._places[id] = new
        else:
            del self._places[id]
        if not (old and new and (old.host_class, old.kind) == (new.host_class, new.kind)):
            work.tightened.add(id)

    def _remember_members(self, old: _Place | None, new: _Place | None, work: Work) -> None:
        """Note of every address that may come or go whether it is a member now."""
        if len(work.born) == len(self._index.audiences):
            return  # there was no set before
        stays: set[str] = set()
        if old and new and old.host_class is new.host_class:
            stays = set(old.addresses).intersection(new.addresses)
        for place in filter(None, (old, new)):
            for audience in place.host_class.audiences:
                if audience in work.born:
                    continue
                was = work.was_member.setdefault(audience, {})
                for address in place.addresses:
                    if address not in was and address not in stays:
                        was[address] = self._index.has_member(audience, address)

    def _leave(self, id: str, place: _Place, work: Work) -> None:
        host_class, kind = place.host_class, place.kind
        if kind is not None:
            work.was_target.setdefault(id, host_class.targets.get(kind))
        ids = host_class.members[kind]
        ids.discard(id)
        if not ids:
            del host_class.members[kind]
            work.affect((host_class,))
        for address in place.addresses:
            self._index.take_back(host_class, address)
        work.resized.add(host_class)

    def _join(self, id: str, place: _Place, work: Work) -> None:
        host_class, kind = place.host_class, place.kind
        if kind is not None:
            work.was_target.setdefault(id, None)
        if kind not in host_class.members:
            host_class.members[kind] = set()
            work.affect((host_class,))
        host_class.members[kind].add(id)
        for address in place.addresses:
            self._index.lend(host_class, address)
        work.resized.add(host_class)

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
            place = self._places.get(id)
            now = place.host_class.targets[place.kind] if place and place.kind else None
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
