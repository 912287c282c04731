"""The real kernel of this network namespace: ``ven.core.kernel.Kernel`` over nftables, conntrack,
NFLOG, rtnetlink and sock_diag."""

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from ven.core.address_sets import BadPolicy
from ven.core.dns import Answer
from ven.core.kernel import (
    Connection,
    Drained,
    Drop,
    ForeignChange,
    KernelRefused,
    Stream,
    Untold,
)
from ven.core.ruleset import Endpoint, Ruleset, compile_ruleset, with_learned
from ven.core.table import DNS_PORT, NFLOG_GROUP, answers_group
from ven.edge import conntrack, older_connections, processes
from ven.edge.answers import AnswerLog
from ven.edge.compatibility import read_compatibility
from ven.edge.conntrack_room import make_conntrack_room
from ven.edge.interfaces import InterfaceEvents, read_container_links, read_interfaces
from ven.edge.nflog import DropLog
from ven.edge.nftables import Firewall
from ven.edge.processes import user_name
from ven.edge.sockets import connected_sockets
from ven.edge.table_watch import TableWatch
from ven_protocol.messages import (
    CompatibilityReport,
    InteractiveUser,
    Interface,
    OpenPort,
    Process,
)
from ven_protocol.policy import PolicyDocument

COUNT_EVERY_S = 5.0
"""Shortest time between two readings of the drop counters."""
COUNT_SHARE = 30
"""A reading may use a thirtieth of the time: with 65,536 forged sources one takes half a second."""

_RESOLVER_FILES = (
    Path("/etc/resolv.conf"),
    # Behind a stub on the loopback address, this is where the real ones are.
    Path("/run/systemd/resolve/resolv.conf"),
)


class LinuxKernel:
    """Enforces on, and reports from, the network namespace that it was made in."""

    def __init__(self, state_dir: Path, nflog_group: int = NFLOG_GROUP) -> None:
        """``state_dir``: an existing folder for what must be put back at the end."""
        self._firewall = Firewall(state_dir)
        self._nflog_group = nflog_group
        self._document: PolicyDocument | None = None
        self._ruleset: Ruleset | None = None
        self._pce: tuple[Endpoint, ...] = ()
        self._resolvers: tuple[str, ...] = ()
        self._containers: tuple[str, ...] = ()
        self._learned: Mapping[str, frozenset[bytes]] = {}

    def close(self) -> None:
        """Give descriptors back; the firewall stays."""
        self._firewall.close()

    def prepare(self) -> None:
        """Set the host's connection tracking as the VEN needs it."""
        self._firewall.prepare()

    def apply(self, document: PolicyDocument) -> int:
        """Hold exactly ``document``, in one transaction; the number of its rules in the kernel.

        Raises :class:`KernelRefused`. 1 ms when few members changed, and 50 ms of CPU per 100,000
        addresses of their sets; else 20 ms and 3 ms per 1,000 addresses. After a start, mode idle
        or stateless rules 0.1 ms more per TCP connection.
        """
        ruleset = self._load(document)
        return ruleset.rules if ruleset else 0

    def learn(self, learned: Mapping[str, frozenset[bytes]]) -> None:
        """Addresses of the domain names in sets, by set id. Raises :class:`KernelRefused`. 1 ms,
        and 10 ms per 100,000 addresses of the policy."""
        self._learned = learned
        document, ruleset = self._document, self._ruleset
        if document is None or ruleset is None or not document.names:
            return
        if self._resolvers != tuple(_resolvers()):
            self._load(document)
            return
        ruleset = with_learned(ruleset, document.names, learned)
        self._firewall.apply(ruleset)
        self._ruleset = ruleset

    def protect(self, addresses: Iterable[tuple[str, int]]) -> None:
        """The PCE's addresses and TCP ports, reachable from here whatever the policy says, and the
        name servers of this host with them. Milliseconds."""
        self._pce = tuple(
            Endpoint(address, socket.IPPROTO_TCP, port) for address, port in addresses
        )
        if self._document is not None:
            self._load(self._document)

    def adapt(self) -> None:
        """Hold the same document on the host's links, and with its name servers, as they are now.
        Raises :class:`KernelRefused`. A millisecond when it makes no difference, else as
        :meth:`apply`."""
        document = self._document
        if document is None or document.mode == "idle":
            return
        host = tuple(_resolvers()), _containers(document)
        if host != (self._resolvers, self._containers):
            self._load(document)

    def _load(self, document: PolicyDocument) -> Ruleset | None:
        resolvers, containers = tuple(_resolvers()), _containers(document)
        ruleset = self._compile(document, resolvers, containers)
        if ruleset is None:
            self._firewall.apply(None)
        else:
            self._track_older(self._document)
            self._firewall.apply(ruleset)
            self._track_older(self._document)  # those that began meanwhile
        self._document, self._ruleset, self._resolvers = document, ruleset, resolvers
        self._containers = containers
        return ruleset

    def _track_older(self, before: PolicyDocument | None) -> None:
        """Connections that the policy ``before`` left untracked; with none, who knows."""
        if before is None or before.mode == "idle" or any(rule.stateless for rule in before.rules):
            with contextlib.suppress(OSError):  # no reason to keep a policy from being enforced
                older_connections.track(connected_sockets())

    def _compile(
        self, document: PolicyDocument, resolvers: tuple[str, ...], containers: tuple[str, ...]
    ) -> Ruleset | None:
        # Without its name servers the PCE is not found again.
        asked = (
            Endpoint(address, proto, DNS_PORT)
            for address in resolvers
            for proto in (socket.IPPROTO_UDP, socket.IPPROTO_TCP)
        )
        known = (self._document, self._ruleset) if self._document and self._ruleset else None
        try:
            return compile_ruleset(
                document,
                (*self._pce, *asked) if self._pce or document.names else (),
                learned=self._learned,
                resolvers=resolvers,
                nflog_group=self._nflog_group,
                containers=containers,
                before=known,
            )
        except BadPolicy as error:
            raise KernelRefused(str(error)) from None

    def remove(self) -> None:
        """Take away the table and put the settings back; does nothing when nothing is there."""
        self._firewall.remove()
        self._document = self._ruleset = None

    def intact(self) -> bool:
        """Whether the kernel still holds the policy: 10 microseconds while nobody touched
        nftables, else up to a second for 100,000 addresses."""
        if self._document is None or self._document.mode == "idle":
            return True
        return self._firewall.verify()

    def make_room(self) -> str:
        """Enlarge the table of tracked connections when it fills up; what was done, or ""."""
        return make_conntrack_room()

    def listing(self) -> str:
        """The table as nft prints it; empty when there is none."""
        return self._firewall.listing()

    def connections(self) -> Stream[Connection]:
        """Beginnings and ends of connections from now on."""
        return conntrack.ConnectionEvents()

    def dump(self) -> Iterable[Connection]:
        """All live connections. In mode idle those of sockets: the kernel tracks connections only
        while a rule asks for it, and there is none."""
        idle = self._document is not None and self._document.mode == "idle"
        return connected_sockets() if idle else conntrack.dump()

    def drops(self) -> Stream[Drop]:
        """Refused connection attempts from now on: every one, in groups when there are many."""
        return Drops(self._firewall, self._nflog_group)

    def sample(self, on: bool) -> None:
        """Tell of one new connection in 64 and count the others, or tell of all."""
        self._firewall.sample(on)

    def untold(self) -> list[Untold]:
        """Connections that began untold since the last call."""
        return self._firewall.drain_begun()

    def connecting_users(self) -> dict[tuple[bytes, int, int], str]:
        """Who opened connections to which service."""
        return {service: user_name(uid) for service, uid in self._firewall.users().items()}

    def answers(self) -> Stream[Answer]:
        """What this host's name servers answer from now on, while the policy has names."""
        return AnswerLog(answers_group(self._nflog_group))

    def foreign_changes(self) -> Stream[ForeignChange]:
        """Commits of others to our table, from now on."""
        return TableWatch(self._firewall.port)

    def interface_changes(self) -> Stream[None]:
        """Something about links, addresses or routes changed."""
        return InterfaceEvents()

    def interfaces(self) -> list[Interface]:
        """All addresses of the host."""
        return read_interfaces()

    def open_ports(self) -> tuple[list[OpenPort], list[Process]]:
        """Listening sockets and the processes behind them."""
        return processes.open_ports()

    def interactive_users(self) -> list[InteractiveUser] | None:
        """Nobody's business but Windows'."""
        return None

    def compatibility(self) -> CompatibilityReport:
        """What may get in the way of policy here."""
        return read_compatibility()


