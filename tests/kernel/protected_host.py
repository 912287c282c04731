"""A host in a namespace with a VEN's firewall and eyes, for tests."""

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from tests.kernel.namespaces import Host
from ven.core.kernel import Connection, Drop
from ven.core.ruleset import Endpoint, Ruleset, compile_ruleset
from ven.edge.conntrack import ConnectionEvents, dump
from ven.edge.nflog import DropLog
from ven.edge.nftables import Firewall
from ven_protocol.messages import EnforcementMode
from ven_protocol.policy import PolicyDocument, Rule, RuleAction, Service

ANY = Service(proto=-1)
HTTP = Service(proto=6, port=80)
Found = TypeVar("Found")


def eventually(look: Callable[[], Found], within_s: float = 10) -> Found:
    """The first true thing that ``look`` gives."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not seen within {within_s} s: {look}"
        time.sleep(0.01)
    return found


def allow(
    peers: list[str], *services: Service, direction: str = "in", action: RuleAction = "allow"
) -> Rule:
    """A rule; without services it is about any traffic."""
    return Rule(
        id=f"{action} {direction} {'+'.join(peers)}",
        direction=direction,  # type: ignore[arg-type]
        action=action,
        peers=peers,
        services=list(services) or [ANY],
    )


def policy(
    mode: EnforcementMode, sets: dict[str, list[str]], *rules: Rule, **more: Any
) -> PolicyDocument:
    return PolicyDocument(
        mode=mode, visibility="flow_summary", sets=sets, rules=list(rules), **more
    )


class ProtectedHost:
    """``host`` with a firewall; events and drops are collected from the start."""

    def __init__(self, host: Host, state_dir: Path) -> None:
        self.host = host
        self.state_dir = state_dir
        self.ended: list[Connection] = []
        self.began: list[Connection] = []
        self.dropped: list[Drop] = []
        with host.entered(), contextlib.ExitStack() as opened:
            self.firewall = Firewall(state_dir)
            opened.callback(self.firewall.close)
            self.events = ConnectionEvents()
            opened.callback(self.events.close)
            self.log = DropLog()
            self._opened = opened.pop_all()
        self._opened.callback(self.log.close)

    def apply(self, document: PolicyDocument, lifelines: Iterable[Endpoint] = ()) -> None:
        self.load(compile_ruleset(document, lifelines))

    def load(self, ruleset: Ruleset | None) -> None:
        with self.host.entered():
            self.firewall.apply(ruleset)

    def restarted(self) -> Firewall:
        """Another process's view of the same kernel; the old one is gone."""
        self.firewall.close()
        with self.host.entered():
            self.firewall = Firewall(self.state_dir)
        self._opened.callback(self.firewall.close)
        return self.firewall

    def observe(self) -> None:
        """Take what the kernel has to tell."""
        drained = self.events.drain(100_000)
        assert not drained.lost
        for connection in drained.items:
            (self.began if connection.phase == "new" else self.ended).append(connection)
        self.dropped += self.log.drain(100_000).items

    def connection(self, **wanted: Any) -> Connection:
        """The newest connection that began with these properties, as soon as it is told."""
        return eventually(lambda: self._find(self.began, wanted))

    def ending(self, **wanted: Any) -> Connection:
        return eventually(lambda: self._find(self.ended, wanted))

    def drop(self, **wanted: Any) -> Drop:
        return eventually(lambda: self._find(self.dropped, wanted))

    def _find(self, items: list[Found], wanted: dict[str, Any]) -> Found | None:
        self.observe()
        for item in reversed(items):
            if all(getattr(item, name) == value for name, value in wanted.items()):
                return item
        return None

    def live(self) -> list[Connection]:
        with self.host.entered():
            return list(dump())

    def nft(self, *arguments: str) -> str:
        """The nft program on this host: somebody else's hands."""
        return self.host.run("nft", *arguments)

    def sysctl(self, name: str) -> str:
        return self.host.run("cat", f"/proc/sys/net/netfilter/{name}").strip()

    def close(self) -> None:
        with self.host.entered():
            self.firewall.remove()
        self._opened.close()
        self.host.run("nft", "flush", "ruleset")
        self.host.run("conntrack", "-F", check=False)


def broken(ruleset: Ruleset) -> Ruleset:
    """A ruleset that nft refuses in the middle of its text."""
    return replace(
        ruleset, chains=ruleset.chains.replace("chain judge_in {", "chain judge_in { ?", 1)
    )
