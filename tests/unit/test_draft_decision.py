"""Draft decisions of flow records: each word that clients know."""

import pytest

from pce.objects.draft_decision import draft_decision
from pce.policy.estate import Actor, Estate, Rule, RuleSet, Workload
from pce.policy.questions.ends import end_at
from pce.policy.questions.explain import explain
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.traffic import Traffic
from ven_protocol.policy import Service

EVERYBODY = (Actor("ams"),)


@pytest.mark.parametrize(
    ("mode", "actions", "word"),
    [
        ("full", ("allow",), "allowed"),
        ("full", ("allow", "deny"), "allowed_across_boundary"),
        ("full", ("deny",), "blocked_by_boundary"),
        ("full", ("allow", "override_deny"), "blocked_by_override_deny"),
        ("full", (), "blocked_no_rule"),
        ("selective", ("deny",), "blocked_by_boundary"),
        ("selective", (), "potentially_blocked"),
        ("visibility_only", ("deny",), "potentially_blocked_by_boundary"),
        ("visibility_only", ("override_deny",), "potentially_blocked_by_override_deny"),
        ("visibility_only", (), "potentially_blocked"),
        ("idle", ("allow",), "unknown"),
    ],
)
def test_the_decision_in_the_clients_words(mode, actions, word):
    """By mode and by the kinds of rules that match; the rules are listed by kind."""
    rules = tuple(
        Rule(f"rule_sets/1/{action}", action, EVERYBODY, EVERYBODY, (Service(proto=6),))
        for action in actions
    )
    workload = Workload("w", addresses=("10.0.0.1",), enforcement_mode=mode)
    estate = Estate(workloads=(workload,), rule_sets=(RuleSet("1", rules),))
    here = end_at(estate, "10.0.0.1", "w")
    said = draft_decision(explain(RuleIndex(estate), here, here, Traffic(6, 80)), str.upper)
    assert said["draft_policy_decision"] == word
    for action, attribute in (
        ("allow", "rules"),
        ("deny", "deny_rules"),
        ("override_deny", "override_deny_rules"),
    ):
        expected = [{"href": f"RULE_SETS/1/{action.upper()}"}] if action in actions else []
        assert said[attribute] == expected
