"""The kernel as the agent sees it: what it is told, what it tells, and the contract between them.

Owns the types that cross between the agent and whatever enforces and observes traffic: the real
kernel (``ven.edge.linux``) or a simulated one (``ven.edge.simulated``). Nothing here does I/O.
Addresses are packed bytes in network order (4 or 16 of them), because a busy host makes thousands
of these objects a second and only few are ever printed.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Generic, Literal, Protocol, TypeVar

from msgspec import Struct

from ven.core.dns import Answer
from ven_protocol.messages import (
    CompatibilityReport,
    InteractiveUser,
    Interface,
    OpenPort,
    Process,
)
from ven_protocol.policy import PolicyDocument


class Decision(IntEnum):
    """What the policy said of a connection; the numbers are the flow summary's ``pd``."""

    ALLOWED = 0
    POTENTIALLY_BLOCKED = 1
    """Let through now, would be blocked under full enforcement."""
    BLOCKED = 2
    UNKNOWN = 3
    """The host's firewall is not ours (mode ``idle``)."""


class Connection(Struct, frozen=True, gc=False, kw_only=True):
    """One tracked connection, as an event or as a line of a table dump."""

    phase: Literal["new", "end", "live"]
    """``new``: first packet accepted. ``end``: the kernel forgot it. ``live``: seen in a dump."""
    id: int
    """The kernel's identifier, stable for the connection's life, reused later."""
    proto: int
    src: bytes
    """The initiator, whoever reports."""
    dst: bytes
    """The responder."""
    src_port: int = 0
    dst_port: int = 0
    """0 for protocols without ports."""
    icmp_type: int | None = None
    icmp_code: int | None = None
    decision: Decision = Decision.UNKNOWN
    qualifier: int = 0
    """Why it is potentially blocked, as the summary's ``pd_qualifier``: see :class:`Drop`."""
    bytes_to_dst: int = 0
    """IP-level bytes from initiator to responder since the start; 0 in ``new``."""
    bytes_to_src: int = 0
    started: float | None = None
    """Unix time of the first packet, when the kernel keeps it."""
    ended: float | None = None
    """Unix time of the deletion; only in ``end``."""
    closed: bool = False
    """The peers said that it is over (FIN or RST); only in ``end`` and ``live``."""
    untold: bool = False
    """It began in sampling mode: see :class:`Untold`. Only in ``live``."""


class Attempts(Struct, frozen=True, gc=False, kw_only=True):
    """First packets of connections, as logged or as counted."""

    direction: Literal["I", "O"]
    proto: int
    src: bytes
    dst: bytes
    dst_port: int = 0
    icmp_type: int | None = None
    icmp_code: int | None = None
    decision: Decision = Decision.BLOCKED
    qualifier: int = 0
    """Why it is (potentially) blocked, as the summary's ``pd_qualifier``: 0 no rule, 1 deny rule,
    2 override deny."""
    count: int = 1


class Drop(Attempts, frozen=True, gc=False, kw_only=True):
    """Connections that the policy refused (or would refuse: see ``decision``)."""


class Untold(Attempts, frozen=True, gc=False, kw_only=True):
    """Connections that began in sampling mode: counted by the kernel, which sends no events of
    them. In dumps they are ``untold``."""


class ForeignChange(Struct, frozen=True, kw_only=True):
    """Somebody else changed the VEN's firewall table."""

    process_name: str = ""
    detail: str = ""


Item = TypeVar("Item", covariant=True)


class Drained(Struct, Generic[Item], frozen=True):
    """What one reading of a stream gave."""

    items: list[Item]
    lost: bool = False
    """The kernel's buffer overran: an unknown number of items is missing before these."""
    more: bool = False
    """The limit was reached; read again soon."""


class Stream(Protocol[Item]):
    """A readable descriptor that yields items without ever blocking."""

    def fileno(self) -> int:
        """Descriptor to wait on; readable when :meth:`drain` would give something."""

    def drain(self, limit: int = 2000) -> Drained[Item]:
        """At most about ``limit`` items that are there now; empty when there are none."""

    def close(self) -> None:
        """Give the descriptor back; drain no more."""


class KernelRefused(Exception):
    """The kernel did not take a policy; it holds what it held before. The text says which object
    and why."""


