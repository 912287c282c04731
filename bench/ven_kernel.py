"""What the VEN's kernel edge costs: policies into nftables, events out of conntrack. Needs root."""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from bench.figure import Figure
from tests.kernel.namespaces import Network
from ven.core.ruleset import Ruleset, compile_ruleset
from ven.edge.conntrack import ConnectionEvents
from ven.edge.nftables import Firewall
from ven_protocol.policy import PolicyDocument, Rule, Service

REPEATS = 5
REPEATS_OF_MANY = 2
"""With 100,000 prefixes one round takes four seconds."""
DATAGRAMS = 5_000
"""Each begins a connection; fewer than the event buffer holds."""


def measure() -> list[Figure]:
    """Milliseconds of wall clock, the best of some rounds (others use the machine too); under a
    minute on a quiet machine; nothing without root."""
    if os.geteuid() != 0:
        return []
    figures: list[Figure] = []
    with Network("host", "peer") as network, tempfile.TemporaryDirectory() as folder:
        with network["host"].entered():
            firewall = Firewall(Path(folder))
            figures += _policies(firewall)
            figures += _sets(firewall)
            events = ConnectionEvents()
        figures += _events(network, events)
        with network["host"].entered():
            firewall.remove()
        events.close()
        firewall.close()
    return figures


def _policies(firewall: Firewall) -> list[Figure]:
    figures = []
    for count in (1_000, 10_000):
        addresses, prefixes = _addresses(count), _prefixes(count // 10)
        base = _ruleset(addresses + prefixes)
        bigger = _ruleset([*addresses, "10.255.255.1", *prefixes])
        wider = _ruleset([*addresses, *prefixes, "172.31.255.0/24"])
        other_rules = _ruleset(addresses + prefixes, port=444)

        def compile_(members: list[str] = addresses + prefixes) -> None:
            _ruleset(members)

        def first(base: Ruleset = base) -> None:
            firewall.remove()
            firewall.apply(base)

        def quiet() -> None:
            if not firewall.verify():
                raise AssertionError("somebody else changes this namespace")

        what = f"{count:,} addresses and {count // 10:,} prefixes"
        steps: list[tuple[str, Callable[[], None]]] = [
            (f"compile {what}", compile_),
            (f"first policy, {what}", first),
            ("... another rule", lambda: firewall.apply(other_rules)),  # noqa: B023
            ("... back", lambda: firewall.apply(base)),  # noqa: B023
            ("... one address more", lambda: firewall.apply(bigger)),  # noqa: B023
            ("... and less", lambda: firewall.apply(base)),  # noqa: B023
            ("... one prefix more", lambda: firewall.apply(wider)),  # noqa: B023
            ("... verify, undisturbed", quiet),
        ]
        figures += _timed(steps)
    return figures


def _sets(firewall: Firewall) -> list[Figure]:
    """One set of addresses (hash) or of prefixes (interval): a member comes, goes, and all are
    others. Each is one policy into the kernel, epoch included, without its compilation."""
    figures = []
    for count in (10_000, 100_000):
        for kind, made in (("addresses", _addresses), ("prefixes", _spaced_prefixes)):
            # Twice as many as needed: the second half replaces the first.
            members = made(2 * count + 1)
            base = _ruleset(members[:count])
            more = _ruleset([*members[:count], members[-1]])
            others = _ruleset(members[count : 2 * count])
            firewall.apply(base)
            what = f"{count:,} {kind}"
            steps: list[tuple[str, Callable[[], None]]] = [
                (f"add one to {what}", lambda: firewall.apply(more)),  # noqa: B023
                ("... delete one", lambda: firewall.apply(base)),  # noqa: B023
                ("... replace all", lambda: firewall.apply(others)),  # noqa: B023
                ("... replace all, back", lambda: firewall.apply(base)),  # noqa: B023
            ]
            figures += _timed(steps, REPEATS if count < 100_000 else REPEATS_OF_MANY)
    return figures


def _timed(steps: list[tuple[str, Callable[[], None]]], rounds: int = REPEATS) -> list[Figure]:
    """The best of some rounds, each through all steps."""
    spent: dict[str, list[float]] = {name: [] for name, _ in steps}
    for _ in range(rounds):
        for name, step in steps:
            began = time.perf_counter()
            step()
            spent[name].append((time.perf_counter() - began) * 1000)
    return [
        Figure(f"VEN kernel: {name}", min(times), "ms", None, within=True)
        for name, times in spent.items()
    ]


def _events(network: Network, events: ConnectionEvents) -> list[Figure]:
    """CPU of reading and decoding NEW events that waited."""
    with (
        contextlib.closing(network["peer"].listen(5353, kind=socket.SOCK_DGRAM)) as peer,
        contextlib.closing(network["host"].listen(5353, kind=socket.SOCK_DGRAM)),
    ):
        for number in range(DATAGRAMS):
            peer.sendto(b"", (network["host"].ipv4, 1024 + number))
    began = time.process_time()
    seen = 0
    while found := events.drain().items:
        seen += len(found)
    spent = (time.process_time() - began) * 1e6 / max(1, seen)
    return [Figure("VEN kernel: a connection event", spent, "us CPU", None, within=True)]


def _ruleset(members: list[str], port: int = 443) -> Ruleset:
    ruleset = compile_ruleset(
        PolicyDocument(
            mode="selective",
            visibility="flow_summary",
            sets={"peers": members},
            rules=[
                Rule(
                    id="rule",
                    direction="in",
                    action="allow",
                    peers=["peers"],
                    services=[Service(proto=6, port=port)],
                )
            ],
        )
    )
    if ruleset is None:
        raise AssertionError("mode selective has a table")
    return ruleset


def _addresses(count: int) -> list[str]:
    first = int(ip_address("10.0.0.1"))
    return [str(ip_address(first + 7 * n)) for n in range(count)]


def _spaced_prefixes(count: int) -> list[str]:
    """They do not touch, so they stay as many ranges."""
    first = int(ip_address("11.0.0.0"))
    return [f"{ip_address(first + 16 * n)}/29" for n in range(count)]


def _prefixes(count: int) -> list[str]:
    return [f"172.16.{n >> 4 & 255}.{(n & 15) * 16}/29" for n in range(count)]
