"""Which rules a limited ruleset manager may write. Pure.

Both sides of such a rule are hosts within the scopes of its rule set, so nobody beyond can be
reached by it. A list of what may be, lest a kind of actor that is added later be let through.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

_ACTORS = ("label", "workload")
_UNSET = (
    *("unscoped_consumers", "use_workload_subnets", "consuming_security_principals"),
    *("all_ips_except_for_in_consumers", "all_ips_except_for_in_providers"),
)


def is_limited_edit(states: Sequence[Document]) -> bool:
    """Whether a rule set comes to be, goes or changes (one state or two) by rules of that kind
    alone. Rules that stay as they are may be of any kind, as long as the scopes stay, too."""
    first, last = states[0], states[-1]
    if len(states) > 1 and first["scopes"] == last["scopes"]:
        if first.get("ip_tables_rules") != last.get("ip_tables_rules"):
            return False
        before, after = _rules(first), _rules(last)
        touched = [rule for rule in (*before, *after) if rule not in before or rule not in after]
    else:
        if any(state.get("ip_tables_rules") for state in states):
            return False
        touched = [rule for state in states for rule in _rules(state)]
    return all(_is_limited(rule) for rule in touched)


def _rules(rule_set: Document) -> list[Document]:
    return [rule for kind in ("rules", "deny_rules") for rule in rule_set.get(kind) or ()]


def _is_limited(rule: Document) -> bool:
    sides: Iterable[Document] = (*rule["providers"], *rule["consumers"])
    resolved = (rule.get("resolve_labels_as") or {}).values()
    return (
        all(actor.get("actors") == "ams" or any(map(actor.get, _ACTORS)) for actor in sides)
        and not any(rule.get(name) for name in _UNSET)
        and all(side == ["workloads"] for side in resolved)
    )
