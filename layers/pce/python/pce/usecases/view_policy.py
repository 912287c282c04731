"""View policy as it concerns one workload: the rules that its firewall holds, with names."""

from collections.abc import Iterable
from typing import Any

import msgspec

from pce.errors import Invalid, Problem
from pce.objects.policy_content import PolicyContent
from pce.policy.rule_index import Held, RuleIndex
from pce.usecases.caller import Caller
from pce.usecases.find_ends import find_workload
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores


def policy_view(caller: Caller, version: str, href: str, stores: Stores) -> dict[str, Any]:
    """The rules that a workload's firewall holds in a policy version, by href and direction.

    Mode, visibility and firewall are said once; of each rule its action, services, peers (actors
    and scopes as the rule names them) and whether it is stateless. In mode ``idle`` the VEN is
    given none of them. Raises :class:`Invalid`, :class:`NotFound`. Cost: one read of the workload,
    :func:`read_policy`, 200 microseconds for each rule found.
    """
    if not href:
        message = "the query parameter workload is required: the href of a workload"
        raise Invalid(Problem("invalid_query_parameter", message, "workload"))
    workload = find_workload(caller, href, stores)
    content = read_policy(caller.org_id, version, stores)
    estate = content.estate([workload])
    [facts] = estate.workloads
    index = RuleIndex(estate)
    kind = index.kinds.of(facts)
    return {
        "workload": content.brief_workload(workload),
        "pversion": version,
        "version": content.number,
        "enforcement_mode": kind.mode,
        "visibility_level": kind.visibility,
        "firewall": msgspec.to_builtins(kind.firewall),
        "rules": _shown(content, index.held_by(facts)),
        "not_enforced": [{"href": content.href(id)} for id in kind.not_enforced],
    }


def _shown(content: PolicyContent, held: Iterable[Held]) -> list[dict[str, Any]]:
    """One entry for each rule, direction, and set of services (of virtual services each)."""
    by_line: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in held:
        rule = one.rule
        peers = rule.consumers if one.direction == "in" else rule.providers
        shown = by_line.setdefault(
            (rule.id, one.direction, one.join.part),
            {
                **content.brief_rule(rule.id),
                "action": rule.action,
                "direction": one.direction,
                "scopes": [],
                "peers": [content.actor(actor) for actor in peers],
                "services": [msgspec.to_builtins(service) for service in one.join.services],
                "stateless": rule.stateless,
            },
        )
        row = [content.actor(entry) for entry in one.scope]
        if row not in shown["scopes"]:
            shown["scopes"].append(row)
    return list(by_line.values())