class Traffic(Protocol):
    """What is seen of one network's connections."""

    def connections(self) -> Stream[Connection]:
        """As :meth:`Kernel.connections`."""

    def dump(self) -> Iterable[Connection]:
        """As :meth:`Kernel.dump`."""

    def drops(self) -> Stream[Drop]:
        """As :meth:`Kernel.drops`."""

    def sample(self, on: bool) -> None:
        """As :meth:`Kernel.sample`."""

    def untold(self) -> list[Untold]:
        """As :meth:`Kernel.untold`."""

    def connecting_users(self) -> Mapping[tuple[bytes, int, int], str]:
        """As :meth:`Kernel.connecting_users`."""


class Kernel(Protocol):
    """Enforces one policy document at a time and reports what passes.

    Methods may block for as long as their docstring says; the agent calls those that may take
    more than a few milliseconds in a worker thread, one at a time.
    """

    def prepare(self) -> None:
        """Set the host's connection tracking as the VEN needs it, whatever the policy: when it is
        paired and at each start, which puts back what somebody changed meanwhile. Under a
        millisecond."""

    def apply(self, document: PolicyDocument) -> int:
        """Hold exactly ``document``, in one transaction, computing the difference to what is held.

        Returns the number of rules in the kernel. Raises :class:`KernelRefused` and changes
        nothing when it cannot. Up to a second for 100,000 addresses.
        """

    def learn(self, learned: Mapping[str, frozenset[bytes]]) -> None:
        """Set id -> addresses of the domain names in that set, from now on and in every later
        :meth:`apply`; of sets without names in the document nothing comes of it. Raises
        :class:`KernelRefused`; the next call tries again. Milliseconds."""

    def protect(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Address and TCP port of the PCE: reachable whatever the policy says. Takes effect with
        the next :meth:`apply` or at once; milliseconds."""

    def adapt(self) -> None:
        """The host's links, addresses or name servers may have changed: enforce the same policy on
        the host as it is now. Raises :class:`KernelRefused`. Milliseconds, and nothing where it
        makes no difference."""

    def remove(self) -> None:
        """Take everything away that was ever added: table, settings. The host is as before
        pairing. Does nothing when nothing is there."""

    def intact(self) -> bool:
        """Whether the kernel still holds what :meth:`apply` put there; some milliseconds."""

    def close(self) -> None:
        """Give descriptors back; what is enforced stays enforced."""

    def make_room(self) -> str:
        """Enlarge the table of tracked connections when it fills up; what was done, or "". Less
        than a millisecond."""

    def listing(self) -> str:
        """The VEN's rules as text for people (support report); empty when there are none."""

    def connections(self) -> Stream[Connection]:
        """Start reading connection events: ``new`` and ``end``."""

    def dump(self) -> Iterable[Connection]:
        """All live connections, phase ``live``, streamed; 5 microseconds each."""

    def sample(self, on: bool) -> None:
        """From now on tell of one new connection in ``ven.core.counting.TELL_ONE_IN`` and count the
        others, or tell of all. Under a millisecond."""

    def untold(self) -> list[Untold]:
        """Connections that began and were counted since the last call, each once. 50 ms when there
        are any, and 10 microseconds for each different one."""

    def connecting_users(self) -> Mapping[tuple[bytes, int, int], str]:
        """Destination, protocol and service (port, or ICMP type x 256 + code) -> name of a local
        user who opened connections to it lately; up to 60 ms."""

    def drops(self) -> Stream[Drop]:
        """Start reading refused connection attempts. When there are very many they come in
        groups, and what was grouped last comes with the next draining, so drain once before a
        flow report too."""

    def answers(self) -> Stream[Answer]:
        """Start reading what this host's name servers answer; only while the policy has names."""

    def foreign_changes(self) -> Stream[ForeignChange]:
        """Start reading changes to our table that are not our own."""

    def interface_changes(self) -> Stream[None]:
        """Start reading "something about links, addresses or routes changed"; the content is
        read again with :meth:`interfaces`."""

    def interfaces(self) -> list[Interface]:
        """All addresses of the host, sorted by name and address."""

    def open_ports(self) -> tuple[list[OpenPort], list[Process]]:
        """Listening sockets and the processes behind them, sorted; up to 50 ms."""

    def interactive_users(self) -> list[InteractiveUser] | None:
        """Who is logged on, sorted by name; None where that is not reported (all but Windows)."""

    def compatibility(self) -> CompatibilityReport:
        """What on the host may get in the way of policy; some milliseconds."""
