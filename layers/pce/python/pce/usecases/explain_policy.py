"""Explain a connection: what policy makes of it at both ends, and which rules say so."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pce.identifiers import tail
from pce.objects.connection import asked_end, asked_traffic, shown_traffic
from pce.objects.policy_content import PolicyContent
from pce.policy.estate import Actor
from pce.policy.questions.ends import End, end_at
from pce.policy.questions.explain import Reading, explain
from pce.policy.questions.rule_index import Match, RuleIndex
from pce.policy.traffic import Traffic
from pce.usecases.caller import Caller
from pce.usecases.find_ends import FoundEnd, FoundEnds, find_ends
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores


def explain_policy(
    caller: Caller, versions: Sequence[str], query: Mapping[str, str], stores: Stores
) -> dict[str, Any]:
    """What becomes of a connection in each of these policy versions, and why.

    The query names ``src`` and ``dst`` (an address, or a workload's href with ``src_address``,
    ``dst_address`` when it has several), ``proto``, and ``port`` or ``icmp_type`` and
    ``icmp_code``. Enforcement modes, addresses and labels are those of now.

    Raises :class:`Invalid` naming a parameter, :class:`NotFound` for a workload or version. Cost:
    :func:`find_ends`, and for each version :func:`read_policy` and 30 microseconds a rule.
    """
    traffic = asked_traffic(query)
    found = find_ends(
        caller,
        asked_end(query, "src", "src_address"),
        asked_end(query, "dst", "dst_address"),
        stores,
    )
    contents = [read_policy(caller.org_id, version, stores) for version in versions]
    return {
        "source": _shown_end(found.source, contents[0]),
        "destination": _shown_end(found.destination, contents[0]),
        "service": shown_traffic(traffic),
        "decisions": [_decision(content, found, traffic) for content in contents],
    }


def _decision(content: PolicyContent, found: FoundEnds, traffic: Traffic) -> dict[str, Any]:
    estate = content.estate(found.workloads)
    index = RuleIndex(estate)
    source, destination = (
        end_at(estate, end.address, tail(end.workload["href"]) if end.workload else None)
        for end in (found.source, found.destination)
    )
    explained = explain(index, source, destination, traffic)

    def shown(reading: Reading) -> dict[str, Any]:
        return {
            "decision": reading.verdict,
            "because": reading.because,
            **{
                name: _shown_matches(matches, content, index, source, destination)
                for name, matches in (
                    ("rules", reading.deciding),
                    ("overridden_rules", reading.overridden),
                    ("rules_if_named", reading.if_named),
                )
            },
        }

    return {
        "pversion": content.version,
        "version": content.number,
        "decision": explained.verdict,
        "source": shown(explained.source),
        "destination": shown(explained.destination),
    }


def _shown_matches(
    matches: Iterable[Match],
    content: PolicyContent,
    index: RuleIndex,
    source: End,
    destination: End,
) -> list[dict[str, Any]]:
    """Each rule once, with every row of its scopes through which it matches."""
    by_rule: dict[str, dict[str, Any]] = {}
    for match in matches:
        rule = match.rule

        def meaning(actors: Iterable[Actor], end: End) -> list[dict[str, Any]]:
            return [content.actor(a) for a in actors if not a.exclusion and index.means(a, end)]

        shown = by_rule.setdefault(
            rule.id,
            {
                **content.brief_rule(rule.id),
                "action": rule.action,
                "scopes": [],
                "providers": meaning(rule.providers, destination),
                "consumers": meaning(rule.consumers, source),
            },
        )
        row = [content.actor(entry) for entry in match.scope]
        if row not in shown["scopes"]:
            shown["scopes"].append(row)
    return list(by_rule.values())


def _shown_end(end: FoundEnd, content: PolicyContent) -> dict[str, Any]:
    workload = None if end.workload is None else content.brief_workload(end.workload)
    return {"address": end.address, "workload": workload}
