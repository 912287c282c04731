"""What is wrong with the VEN, as every heartbeat tells it; pure."""

from ven.core.policy_state import MESSAGE_CHARACTERS, PolicyState
from ven.core.reports import ReportState, refusals
from ven_protocol.limits import CLOCK_TOLERANCE_S
from ven_protocol.messages import HealthCondition

CUSTOM_RULES = "custom_iptables_rules_not_enforced"
CLOCK_OFF = "host_clock_off"
STEP_S = 60
"""What is said of the clock is said in minutes, and again only when it is off by a minute more or
less: another message costs the PCE an event."""


def conditions(
    policy: PolicyState, reports: ReportState, clock_off_s: int
) -> list[HealthCondition]:
    """Everything that is wrong now, the worst first; empty when all is well. ``clock_off_s``: as
    :func:`clock_off` has it."""
    found = [policy.trouble] if policy.trouble else []
    for kind, why in refusals(reports).items():
        found.append(
            HealthCondition(
                code=f"{kind}_report_refused",
                # Peers do not know the addresses that are in none.
                severity="error" if kind == "interfaces" else "warning",
                message=why[:MESSAGE_CHARACTERS],
            )
        )
    if clock_off_s:
        found.append(
            HealthCondition(code=CLOCK_OFF, severity="warning", message=clock(clock_off_s))
        )
    document = policy.document
    if document is not None and document.not_enforced:
        found.append(
            HealthCondition(
                code=CUSTOM_RULES,
                severity="warning",
                message=custom_rules(document.not_enforced)[:MESSAGE_CHARACTERS],
            )
        )
    return found


def clock_off(known_s: int, seen_s: float) -> int:
    """By how many seconds this host's clock is ahead of the PCE's, or behind it (negative), in
    whole minutes; 0 when nobody need know. ``known_s``: what was said last, ``seen_s``: what the
    PCE's latest reply shows."""
    if abs(seen_s) <= CLOCK_TOLERANCE_S - (STEP_S if known_s else 0):
        return 0
    if known_s and abs(seen_s - known_s) < STEP_S:
        return known_s
    return round(seen_s / STEP_S) * STEP_S


def clock(off_s: int) -> str:
    """What a wrong clock does, for people."""
    minutes = f"this host's clock is {abs(off_s) // 60} minutes"
    if off_s > 0:
        return f"{minutes} ahead of the PCE's: its flows wait until their time has come; set it"
    return (
        f"{minutes} behind the PCE's: its flows are recorded too early, and refused when that is"
        " more than a week; set it"
    )


def custom_rules(hrefs: list[str]) -> str:
    """Which custom rules this host does not enforce, and why, for people."""
    count = f"{len(hrefs)} custom iptables rule" + ("s" if len(hrefs) > 1 else "")
    return f"{count} not enforced, because this host has nftables: {', '.join(hrefs)}"
