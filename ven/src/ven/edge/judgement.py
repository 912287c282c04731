"""What a policy document says of one connection, worked out the slow and obvious way.

It is how the simulated kernel decides.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Literal

from msgspec import Struct

from ven.core.kernel import Decision
from ven_protocol.policy import PolicyDocument, RuleAction, Service

_TIERS: tuple[RuleAction, ...] = ("override_deny", "allow", "deny")
_IGMP, _UDP = 2, 17
_DHCP_PORTS: tuple[dict[str, int], ...] = ({"in": 68, "out": 67}, {"in": 546, "out": 547})
"""Of clients and servers; DHCP and DHCPv6."""
_QUALIFIER = {"override_deny": 2, "allow": 0, "deny": 1}


class Judgement(Struct, frozen=True):
    """What a document says of one connection attempt."""

    decision: Decision
    qualifier: int = 0
    """Why it is (potentially) blocked: 0 no rule, 1 deny rule, 2 override deny."""
    tracked: bool = True
    """False when a stateless rule allows it: no connection is seen."""


def judge(
    document: PolicyDocument,
    direction: Literal["in", "out"],
    peer: str,
    proto: int,
    port: int = 0,
    learned: Mapping[str, frozenset[bytes]] | None = None,
) -> Judgement:
    """What a host that holds ``document``, and has ``learned`` these addresses of the names in its
    sets, does with a connection from or to ``peer``."""
    if document.mode == "idle":
        return Judgement(Decision.UNKNOWN)
    if ":" in peer and document.firewall.ipv6 == "allowed":
        return Judgement(Decision.ALLOWED)
    if _always_passes(document, direction, peer, proto, port):
        return Judgement(Decision.ALLOWED)
    if document.mode == "full" and document.firewall.ipv6 == "blocked_in_full" and ":" in peer:
        return Judgement(Decision.BLOCKED)
    named = {name: (learned or {}).get(name, frozenset()) for name in document.names}
    packed = ip_address(peer).packed
    found = [
        rule
        for rule in document.rules
        if rule.direction == direction
        and any(_serves(service, proto, port) for service in rule.services)
        and any(
            packed in named.get(name, ())
            or any(_holds(member, peer) for member in document.sets[name])
            for name in rule.peers
        )
    ]
    tier = next((tier for tier in _TIERS if any(rule.action == tier for rule in found)), None)
    if tier == "allow":
        stateless = any(rule.stateless for rule in found if rule.action == "allow")
        return Judgement(Decision.ALLOWED, tracked=not stateless)
    blocks = document.mode == "full" or (document.mode == "selective" and tier is not None)
    decision = Decision.BLOCKED if blocks else Decision.POTENTIALLY_BLOCKED
    return Judgement(decision, _QUALIFIER[tier] if tier else 0)


def _always_passes(
    document: PolicyDocument, direction: Literal["in", "out"], peer: str, proto: int, port: int
) -> bool:
    """What the firewall settings let pass beside the rules. (Of ICMP nothing is known here.)"""
    settings = document.firewall
    if proto == _IGMP:
        return settings.allow_igmp
    return settings.allow_dhcp_client and (proto, port) == (
        _UDP,
        _DHCP_PORTS[":" in peer][direction],
    )


def _serves(service: Service, proto: int, port: int) -> bool:
    if service.proto not in (-1, proto) or service.icmp_type is not None:
        return False
    if service.port is None:
        return True
    return service.port <= port <= (service.to_port or service.port)


def _holds(member: str, peer: str) -> bool:
    address = ip_address(peer)
    first, dash, last = member.partition("-")
    if not dash:
        return address in ip_network(member)
    low, high = ip_address(first), ip_address(last)
    return low.version == address.version and int(low) <= int(address) <= int(high)
