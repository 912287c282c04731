"""The simulated kernel decides what the document says."""

import pytest

from ven.core.kernel import Decision
from ven.edge.judgement import judge
from ven.edge.simulated import SimulatedKernel
from ven_protocol.policy import Firewall, PolicyDocument, Rule, Service

HOST, PEER, PEER6 = "10.0.0.1", "10.0.0.2", "2001:db8::2"


def policy(
    *rules: Rule, names: dict[str, list[str]] | None = None, **firewall: object
) -> PolicyDocument:
    return PolicyDocument(
        mode="full",
        visibility="flow_summary",
        sets={"s": [PEER]},
        names=names or {},
        rules=list(rules),
        firewall=Firewall(**firewall),  # type: ignore[arg-type]
    )


def allow(stateless: bool = False) -> Rule:
    services = [Service(proto=6, port=80)]
    return Rule(
        id="r", direction="in", action="allow", peers=["s"], services=services, stateless=stateless
    )


@pytest.mark.parametrize(
    ("setting", "direction", "peer", "proto", "port"),
    [
        ({"ipv6": "allowed"}, "in", PEER6, 6, 80),
        ({"allow_dhcp_client": True}, "in", PEER, 17, 68),
        ({"allow_dhcp_client": True}, "out", PEER, 17, 67),
        ({"allow_dhcp_client": True}, "in", PEER6, 17, 546),
        ({"allow_dhcp_client": True}, "out", PEER6, 17, 547),
        ({"allow_igmp": True}, "in", PEER, 2, 0),
    ],
)
def test_settings_let_pass_what_no_rule_allows(
    setting: dict[str, object], direction: str, peer: str, proto: int, port: int
) -> None:
    """And nothing does when they say the contrary."""
    closed = {"ipv6": "by_policy", "allow_dhcp_client": False, "allow_igmp": False}
    for given, decision in (
        (closed | setting, Decision.ALLOWED),
        (closed, Decision.BLOCKED),
    ):
        found = judge(policy(**given), direction, peer, proto, port)  # type: ignore[arg-type]
        assert found.decision == decision


def test_what_a_stateless_rule_allows_is_no_connection() -> None:
    """It passes and is not seen."""
    for stateless, seen in ((False, 2), (True, 0)):
        kernel = SimulatedKernel(addresses=[f"{HOST}/24"])
        kernel.apply(policy(allow(stateless)))
        events = kernel.connections()
        assert kernel.connect(PEER, HOST, 6, 80).decision == Decision.ALLOWED
        assert len(events.drain().items) == seen
        events.close()


def test_learned_addresses_count_only_for_sets_with_names() -> None:
    """And no longer when they are forgotten: an open connection ends."""
    address = bytes([192, 0, 2, 1])
    kernel = SimulatedKernel(addresses=[f"{HOST}/24"])
    kernel.learn({"s": frozenset([address])})
    kernel.apply(policy(allow()))
    assert kernel.connect("192.0.2.1", HOST, 6, 80).decision == Decision.BLOCKED
    kernel.apply(policy(allow(), names={"s": ["www.example.com"]}))
    assert kernel.connect("192.0.2.1", HOST, 6, 80, stays_open=True).decision == Decision.ALLOWED
    kernel.learn({})
    assert list(kernel.dump()) == []
