"""What is wrong with the VEN, as every heartbeat tells it; pure."""

from ven.core.policy_state import MESSAGE_CHARACTERS, PolicyState
from ven_protocol.messages import HealthCondition

CUSTOM_RULES = "custom_iptables_rules_not_enforced"


def conditions(policy: PolicyState) -> list[HealthCondition]:
    """Everything that is wrong now, the worst first; empty when all is well."""
    found = [policy.trouble] if policy.trouble else []
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


def custom_rules(hrefs: list[str]) -> str:
    """Which custom rules this host does not enforce, and why, for people."""
    count = f"{len(hrefs)} custom iptables rule" + ("s" if len(hrefs) > 1 else "")
    return f"{count} not enforced, because this host has nftables: {', '.join(hrefs)}"
