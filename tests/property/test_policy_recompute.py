"""The recompute and its documents, over random estates."""

import dataclasses

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pce.policy.addresses import member, member_interval, subtract
from pce.policy.decide import decide
from pce.policy.estate import Estate
from pce.policy.evaluate import evaluate
from pce.policy.recompute import recompute
from pce.policy.services import is_sound
from tests.property.policy_estates import (
    ADDRESSES,
    OUTSIDE,
    TRAFFIC,
    endpoints,
    estates,
    random_rule_set,
    seeds,
)
from ven_protocol.policy import PolicyDocument, apply_delta, policy_delta, policy_digest

FRESH = "10.99.0.1"
rule_sets = seeds.map(lambda random: random_rule_set(random, "99"))
EXAMPLES = settings(max_examples=150, deadline=None)


@settings(max_examples=600, deadline=None)
@given(estates, seeds)
def test_documents_decide_what_the_rules_say(estate: Estate, random):
    """Both ends' documents give the decision that follows straight from the rules, and name rules
    that decide it."""
    documents = recompute(estate).documents
    ends = endpoints(estate)
    for _ in range(30):
        source, destination = random.choice(ends), random.choice(ends)
        traffic = random.choice(TRAFFIC)
        decision = decide(estate, source, destination, traffic)
        for own, peer, direction, expected in (
            (source, destination, "out", decision.source),
            (destination, source, "in", decision.destination),
        ):
            if own.workload_id not in documents:
                assert expected.verdict == "unknown"
                continue
            found = evaluate(documents[own.workload_id], direction, peer.address, traffic)
            assert found.verdict == expected.verdict
            named = {rule_of(rule_id) for rule_id in found.rules}
            assert named <= expected.rules
            assert bool(named) == bool(expected.rules)


def rule_of(line_id: str) -> str:
    """The rule that a document's line is of."""
    return "/".join(line_id.split("/")[: 2 if line_id.startswith("enforcement") else 4])


@EXAMPLES
@given(estates)
def test_every_managed_workload_and_no_other_has_a_document(estate: Estate):
    """Managed workloads get their own mode and visibility, also while they are offline."""
    documents = recompute(estate).documents
    managed = {workload.id: workload for workload in estate.workloads if workload.managed}
    assert documents.keys() == managed.keys()
    for name, document in documents.items():
        assert document.mode == managed[name].enforcement_mode
        assert document.visibility == managed[name].visibility_level


@EXAMPLES
@given(estates)
def test_documents_are_well_formed(estate: Estate):
    """Sets: exactly those that rules use; members canonical, sorted as text, without repeats, IP
    lists disjoint. Rules: sorted, ids unique, none that could never match; none in mode idle."""
    for document in recompute(estate).documents.values():
        assert set(document.sets) == {name for rule in document.rules for name in rule.peers}
        for members in document.sets.values():
            assert members == sorted(set(members))
            intervals = [member_interval(text) for text in members]
            assert [member(one) for one in intervals] == members
            spans = [last - first + 1 for _, first, last in intervals]
            merged = subtract(intervals, [])
            assert sum(spans) == sum(last - first + 1 for _, first, last in merged)
        ids = [rule.id for rule in document.rules]
        assert ids == sorted(set(ids))
        assert all(rule.peers and rule.services for rule in document.rules)
        assert all(is_sound(service) for rule in document.rules for service in rule.services)
        assert all(rule.peers == sorted(set(rule.peers)) for rule in document.rules)
        assert not (document.mode == "idle" and document.rules)
        assert msgspec.json.decode(msgspec.json.encode(document), type=PolicyDocument) == document


@EXAMPLES
@given(estates, seeds)
def test_order_of_the_facts_does_not_matter(estate: Estate, random):
    """Shuffled workloads, rules, actors, scopes and ranges give the same etags and problems."""

    def shuffled(items):
        return tuple(random.sample(items, len(items)))

    def shuffled_rule(rule):
        return dataclasses.replace(
            rule,
            providers=shuffled(rule.providers),
            consumers=shuffled(rule.consumers),
            services=shuffled(rule.services),
        )

    other = dataclasses.replace(
        estate,
        workloads=shuffled(
            [dataclasses.replace(w, addresses=shuffled(w.addresses)) for w in estate.workloads]
        ),
        rule_sets=shuffled(
            [
                dataclasses.replace(
                    rule_set,
                    rules=shuffled([shuffled_rule(rule) for rule in rule_set.rules]),
                    scopes=shuffled([shuffled(scope) for scope in rule_set.scopes]),
                )
                for rule_set in estate.rule_sets
            ]
        ),
        boundaries=shuffled([shuffled_rule(rule) for rule in estate.boundaries]),
        ip_lists={
            name: dataclasses.replace(ip_list, ranges=shuffled(ip_list.ranges))
            for name, ip_list in reversed(estate.ip_lists.items())
        },
    )
    assert recompute(other).etags() == recompute(estate).etags()


