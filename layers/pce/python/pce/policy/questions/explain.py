"""Why a connection is allowed or blocked: what both ends' firewalls do with it, and the rules that
say so.

A third statement of policy, beside ``decide`` (the definition) and the documents, made for an
answer in an API call: it looks at the rules that :class:`RuleIndex` finds and at no others. A
property test holds it and ``decide`` to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pce.policy.kinds import Kinds
from pce.policy.questions.ends import End
from pce.policy.questions.rule_index import Match, RuleIndex
from pce.policy.traffic import Judgement, Traffic, Verdict, judge, strictest

Because = Literal["stranger", "unmanaged", "idle", "ipv6", "rules", "default"]
"""No workload is there; it has no VEN; its VEN leaves the firewall alone; IPv6 is let through or
dropped whole there; rules match; none does, so the enforcement mode's default decides."""


@dataclass(frozen=True)
class Reading:
    """What one end's firewall does, and why."""

    verdict: Verdict
    because: Because
    deciding: tuple[Match, ...] = ()
    """Of the strongest tier that has a match, by rule id."""
    overridden: tuple[Match, ...] = ()
    """Matches of weaker tiers, and all where rules do not matter."""
    if_named: tuple[Match, ...] = ()
    """Rules that match as well if the peer's address is one of a domain name that they name: which
    addresses those are, each VEN finds out for itself."""


@dataclass(frozen=True)
class Explanation:
    """Both ends; the traffic passes when neither blocks."""

    verdict: Verdict
    """The stricter of the two."""
    source: Reading
    destination: Reading


def explain(index: RuleIndex, source: End, destination: End, traffic: Traffic) -> Explanation:
    """Explain one connection attempt. Each end is one address (``ends.end_at``).

    Cost: that of ``RuleIndex.matches``, twice when IP lists name domains.
    """
    found = list(index.matches(source, destination, traffic))
    named: list[Match] = []
    if any(ip_list.fqdns for ip_list in index.estate.ip_lists.values()):
        named = list(index.matches(_named(source), _named(destination), traffic))
    at_source = _read(
        index.kinds,
        source,
        destination,
        [match for match in found if match.at_source],
        [match for match in named if match.at_source],
    )
    at_destination = _read(
        index.kinds,
        destination,
        source,
        [match for match in found if match.at_destination],
        [match for match in named if match.at_destination],
    )
    verdict = strictest((at_source.verdict, at_destination.verdict))
    return Explanation(verdict, at_source, at_destination)


def _read(
    kinds: Kinds, end: End, peer: End, found: Sequence[Match], named: Sequence[Match]
) -> Reading:
    if end.host is None:
        return Reading("unknown", "stranger")
    if not end.host.managed:
        return Reading("unknown", "unmanaged")
    mode = end.host.enforcement_mode
    known = {(match.rule.id, match.scope, match.join.part) for match in found}
    if_named = tuple(m for m in named if (m.rule.id, m.scope, m.join.part) not in known)
    if mode == "idle":
        return Reading("unknown", "idle", overridden=tuple(found), if_named=if_named)
    ipv6 = kinds.of(end.host).firewall.ipv6
    version = peer.spans[0][0][0]
    if version == 6 and ipv6 == "allowed":
        return Reading("allowed", "ipv6", overridden=tuple(found))
    if version == 6 and ipv6 == "blocked_in_full" and mode == "full":
        return Reading("blocked", "ipv6", overridden=tuple(found))
    judgement: Judgement = judge(mode, ((match.rule.action, match.rule.id) for match in found))
    return Reading(
        verdict=judgement.verdict,
        because="rules" if judgement.rules else "default",
        deciding=tuple(match for match in found if match.rule.id in judgement.rules),
        overridden=tuple(match for match in found if match.rule.id not in judgement.rules),
        if_named=if_named,
    )


def _named(end: End) -> End:
    return replace(end, by_any_name=True)
