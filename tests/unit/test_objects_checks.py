"""Checks of policy objects, against what is obviously right."""

from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pce.errors import Invalid
from pce.objects.ip_list import IP_LISTS
from pce.objects.ip_tables_rule import known_custom_rules
from pce.objects.label_group import cycle
from pce.objects.rule_set import scope_key_problems

NODES = st.sampled_from("abcde")


@given(st.dictionaries(NODES, st.lists(NODES, max_size=3)))
def test_a_cycle_is_found_when_there_is_one(groups: dict[str, list[str]]) -> None:
    """Exactly when some group reaches itself; what is named is a way around."""
    reached = {group: set(inside) for group, inside in groups.items()}
    for _ in groups:
        for inside in reached.values():
            inside |= {far for near in inside & reached.keys() for far in reached[near]}
    circle = cycle(groups)
    assert bool(circle) == any(group in inside for group, inside in reached.items())
    if circle:
        assert circle[0] == circle[-1]
        assert all(inner in groups[outer] for outer, inner in pairwise(circle))


def test_a_long_chain_of_groups_is_no_deep_recursion() -> None:
    """10,000 groups, each in the next one."""
    chain = {str(number): [str(number + 1)] for number in range(10_000)}
    assert cycle(chain) == []
    assert len(cycle(chain | {"10000": ["0"]})) == 10_002


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 5), st.booleans(), st.booleans()), max_size=6
    )
)
def test_ranges_of_a_kind_share_no_address(
    parts: list[tuple[int, int, bool, bool]],
) -> None:
    """A list is refused exactly when two of its ranges, both included or both excluded, overlap."""
    spans = [
        (low, low + size, exclusion, "::" if six else "10.0.0.")
        for low, size, exclusion, six in parts
    ]
    ranges = [
        {
            "from_ip": f"{prefix}{low:x}" if prefix == "::" else f"{prefix}{low}",
            "to_ip": f"{prefix}{high:x}" if prefix == "::" else f"{prefix}{high}",
            "exclusion": exclusion,
        }
        for low, high, exclusion, prefix in spans
    ]
    overlap = any(
        one[2:] == other[2:] and one[0] <= other[1] and other[0] <= one[1]
        for one, other in combinations(spans, 2)
    )
    body = {"name": "n", "ip_ranges": ranges, "fqdns": [{"fqdn": "a"}]}
    if overlap:
        with pytest.raises(Invalid) as refused:
            IP_LISTS.new_document(body)
        assert {problem.token for problem in refused.value.problems} == {"ip_ranges_overlap"}
    else:
        IP_LISTS.new_document(body)


def custom(parameters: str, href: str | None = None) -> dict[str, Any]:
    rule = {"enabled": True, "description": None, "parameters": parameters}
    return {"href": href, **rule} if href else rule


@pytest.mark.parametrize(
    ("sent", "hrefs"),
    [
        ([custom("a"), custom("b")], ["r/1", "r/2"]),
        ([custom("b"), custom("a")], ["r/2", "r/1"]),
        ([custom("changed", "r/1"), custom("b")], ["r/1", "r/2"]),
        ([custom("a"), custom("b", "r/1")], [None, "r/1"]),
        ([custom("a"), custom("a")], ["r/1", None]),
        ([custom("new"), custom("b", "r/9")], [None, "r/2"]),
        ([], []),
    ],
)
def test_custom_rules_are_known_again(sent: list[dict[str, Any]], hrefs: list[str | None]) -> None:
    """By the href that they say, else by what they say; none is two of those before."""
    before = [custom("a", "r/1"), custom("b", "r/2")]
    known = known_custom_rules(sent, before)
    assert [rule.get("href") for rule in known] == hrefs
    assert [rule["parameters"] for rule in known] == [rule["parameters"] for rule in sent]


def test_exclusions_of_a_scope_may_repeat_its_keys() -> None:
    """All of a group but one of its labels is a scope that selects something."""
    named = {"g": {"key": "app"}, "l": {"key": "app"}, "e": {"key": "env"}}
    group, label = {"label_group": {"href": "g"}}, {"label": {"href": "l"}}
    fine = [[group, {**label, "exclusion": True}, {"label": {"href": "e"}}], [label]]
    assert list(scope_key_problems(fine, "scopes", named)) == []
    [problem] = scope_key_problems([[group], [group, label]], "scopes", named)
    assert problem.field == "scopes[1]" and "'app'" in problem.message