@EXAMPLES
@given(estates, seeds)
def test_an_address_change_alters_exactly_the_documents_that_held_it(estate: Estate, random):
    """A workload's new address reaches those whose sets held the old one and nobody else, and
    alters the members of sets alone."""
    number = random.randrange(len(estate.workloads))
    workload = dataclasses.replace(estate.workloads[number], addresses=("10.98.0.1",))
    before = recompute(_with_workload(estate, number, workload))
    moved = dataclasses.replace(workload, addresses=(FRESH,))
    after = recompute(_with_workload(estate, number, moved))
    for name, document in before.documents.items():
        held = any("10.98.0.1" in members for members in document.sets.values())
        changed = after.documents[name]
        assert (policy_digest(changed) != policy_digest(document)) == held
        assert (changed.rules, changed.sets.keys()) == (document.rules, document.sets.keys())


@EXAMPLES
@given(estates, seeds)
def test_a_workload_out_of_policy_lends_no_address(estate: Estate, random):
    """Going offline alters exactly the documents whose sets held the address; coming back
    restores every etag."""
    number = random.randrange(len(estate.workloads))
    online = dataclasses.replace(estate.workloads[number], addresses=(FRESH,), in_policy=True)
    before = recompute(_with_workload(estate, number, online))
    offline = dataclasses.replace(online, in_policy=False)
    after = recompute(_with_workload(estate, number, offline))
    for name, document in after.documents.items():
        assert all(FRESH not in members for members in document.sets.values())
        held = any(FRESH in members for members in before.documents[name].sets.values())
        assert (policy_digest(document) != policy_digest(before.documents[name])) == held
    assert recompute(_with_workload(estate, number, online)).etags() == before.etags()


@EXAMPLES
@given(estates, rule_sets, st.booleans())
def test_a_disabled_rule_changes_nothing(estate: Estate, extra, whole_set: bool):
    """A rule set that is disabled, or whose every rule is, leaves documents and problems alone."""
    if whole_set:
        extra = dataclasses.replace(extra, enabled=False)
    else:
        rules = tuple(dataclasses.replace(rule, enabled=False) for rule in extra.rules)
        extra = dataclasses.replace(extra, enabled=True, rules=rules, custom_rules=())
    other = dataclasses.replace(estate, rule_sets=(*estate.rule_sets, extra))
    assert recompute(other) == recompute(estate)


@EXAMPLES
@given(estates, estates)
def test_etags_differ_when_decisions_do(estate: Estate, other: Estate):
    """Whenever two documents of a workload decide some traffic differently, their etags differ."""
    before, after = recompute(estate).documents, recompute(other).documents
    for name in before.keys() & after.keys():
        if policy_digest(before[name]) == policy_digest(after[name]):
            for peer in ADDRESSES + OUTSIDE:
                for traffic in TRAFFIC:
                    for direction in ("in", "out"):
                        assert evaluate(before[name], direction, peer, traffic) == evaluate(
                            after[name], direction, peer, traffic
                        )


@EXAMPLES
@given(estates, estates)
def test_a_delta_leads_from_any_document_to_any_other(estate: Estate, other: Estate):
    """``apply_delta(base, policy_delta(base, new))`` is ``new``, through the wire's JSON too."""
    bases = list(recompute(estate).documents.values())
    targets = list(recompute(other).documents.values())
    assume(bases and targets)
    for base, target in zip(bases, targets, strict=False):
        delta = policy_delta(base, target)
        wire = msgspec.json.decode(msgspec.json.encode(delta), type=type(delta))
        assert apply_delta(base, wire, policy_digest(target)) == target


@EXAMPLES
@given(estates, seeds)
def test_a_missing_object_never_opens_anything(estate: Estate, random):
    """When a label, a label group or an IP list vanishes under allow rules, whatever was not
    allowed still is not."""
    only_allows = dataclasses.replace(
        estate,
        boundaries=(),
        rule_sets=tuple(
            dataclasses.replace(s, rules=tuple(r for r in s.rules if r.action == "allow"))
            for s in estate.rule_sets
        ),
    )
    kind = random.choice(("label_keys", "label_groups", "ip_lists", "services"))
    objects = getattr(only_allows, kind)
    gone = random.choice(sorted(objects))
    smaller = dataclasses.replace(
        only_allows, **{kind: {name: value for name, value in objects.items() if name != gone}}
    )
    ends = endpoints(estate)
    for _ in range(30):
        source, destination = random.choice(ends), random.choice(ends)
        traffic = random.choice(TRAFFIC)
        before = decide(only_allows, source, destination, traffic)
        after = decide(smaller, source, destination, traffic)
        if after.source.verdict == "allowed":
            assert before.source.verdict == "allowed"
        if after.destination.verdict == "allowed":
            assert before.destination.verdict == "allowed"


def _with_workload(estate: Estate, number: int, workload) -> Estate:
    workloads = list(estate.workloads)
    workloads[number] = workload
    return dataclasses.replace(estate, workloads=tuple(workloads))
