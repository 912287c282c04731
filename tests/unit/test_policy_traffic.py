"""Which traffic a service is, and which rule decides."""

import pytest

from pce.policy.traffic import Judgement, Traffic, judge, service_matches, strictest
from ven_protocol.policy import Service


@pytest.mark.parametrize(
    ("service", "traffic", "matches"),
    [
        (Service(proto=-1), Traffic(47), True),
        (Service(proto=6), Traffic(6, 80), True),
        (Service(proto=6), Traffic(17, 80), False),
        (Service(proto=6, port=80), Traffic(6, 80), True),
        (Service(proto=6, port=80), Traffic(6, 81), False),
        (Service(proto=6, port=80), Traffic(6), False),
        (Service(proto=6, port=80, to_port=90), Traffic(6, 80), True),
        (Service(proto=6, port=80, to_port=90), Traffic(6, 90), True),
        (Service(proto=6, port=80, to_port=90), Traffic(6, 91), False),
        (Service(proto=6, port=0), Traffic(6, 1), False),
        (Service(proto=1), Traffic(1, icmp_type=8, icmp_code=0), True),
        (Service(proto=1, icmp_type=8), Traffic(1, icmp_type=8, icmp_code=3), True),
        (Service(proto=1, icmp_type=8), Traffic(1, icmp_type=0, icmp_code=0), False),
        (Service(proto=1, icmp_type=3, icmp_code=1), Traffic(1, icmp_type=3, icmp_code=4), False),
        (Service(proto=1, icmp_type=8), Traffic(58, icmp_type=8, icmp_code=0), False),
    ],
)
def test_service_matches(service, traffic, matches):
    """Protocol, port range with both ends, ICMP type and code; what is not said fits anything."""
    assert service_matches(service, traffic) is matches


OVERRIDE, ALLOW, DENY = ("override_deny", "o"), ("allow", "a"), ("deny", "d")


@pytest.mark.parametrize(
    ("matching", "full", "selective", "visibility_only", "rules"),
    [
        ([OVERRIDE, ALLOW, DENY], "blocked", "blocked", "potentially_blocked", {"o"}),
        ([ALLOW, DENY], "allowed", "allowed", "allowed", {"a"}),
        ([DENY], "blocked", "blocked", "potentially_blocked", {"d"}),
        ([], "blocked", "potentially_blocked", "potentially_blocked", set()),
        ([ALLOW, ("allow", "b")], "allowed", "allowed", "allowed", {"a", "b"}),
    ],
)
def test_tiers_and_modes(matching, full, selective, visibility_only, rules):
    """Override deny, then allow, then deny, then the mode's default, which only full blocks."""
    assert judge("full", matching) == Judgement(full, frozenset(rules))
    assert judge("selective", matching) == Judgement(selective, frozenset(rules))
    assert judge("visibility_only", matching) == Judgement(visibility_only, frozenset(rules))
    assert judge("idle", matching) == Judgement("unknown")


def test_the_stricter_end_decides():
    """An end without a filter never hides what the other end does."""
    assert strictest(("unknown", "allowed")) == "allowed"
    assert strictest(("allowed", "potentially_blocked")) == "potentially_blocked"
    assert strictest(("blocked", "allowed")) == "blocked"
    assert strictest(()) == "unknown"
