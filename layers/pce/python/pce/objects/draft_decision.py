"""What a flow record says of the draft policy, in the words that clients know."""

from collections.abc import Callable
from typing import Any

from pce.policy.questions.explain import Explanation, Reading
from ven_protocol.policy import RuleAction

_ATTRIBUTES: dict[RuleAction, str] = {
    "allow": "rules",
    "deny": "deny_rules",
    "override_deny": "override_deny_rules",
}


def draft_decision(explanation: Explanation, href: Callable[[str], str]) -> dict[str, Any]:
    """``draft_policy_decision``, and the matching rules of each kind at either end by href, sorted.

    ``href`` makes one of what stands behind the policy version. Ordinary deny rules are called
    boundaries.
    """
    readings = (explanation.source, explanation.destination)
    by_action: dict[RuleAction, set[str]] = {action: set() for action in _ATTRIBUTES}
    for reading in readings:
        for match in (*reading.deciding, *reading.overridden):
            by_action[match.rule.action].add(match.rule.id)
    strictest = next(r for r in readings if r.verdict == explanation.verdict)
    return {
        "draft_policy_decision": _word(strictest, across=bool(by_action["deny"])),
        **{
            attribute: [{"href": href(id)} for id in sorted(by_action[action])]
            for action, attribute in _ATTRIBUTES.items()
        },
    }


def _word(reading: Reading, *, across: bool) -> str:
    """``across``: there is a deny rule that the decision overrides, or that makes it."""
    by = reading.deciding[0].rule.action if reading.deciding else None
    match reading.verdict:
        case "allowed":
            return "allowed_across_boundary" if across and by == "allow" else "allowed"
        case "blocked" | "potentially_blocked":
            if by is None:
                blocked = reading.verdict == "blocked"
                return "blocked_no_rule" if blocked else "potentially_blocked"
            return (
                f"{reading.verdict}_by_{'override_deny' if by == 'override_deny' else 'boundary'}"
            )
        case unknown:
            return unknown
