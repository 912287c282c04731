"""A kernel that exists only in memory: same interface, same meaning, no root.

For machines where the VEN may not touch the firewall, for tests and for the fleet simulator. It
judges connections by the policy document alone (``judgement.py``), keeps every document that it was
given, and produces the events that a real kernel would.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_interface
from typing import Generic, Literal, TypeVar

import msgspec

from ven.core.counting import TELL_ONE_IN
from ven.core.dns import Answer
from ven.core.kernel import (
    Connection,
    Decision,
    Drained,
    Drop,
    ForeignChange,
    KernelRefused,
    Stream,
    Untold,
)
from ven.edge.judgement import Judgement, judge
from ven_protocol.messages import (
    CompatibilityReport,
    InteractiveUser,
    Interface,
    OpenPort,
    Process,
)
from ven_protocol.policy import PolicyDocument

_Item = TypeVar("_Item")


class _Queue(Generic[_Item]):
    """A stream over a queue, with a descriptor that is readable while it is not empty."""

    def __init__(self) -> None:
        self._items: deque[_Item] = deque()
        self._signal = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, item: _Item) -> None:
        self._items.append(item)
        os.eventfd_write(self._signal, 1)

    def fileno(self) -> int:
        return self._signal

    def drain(self, limit: int = 2000) -> Drained[_Item]:
        items = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
        if not self._items:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._signal)
        return Drained(items, more=bool(self._items))

    def close(self) -> None:
        os.close(self._signal)


class SimulatedKernel:
    """Implements :class:`ven.core.kernel.Kernel` in memory."""

    def __init__(
        self,
        hostname: str = "",
        addresses: Iterable[str] = ("192.0.2.10/24",),
        open_ports: Iterable[OpenPort] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hostname = hostname
        self._clock = clock
        self._interfaces = _interfaces_of(addresses)
        self._ports = list(open_ports)
        self._queues: dict[str, list[_Queue[object]]] = {}
        self._live: dict[int, Connection] = {}
        self.sampling = False
        self._untold: list[Untold] = []
        self._next_id = 1
        self.applied: list[PolicyDocument] = []
        """Every document that was applied, oldest first."""
        self.learned: Mapping[str, frozenset[bytes]] = {}
        """Addresses of domain names, by set id."""
        self.protected: tuple[tuple[str, int], ...] = ()
        self.removed = False
        self.refuse = ""
        """When set, :meth:`apply` refuses with this text."""
        self.tampered = False
        self.users: list[InteractiveUser] | None = None
        """Who is logged on; None on a host that is no Windows."""
        self.found = CompatibilityReport()
        """What may get in the way of policy."""

    # What the agent uses

    def prepare(self) -> None:
        """It tracks connections as it is."""

    def apply(self, document: PolicyDocument) -> int:
        if self.refuse:
            raise KernelRefused(self.refuse)
        self.applied.append(document)
        self.removed = self.tampered = False
        self._judge_again()
        return len(document.rules)

    def learn(self, learned: Mapping[str, frozenset[bytes]]) -> None:
        if self.refuse:
            raise KernelRefused(self.refuse)
        self.learned = learned
        self._judge_again()

    def _judge_again(self) -> None:
        """As the real one: a connection that is no longer allowed ends with its next packet."""
        for id, connection in list(self._live.items()):
            if self._judge(connection).decision == Decision.BLOCKED:
                self.end(id)

    def protect(self, addresses: Iterable[tuple[str, int]]) -> None:
        self.protected = tuple(addresses)

    def adapt(self) -> None:
        pass  # it judges addresses, not links

    def remove(self) -> None:
        self.applied.clear()
        self.removed = True

    def intact(self) -> bool:
        return not self.tampered

    def make_room(self) -> str:
        """There is always room."""
        return ""

    def listing(self) -> str:
        if not self.applied:
            return ""
        return msgspec.json.format(msgspec.json.encode(self.applied[-1]).decode())

    def connections(self) -> Stream[Connection]:
        return self._stream("connections")

    def dump(self) -> Iterable[Connection]:
        return [msgspec.structs.replace(c, phase="live") for c in self._live.values()]

    def sample(self, on: bool) -> None:
        self.sampling = on

    def untold(self) -> list[Untold]:
        begun, self._untold = self._untold, []
        return begun

    def connecting_users(self) -> Mapping[tuple[bytes, int, int], str]:
        return {}

    def drops(self) -> Stream[Drop]:
        return self._stream("drops")

    def close(self) -> None:
        pass

    def answers(self) -> Stream[Answer]:
        return self._stream("answers")

    def foreign_changes(self) -> Stream[ForeignChange]:
        return self._stream("foreign_changes")

    def interface_changes(self) -> Stream[None]:
        return self._stream("interface_changes")

    def interfaces(self) -> list[Interface]:
        return list(self._interfaces)

    def open_ports(self) -> tuple[list[OpenPort], list[Process]]:
        return list(self._ports), []

    def interactive_users(self) -> list[InteractiveUser] | None:
        return None if self.users is None else sorted(self.users, key=lambda user: user.name)

    def compatibility(self) -> CompatibilityReport:
        return self.found

    # What the outside world does to it

    def connect(
        self,
        src: str,
        dst: str,
        proto: int,
        port: int,
        bytes_to_dst: int = 0,
        bytes_to_src: int = 0,
        stays_open: bool = False,
    ) -> Judgement:
        """A connection is tried between this host and a peer; one of the two is this host.

        Allowed ones are seen as connections (ended at once unless ``stays_open``), refused ones as
        drops.
        """
        source, target = ip_address(src), ip_address(dst)
        direction: Literal["in", "out"] = "out" if self._owns(src) else "in"
        peer = dst if direction == "out" else src
        held = self.applied[-1] if self.applied else None
        if direction == "out" and (dst, port) in self.protected:
            judgement = Judgement(Decision.ALLOWED)
        else:
            judgement = (
                Judgement(Decision.UNKNOWN)
                if held is None
                else judge(held, direction, peer, proto, port, self.learned)
            )
        now = self._clock()
        if judgement.decision == Decision.BLOCKED:
            drop = Drop(
                direction="O" if direction == "out" else "I",
                proto=proto,
                src=source.packed,
                dst=target.packed,
                dst_port=port,
                qualifier=judgement.qualifier,
            )
            self._tell("drops", drop)
            return judgement
        if not judgement.tracked:
            return judgement
        connection = Connection(
            phase="new",
            id=self._next_id,
            proto=proto,
            src=source.packed,
            dst=target.packed,
            src_port=32768 + self._next_id % 28_000,
            dst_port=port,
            decision=judgement.decision,
            started=now,
            # The real one draws at random.
            untold=self.sampling and self._next_id % TELL_ONE_IN != 0,
        )
        self._next_id += 1
        if connection.untold:
            self._untold.append(
                Untold(
                    direction="O" if direction == "out" else "I",
                    proto=proto,
                    src=source.packed,
                    dst=target.packed,
                    dst_port=port,
                    decision=judgement.decision,
                    qualifier=judgement.qualifier,
                )
            )
        else:
            self._tell("connections", connection)
        self._live[connection.id] = msgspec.structs.replace(
            connection, bytes_to_dst=bytes_to_dst, bytes_to_src=bytes_to_src
        )
        if not stays_open:
            self.end(connection.id)
        return judgement

    def carry(self, id: int, to_dst: int, to_src: int) -> None:
        """More bytes pass on a connection that stayed open."""
        held = self._live[id]
        self._live[id] = msgspec.structs.replace(
            held,
            bytes_to_dst=held.bytes_to_dst + to_dst,
            bytes_to_src=held.bytes_to_src + to_src,
        )

    def end(self, id: int) -> None:
        """The peers close a connection that stayed open."""
        connection = self._live.pop(id)
        ended = msgspec.structs.replace(
            connection, phase="end", ended=self._clock(), closed=connection.proto == 6
        )
        if not connection.untold:
            self._tell("connections", ended)

    def change_addresses(self, addresses: Iterable[str]) -> None:
        """The host gets other addresses."""
        self._interfaces = _interfaces_of(addresses)
        self._tell("interface_changes", None)

    def answer(self, answer: Answer) -> None:
        """A name server answers somebody on this host."""
        self._tell("answers", answer)

    def tamper(self, process_name: str) -> None:
        """Somebody else changes the VEN's table."""
        self._tell("foreign_changes", ForeignChange(process_name=process_name))
        self.tampered = True

    def _judge(self, connection: Connection) -> Judgement:
        src, dst = str(ip_address(connection.src)), str(ip_address(connection.dst))
        direction: Literal["in", "out"] = "out" if self._owns(src) else "in"
        peer = dst if direction == "out" else src
        return judge(
            self.applied[-1],
            direction,
            peer,
            connection.proto,
            connection.dst_port,
            self.learned,
        )

    def _owns(self, address: str) -> bool:
        return any(interface.address == address for interface in self._interfaces)

    def _stream(self, name: str) -> _Queue[_Item]:
        queue: _Queue[_Item] = _Queue()
        self._queues.setdefault(name, []).append(queue)  # type: ignore[arg-type]
        closed = queue.close

        def close() -> None:
            self._queues[name].remove(queue)  # type: ignore[arg-type]
            closed()

        queue.close = close  # type: ignore[method-assign]
        return queue

    def _tell(self, name: str, item: object) -> None:
        for queue in self._queues.get(name, ()):
            queue.put(item)


def _interfaces_of(addresses: Iterable[str]) -> list[Interface]:
    found = []
    for number, text in enumerate(addresses):
        interface = ip_interface(text)
        found.append(
            Interface(
                name=f"sim{number}",
                address=str(interface.ip),
                cidr_block=interface.network.prefixlen,
                link_state="up",
                kind="virtual",
            )
        )
    return found
