"""The engine against the full recompute, over random estates and sequences of changes."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pce.policy.change import changed, difference, everything
from pce.policy.estate import Estate
from pce.policy.incremental.engine import Engine
from pce.policy.parts import (
    assemble,
    block_digest,
    etag_of,
    narrow_name,
    set_digest,
    set_versions,
    slots_of,
    split_etag,
    version_name,
)
from pce.policy.recompute import recompute
from tests.property.policy_estates import estates, random_change, random_estate, seeds
from ven_protocol.policy import policy_digest

EXAMPLES = settings(max_examples=150, deadline=None)
wide_froms = st.sampled_from((1, 2, 3, 1000))


class Stored:
    """What a store holds after the effects that were written to it."""

    def __init__(self):
        self.sets, self.class_parts, self.blocks, self.targets = {}, {}, {}, {}
        self.heads = {}
        self.head = None

    def write(self, effect, engine):
        """Write an effect as a compile does, leaving out what is there already."""
        for set_id, change in effect.sets.items():
            members = set(engine.members(set_id))
            assert set_digest(members) == change.digest
            if change.former is not None:
                base = self.sets[set_id, change.former]
                assert members == (base - set(change.removed)) | set(change.added)
                assert base.isdisjoint(change.added) and base.issuperset(change.removed)
            self.sets[set_id, change.digest] = members
        for part_id, digest in effect.blocks.items():
            assert block_digest(engine.block(part_id)) == digest
            self.blocks[part_id, digest] = engine.block(part_id)
        for name in effect.class_parts:
            assert narrow_name(engine.class_part(name)) == name
            self.class_parts[name] = engine.class_part(name)
        if effect.wide is not None:
            self.heads[effect.wide.generation] = effect.wide
        self.head = engine.head
        self.heads.setdefault(self.head.generation, self.head)
        for workload_id, target in effect.targets.items():
            if target is None:
                del self.targets[workload_id]
            else:
                assert target.slots == slots_of(self.class_parts[target.name], self.head)
                self.targets[workload_id] = target

    def etags(self):
        return {
            name: etag_of(target.name, target.slots, self.head)
            for name, target in self.targets.items()
        }

    def document(self, etag):
        """The document of an etag, from what is stored alone."""
        name, generation = split_etag(etag)
        head = self.heads[generation or 0] if generation is not None else self.head
        part = self.class_parts[name]
        blocks = [self.blocks[part_id, head.parts[part_id].digest] for part_id in part.blocks]
        versions = set_versions(part, blocks, head)
        members = {set_id: sorted(self.sets[set_id, digest]) for set_id, digest in versions.items()}
        return assemble(part, blocks, members)

    def drop(self, names):
        """Let go of what an effect retires."""
        for kept in (self.sets, self.blocks):
            for part_id, digest in [key for key in kept if version_name(*key) in names]:
                del kept[part_id, digest]
        for name in names & self.class_parts.keys():
            del self.class_parts[name]


def built(estate, wide_from=1000, head=None):
    engine = Engine(head, wide_from=wide_from)
    return engine, engine.apply(everything(estate))


def told(targets, effect):
    """Who hears of an effect: those with another target, and those with a slot that changed."""
    return effect.targets.keys() | {
        name for name, target in targets.items() if target.slots & effect.changed_slots
    }


@EXAMPLES
@given(estates, seeds, wide_froms)
def test_documents_are_those_of_the_full_recompute(estate: Estate, random: Random, wide_from: int):
    """After every change of a sequence each VEN's document, and every problem, is what the full
    recompute gives; the engine's own and the one made from what is stored; an etag that was
    given once means the same document for ever."""
    engine, effect = built(estate, wide_from)
    stored, meant = Stored(), {}
    for _ in range(6):
        stored.write(effect, engine)
        recomputed = recompute(estate)
        assert engine.problems() == recomputed.problems
        assert engine.targets() == stored.targets
        assert stored.targets.keys() == recomputed.documents.keys()
        for name, etag in stored.etags().items():
            document = recomputed.documents[name]
            assert engine.document(name) == document
            assert stored.document(etag) == document
            assert meant.setdefault(etag, document) == document
        change = random_change(random, estate)
        estate = changed(estate, change)
        effect = engine.apply(change)


@EXAMPLES
@given(estates, seeds, wide_froms)
def test_those_hear_of_a_change_whose_document_changed(estate, random, wide_from):
    """Everybody whose document changed is told. Nobody else is, but where a part turned wide or
    narrow, or a VEN has wide parts: there a line may have changed that only repeats another."""
    engine, _ = built(estate, wide_from)
    before = {name: policy_digest(d) for name, d in recompute(estate).documents.items()}
    for _ in range(6):
        change = random_change(random, estate)
        estate = changed(estate, change)
        targets = engine.targets()
        parts = engine.head.parts.keys()
        effect = engine.apply(change)
        after = {name: policy_digest(d) for name, d in recompute(estate).documents.items()}
        differ = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        heard = told(targets, effect)
        assert differ <= heard
        if engine.head.parts.keys() == parts:
            for name in heard - differ:
                assert targets[name].slots or engine.target(name).slots
        before = after


@EXAMPLES
@given(estates, seeds, wide_froms)
def test_only_the_facts_matter_not_the_way_to_them(estate, random, wide_from):
    """A sequence of changes, each of them twice, all squashed into one, and a build from nothing
    lead to the same documents, and to the same targets where nothing is wide; the sequence back
    leads to those of the beginning."""
    changes, estates_ = [], [estate]
    for _ in range(4):
        changes.append(random_change(random, estates_[-1]))
        estates_.append(changed(estates_[-1], changes[-1]))
    stepwise, twice, squashed = (built(estate, wide_from)[0] for _ in range(3))
    squash = changes[0]
    for change in changes[1:]:
        squash = squash.then(change)
    for change in changes:
        stepwise.apply(change)
        twice.apply(change)
        again = twice.apply(change)
        assert not again.targets and not again.sets and again.wide is None
        assert not again.class_parts and not again.retired
    squashed.apply(squash)
    fresh, _ = built(estates_[-1], wide_from)
    same(estates_[-1], wide_from, fresh, stepwise, twice, squashed)
    for older, newer in zip(reversed(estates_[:-1]), reversed(estates_[1:]), strict=True):
        stepwise.apply(difference(newer, older))
    same(estate, wide_from, built(estate, wide_from)[0], stepwise)


@EXAMPLES
@given(estates)
def test_a_build_is_one_large_change(estate):
    """An engine that is built in bulk holds what one holds that was empty first and then took all
    facts as a change like any other: members, targets, problems."""
    at_once, of_all = built(estate)
    changed_, _ = built(Estate())
    of_change = changed_.apply(everything(estate))
    assert at_once.targets() == changed_.targets() == of_all.targets == of_change.targets
    assert at_once.sets() == changed_.sets() == of_all.sets == of_change.sets
    assert of_all.class_parts == of_change.class_parts
    assert of_all.tightened == of_change.tightened
    assert at_once.problems() == changed_.problems()


def same(estate, wide_from, *engines):
    documents = recompute(estate).documents
    for engine in engines:
        assert {name: engine.document(name) for name in engine.targets()} == documents
        if wide_from == 1000:
            assert engine.targets() == engines[0].targets()


@EXAMPLES
@given(estates, seeds, wide_froms)
def test_what_is_needed_is_not_retired(estate, random, wide_from):
    """With everything dropped at once that an effect retires, every target can still be put
    together."""
    engine, effect = built(estate, wide_from)
    stored = Stored()
    for _ in range(6):
        stored.write(effect, engine)
        stored.drop(effect.retired)
        for name, etag in stored.etags().items():
            assert stored.document(etag) == engine.document(name)
        change = random_change(random, estate)
        estate = changed(estate, change)
        effect = engine.apply(change)


@EXAMPLES
@given(estates, seeds, st.sampled_from((1, 2, 3)))
def test_a_new_engine_goes_on_with_the_stored_head(estate, random, wide_from):
    """An engine that starts from the stored head keeps slots and generations of wide parts that
    are as they were, so that the targets in the presence rows hold."""
    engine, effect = built(estate, wide_from)
    stored = Stored()
    for _ in range(4):
        stored.write(effect, engine)
        change = random_change(random, estate)
        estate = changed(estate, change)
        effect = engine.apply(change)
    stored.write(effect, engine)
    stored.drop(effect.retired)
    restarted, effect = built(estate, wide_from, engine.head)
    assert restarted.targets() == engine.targets()
    assert not effect.blocks and not effect.changed_slots
    stored.write(effect, restarted)
    for name, etag in stored.etags().items():
        assert stored.document(etag) == restarted.document(name)


@pytest.mark.parametrize("wide_from", [2, 1000])
def test_the_estates_exercise_it(wide_from):
    """Among the random changes many alter documents, and where little is wide some alter wide
    parts: else the properties above would show nothing."""
    random, retargeted, wide, tightened = Random(5), 0, 0, 0
    for _ in range(60):
        estate = random_estate(random)
        engine, _ = built(estate, wide_from)
        for _ in range(4):
            change = random_change(random, estate)
            estate = changed(estate, change)
            effect = engine.apply(change)
            retargeted += bool(effect.targets)
            tightened += bool(effect.tightened or effect.tightened_slots)
            wide += bool(effect.changed_slots)
    assert retargeted > 50 and tightened > 20
    assert (wide > 5) is (wide_from == 2)
