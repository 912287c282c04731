"""The document of one workload alone is what the full recompute gives it."""

from hypothesis import given, settings

from pce.policy.estate import Estate
from pce.policy.questions.one_document import Documents
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.recompute import recompute
from tests.property.policy_estates import estates


@settings(max_examples=150, deadline=None)
@given(estates)
def test_one_document_is_the_recomputes(estate: Estate) -> None:
    """Mode, firewall, lines, sets with their members, names: all of it."""
    documents = recompute(estate).documents
    alone = Documents(RuleIndex(estate))
    for workload in estate.workloads:
        if workload.managed:
            assert alone.of(workload) == documents[workload.id]
