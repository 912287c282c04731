"""One connection attempt, and what becomes of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ven_protocol.messages import EnforcementMode
from ven_protocol.policy import RuleAction, Service

Verdict = Literal["unknown", "allowed", "potentially_blocked", "blocked"]
"""From mildest to strictest. ``potentially_blocked`` passes now and would not under full
enforcement; ``unknown`` is the answer where no VEN filters (no VEN, or mode ``idle``)."""

_STRICTNESS: tuple[Verdict, ...] = ("unknown", "allowed", "potentially_blocked", "blocked")
_TIERS: tuple[RuleAction, ...] = ("override_deny", "allow", "deny")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a packet that opens a connection says beside its addresses."""

    proto: int
    port: int | None = None
    """Destination port, of protocols that have ports."""
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one host's firewall does, and the rules that say so."""

    verdict: Verdict
    rules: frozenset[str] = frozenset()
    """Ids of all matching rules of the deciding tier; empty when the mode's default decides."""


def service_matches(service: Service, traffic: Traffic) -> bool:
    """Is this traffic the service's? What the service leaves open, anything fits."""
    if service.proto not in (-1, traffic.proto):
        return False
    if service.port is not None:
        last = service.port if service.to_port is None else service.to_port
        if traffic.port is None or not service.port <= traffic.port <= last:
            return False
    return service.icmp_type in (None, traffic.icmp_type) and service.icmp_code in (
        None,
        traffic.icmp_code,
    )


def judge(mode: EnforcementMode, matching: Iterable[tuple[RuleAction, str]]) -> Judgement:
    """What a host in this mode does, given action and id of every rule that matches.

    The strongest tier that has a rule decides: override deny, allow, deny. Without any the default
    does: ``full`` blocks. Modes that do not block say what ``full`` would.
    """
    if mode == "idle":
        return Judgement("unknown")
    rules = list(matching)
    for tier in _TIERS:
        ids = frozenset(rule_id for action, rule_id in rules if action == tier)
        if ids and tier == "allow":
            return Judgement("allowed", ids)
        if ids:
            blocks = mode in ("selective", "full")
            return Judgement("blocked" if blocks else "potentially_blocked", ids)
    return Judgement("blocked" if mode == "full" else "potentially_blocked")


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """What becomes of traffic that several hosts judge; ``unknown`` when none does."""
    return max(verdicts, key=_STRICTNESS.index, default="unknown")
