"""What a host that enforces a document does with a connection: the document's meaning."""

from typing import Literal

from pce.policy.addresses import interval, member_interval
from pce.policy.traffic import Judgement, Traffic, judge, service_matches
from ven_protocol.policy import PolicyDocument


def evaluate(
    document: PolicyDocument, direction: Literal["in", "out"], peer: str, traffic: Traffic
) -> Judgement:
    """Judge traffic between this host and the address ``peer``, by the document alone.

    ``in``: the peer connects to this host. Rule ids are those of the document. Cost: linear in the
    members of the sets of the matching rules; this is a definition, not a firewall.
    """
    version, number, _ = interval(peer)
    if version == 6 and document.mode != "idle":
        if document.firewall.ipv6 == "allowed":
            return Judgement("allowed")
        if document.firewall.ipv6 == "blocked_in_full" and document.mode == "full":
            return Judgement("blocked")

    def holds(set_id: str) -> bool:
        return any(
            member_version == version and first <= number <= last
            for member_version, first, last in map(member_interval, document.sets[set_id])
        )

    return judge(
        document.mode,
        (
            (rule.action, rule.id)
            for rule in document.rules
            if rule.direction == direction
            and any(service_matches(service, traffic) for service in rule.services)
            and any(holds(set_id) for set_id in rule.peers)
        ),
    )
