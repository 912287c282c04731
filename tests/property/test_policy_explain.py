"""Questions about policy, over random estates: each answer is the oracle's."""

import dataclasses

from hypothesis import given, settings

from pce.policy.decide import decide
from pce.policy.estate import Estate
from pce.policy.evaluate import evaluate
from pce.policy.questions.ends import end_at, end_of_ip_list, end_of_workload
from pce.policy.questions.explain import explain
from pce.policy.questions.impact import Impact
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.recompute import recompute
from pce.policy.selectors import AddressSelector
from pce.policy.traffic import service_matches
from tests.property.policy_estates import TRAFFIC, endpoints, estates, random_estate, seeds
from ven_protocol.policy import policy_digest


@settings(max_examples=200, deadline=None)
@given(estates, seeds)
def test_explain_says_what_the_rules_and_the_documents_say(estate: Estate, random):
    """Verdict and deciding rules are ``decide``'s at both ends, and the verdict that of the host
    that enforces the recomputed document."""
    documents = recompute(estate).documents
    index = RuleIndex(dataclasses.replace(estate, workloads=()))
    ends = endpoints(estate)
    for _ in range(20):
        source, destination = random.choice(ends), random.choice(ends)
        traffic = random.choice(TRAFFIC)
        decision = decide(estate, source, destination, traffic)
        explained = explain(
            index,
            end_at(estate, source.address, source.workload_id),
            end_at(estate, destination.address, destination.workload_id),
            traffic,
        )
        assert explained.verdict == decision.verdict
        for end, peer, direction, expected, found in (
            (source, destination, "out", decision.source, explained.source),
            (destination, source, "in", decision.destination, explained.destination),
        ):
            assert found.verdict == expected.verdict
            assert {match.rule.id for match in found.deciding} == expected.rules
            assert (found.because == "rules") == bool(expected.rules)
            if end.workload_id in documents:
                document = documents[end.workload_id]
                assert evaluate(document, direction, peer.address, traffic).verdict == (
                    found.verdict
                )


@settings(max_examples=60, deadline=None)
@given(estates, seeds)
def test_the_two_ends_and_their_namesakes_suffice(estate: Estate, random):
    """An estate of no other workloads than those that have one of the two addresses gives the
    same decision: this is what makes the question cheap."""
    ends = endpoints(estate)
    for _ in range(10):
        source, destination = random.choice(ends), random.choice(ends)
        traffic = random.choice(TRAFFIC)
        concerned = dataclasses.replace(
            estate,
            workloads=tuple(
                workload
                for workload in estate.workloads
                if {source.address, destination.address}
                & {*workload.addresses, *workload.loopback_addresses}
            ),
        )
        assert decide(concerned, source, destination, traffic) == decide(
            estate, source, destination, traffic
        )


@settings(max_examples=100, deadline=None)
@given(estates, seeds)
def test_filing_loses_no_rule(estate: Estate, random):
    """What the index finds between two ends (addresses, workloads, IP lists) is what a look at
    every rule finds."""
    index = RuleIndex(estate)
    ends = [end_at(estate, end.address, end.workload_id) for end in endpoints(estate)]
    ends += [end_of_workload(workload) for workload in estate.workloads]
    ends += [end_of_ip_list(index.spans(AddressSelector("ip_list", id))) for id in estate.ip_lists]
    for _ in range(20):
        source, destination = random.choice(ends), random.choice(ends)
        traffic = random.choice(TRAFFIC)
        found = {(m.rule.id, m.scope, m.join) for m in index.matches(source, destination, traffic)}
        assert found == {
            (rule.id, scope, join)
            for number, rule, _ in index.rules()
            for scope, join in index.joins(number)
            if any(service_matches(service, traffic) for service in join.services)
            and index.on_side(join.consumers, source)
            and index.on_side(join.providers, destination)
        }


@settings(max_examples=100, deadline=None)
@given(estates)
def test_the_rules_that_a_workload_holds_are_its_documents(estate: Estate):
    """``held_by`` gives exactly the lines of the recomputed document, repeats left aside."""
    index = RuleIndex(dataclasses.replace(estate, workloads=()))
    documents = recompute(estate).documents
    for workload in estate.workloads:
        if not workload.managed or workload.enforcement_mode == "idle":
            continue
        peers: dict[tuple, set[str]] = {}
        for held in index.held_by(workload):
            rule, join = held.rule, held.join
            line = (rule.id, held.direction, rule.action, join.part, join.services, rule.stateless)
            peers.setdefault(line, set()).update(selector.set_id for selector in held.peers)
        says = {
            (direction, action, tuple(sorted(ids)), services, stateless)
            for (_, direction, action, _, services, stateless), ids in peers.items()
        }
        assert says == {
            (line.direction, line.action, tuple(line.peers), tuple(line.services), line.stateless)
            for line in documents[workload.id].rules
        }


@settings(max_examples=200, deadline=None)
@given(seeds)
def test_the_impact_of_a_change_is_what_the_recompute_shows(random):
    """Exactly the workloads whose documents differ, when policy changes and workloads do not; at
    least those once it compares no more. No setting takes loopback interfaces into policy: then
    the addresses of others could change, too."""
    before, other = (
        dataclasses.replace(
            estate, firewall=dataclasses.replace(estate.firewall, loopback_scopes=())
        )
        for estate in (random_estate(random), random_estate(random))
    )
    changed = {
        name: getattr(other, name)
        for name in (
            "label_groups",
            "ip_lists",
            "services",
            "rule_sets",
            "boundaries",
            "virtual_services",
        )
        if random.random() < 0.4
    }
    if random.random() < 0.3:
        changed["rule_sets"] = before.rule_sets[1:]
    if random.random() < 0.2:
        changed["firewall"] = other.firewall
    after = dataclasses.replace(before, **changed)
    estates = [dataclasses.replace(estate, workloads=()) for estate in (before, after)]
    old, new = recompute(before).documents, recompute(after).documents
    expected = {id for id in old if policy_digest(old[id]) != policy_digest(new[id])}
    exact, rough = Impact(*estates), Impact(*estates, most_compared=0)
    assert {workload.id for workload in before.workloads if exact.changes(workload)} == expected
    assert {workload.id for workload in before.workloads if rough.changes(workload)} >= expected
    assert exact.exact
