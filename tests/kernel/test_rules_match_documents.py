"""The kernel decides what the policy engine says the document means."""

import random
import socket
from itertools import product

import pytest

from pce.policy.evaluate import evaluate
from pce.policy.traffic import Traffic
from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import ProtectedHost, eventually, policy
from ven.core.kernel import Decision
from ven_protocol.messages import EnforcementMode
from ven_protocol.policy import Firewall, PolicyDocument, Rule, Service

PORTS = (80, 81, 90)
TCP = 6
VERDICTS = {
    Decision.ALLOWED: "allowed",
    Decision.POTENTIALLY_BLOCKED: "potentially_blocked",
    Decision.BLOCKED: "blocked",
}


def random_policy(dice: random.Random, mode: EnforcementMode) -> PolicyDocument:
    members = [
        "10.77.0.1", "10.77.0.3", "10.77.0.0/30", "10.77.0.2-10.77.0.9", "0.0.0.0/0",
        "fd77::1", "fd77::3", "fd77::/127", "fd77::3-fd77::ffff", "::/0",
    ]  # fmt: skip
    services = [
        Service(proto=-1),
        Service(proto=TCP),
        Service(proto=17),
        Service(proto=TCP, port=80),
        Service(proto=TCP, port=80, to_port=85),
        Service(proto=-1, port=90),
    ]
    sets = {name: sorted(dice.sample(members, dice.randint(0, 3))) for name in ("a", "b", "c")}
    rules = [
        Rule(
            id=f"rule {number}",
            direction=dice.choice(["in", "out"]),  # type: ignore[arg-type]
            action=dice.choice(["allow", "allow", "deny", "override_deny"]),  # type: ignore[arg-type]
            peers=dice.sample(list(sets), dice.randint(0, 2)),
            services=dice.sample(services, dice.randint(1, 2)),
        )
        for number in range(dice.randint(0, 6))
    ]
    return policy(
        mode,
        sets,
        *rules,
        firewall=Firewall(ipv6="blocked_in_full" if dice.random() < 0.2 else "by_policy"),
    )


def start(source: Host, target: Host, port: int, family: int) -> socket.socket:
    """A connection attempt that is under way."""
    with source.entered():
        client = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
    client.setblocking(False)
    client.connect_ex((target.address(family), port))
    return client


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["visibility_only", "selective", "full"])
def test_kernel_and_policy_engine_agree(
    network: Network, db: ProtectedHost, mode: EnforcementMode
) -> None:
    """Random documents: every connection, in and out, IPv4 and IPv6, is decided as defined, and the
    decision is told: of what passes by its mark, of what does not by the drop log."""
    hosts = {name: network[name] for name in ("web", "other")}
    servers = [
        host.listen(port, family)
        for host, port, family in product((*hosts.values(), db.host), PORTS, (4, 6))
    ]
    dice = random.Random(f"policy {mode}")
    for _ in range(12):
        document = random_policy(dice, mode)
        db.apply(document)
        db.observe()
        db.began.clear()
        db.dropped.clear()
        expected: dict[tuple[object, ...], str] = {}
        clients = []
        for peer, port, family, direction in product(hosts.values(), PORTS, (4, 6), ("I", "O")):
            source, target = (peer, db.host) if direction == "I" else (db.host, peer)
            clients.append(start(source, target, port, family))
            ends = tuple(
                socket.inet_pton(clients[-1].family, host.address(family))
                for host in (source, target)
            )
            expected[(*ends, port)] = evaluate(
                document,
                "in" if direction == "I" else "out",
                peer.address(family),
                Traffic(proto=TCP, port=port),
            ).verdict

        def seen() -> dict[tuple[object, ...], str]:
            db.observe()
            found = [(c.src, c.dst, c.dst_port, c.decision) for c in db.began if c.proto == TCP]
            found += [(d.src, d.dst, d.dst_port, d.decision) for d in db.dropped if d.proto == TCP]
            return {(src, dst, port): VERDICTS[decision] for src, dst, port, decision in found}

        attempts = len(clients)
        eventually(lambda attempts=attempts: len(seen()) >= attempts)  # type: ignore[misc]
        assert seen() == expected, document
        for client in clients:
            client.close()
    for server in servers:
        server.close()