class Drops:
    """What the drop log tells one by one, and what was above its rate as counts: every refused
    packet once."""

    def __init__(self, firewall: Firewall, group: int) -> None:
        self._firewall = firewall
        self._log = DropLog(group)
        self._count_at = 0.0

    def fileno(self) -> int:
        """Descriptor to wait on: readable when something was logged, which goes on at its rate for
        as long as there is more to count. What was counted last is read by the next
        :meth:`drain`, so drain once before a flow report too."""
        return self._log.fileno()

    def drain(self, limit: int = 2000) -> Drained[Drop]:
        """What is there now. Blocks for 50 ms every five seconds while packets are being refused
        faster than they are logged."""
        drained = self._log.drain(limit)
        began = time.monotonic()
        if drained.more or began < self._count_at:
            return drained
        counted = self._firewall.drain_drops()
        ended = time.monotonic()
        self._count_at = ended + max(COUNT_EVERY_S, COUNT_SHARE * (ended - began))
        return Drained(drained.items + counted, lost=drained.lost)

    def close(self) -> None:
        """Stop listening."""
        self._log.close()


def _resolvers() -> Iterator[str]:
    """Addresses of this host's name servers."""
    for path in _RESOLVER_FILES:
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver" and _is_address(words[1]):
                    yield words[1]


def _containers(document: PolicyDocument) -> tuple[str, ...]:
    """Links behind which containers are, for a policy that asks."""
    if document.firewall.containers == "untouched":
        return ()
    return tuple(read_container_links())


def _is_address(text: str) -> bool:
    # One with a zone ("%eth0") is link-local, which neither a set nor a rule can hold.
    try:
        return bool(ip_address(text).packed) and "%" not in text
    except ValueError:
        return False
