"""View policy as it concerns one workload: the rules that its firewall holds, with names."""

import gzip
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pce.errors import Invalid, PceError, Problem
from pce.objects.hrefs import ACTIVE
from pce.objects.policy_content import PolicyContent
from pce.policy.questions.rule_index import Held, RuleIndex
from pce.usecases.caller import Caller
from pce.usecases.fetch_policy import fetch_policy
from pce.usecases.find_ends import find_workload
from pce.usecases.read_containers import workloads_by_id
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores
from ven_protocol.policy import PolicyReply


def policy_view(caller: Caller, version: str, href: str, stores: Stores) -> dict[str, Any]:
    """The rules that a workload's firewall holds in a policy version, by href and direction.

    Mode, visibility and firewall are said once; of each rule its action, services, peers (actors
    and scopes as the rule names them) and whether it is stateless. In mode ``idle`` the VEN is
    given none of them. ``addresses`` is how many its peers have in the policy that the VEN is to
    hold: null in other versions than the active one, and until that is computed.

    Raises :class:`Invalid`, :class:`NotFound`. Cost: one read of the workload, :func:`read_policy`,
    200 microseconds for each rule found; of the active version :func:`fetch_policy`.
    """
    if not href:
        message = "the query parameter workload is required: the href of a workload"
        raise Invalid(Problem("invalid_query_parameter", message, "workload"))
    workload = find_workload(caller, href, stores)
    content = read_policy(caller.org_id, version, stores)
    estate = content.estate([workload])
    [facts] = estate.workloads
    index = RuleIndex(estate)
    sizes = _set_sizes(caller, facts.id, stores) if version == ACTIVE else {}
    kind = index.kinds.of(facts)
    held = list(index.held_by(facts))
    return {
        "workload": content.brief_workload(workload),
        "pversion": version,
        "version": content.number,
        "enforcement_mode": kind.mode,
        "visibility_level": kind.visibility,
        "firewall": msgspec.to_builtins(kind.firewall),
        "rules": _shown(_with_names(caller, content, held, stores), held, sizes),
        "not_enforced": [{"href": content.href(id)} for id in kind.not_enforced],
    }


def _with_names(
    caller: Caller, content: PolicyContent, held: Iterable[Held], stores: Stores
) -> PolicyContent:
    """The content with the workloads that these rules name."""
    actors = {a for one in held for a in (*one.rule.providers, *one.rule.consumers)}
    ids = {actor.id for actor in actors if actor.kind == "workload"}
    return replace(content, workloads=workloads_by_id(caller.org_id, ids, stores))


def _set_sizes(caller: Caller, workload_id: str, stores: Stores) -> dict[str, int]:
    """Set id to number of members, of the policy that the VEN is to hold; none when it has none, or
    it cannot be put together now."""
    row = stores.presence.get(caller.org_id, uuid.UUID(workload_id))
    if row is None:
        return {}
    try:
        body = fetch_policy(row, "", stores).gzipped or b""
    except PceError:
        return {}
    document = msgspec.json.decode(gzip.decompress(body), type=PolicyReply).document
    return {id: len(members) for id, members in document.sets.items()} if document else {}


def _shown(
    content: PolicyContent, held: Iterable[Held], sizes: Mapping[str, int]
) -> list[dict[str, Any]]:
    """One entry for each rule, direction, and set of services (of virtual services each)."""
    lines: dict[tuple[str, str, str], list[Held]] = {}
    for one in held:
        lines.setdefault((one.rule.id, one.direction, one.join.part), []).append(one)
    return [_shown_line(content, line, sizes) for line in lines.values()]


def _shown_line(
    content: PolicyContent, line: Sequence[Held], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """``line``: what is held of one rule through each row of its scopes."""
    rule, direction = line[0].rule, line[0].direction
    sets = {selector.set_id for one in line for selector in one.peers}
    rows = dict.fromkeys(one.scope for one in line)
    return {
        **content.brief_rule(rule.id),
        "action": rule.action,
        "direction": direction,
        "scopes": [[content.actor(entry) for entry in row] for row in rows],
        "peers": [
            content.actor(actor)
            for actor in (rule.consumers if direction == "in" else rule.providers)
        ],
        "addresses": sum(sizes[id] for id in sets) if sets <= sizes.keys() else None,
        "services": [msgspec.to_builtins(service) for service in line[0].join.services],
        "stateless": rule.stateless,
    }
