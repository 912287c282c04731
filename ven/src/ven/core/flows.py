"""The flow ledger: connections, dumps and drops in, flow summaries out, once a window.

Not a state machine of values like its neighbours: a busy host makes thousands of connections a
second, and copying a table for each would cost more than the network does. It is still free of
I/O: the time comes with each call.

Bytes are counted from the viewpoint of the provider (the connection's responder), whoever reports:
``tbi`` and ``dbi`` went into it, ``tbo`` and ``dbo`` came out (``dst_tbi`` and so on in the PCE's
records).

Theory. Three sources say what passed, and each connection is counted once in every window in which
it lived:

- An ``end`` event carries the connection's whole life: state C when the peers closed it, T when it
  timed out. Bytes reported in earlier windows are subtracted for the window's own (``dbi``).
- The dump at a window's end shows what still lives: state A. What the peers have closed but the
  kernel still remembers (TCP's TIME_WAIT) is C already, and its ``end`` is not counted again.
- A drop never becomes a connection: state N for a TCP SYN, none for others.

A connection that neither ended nor shows in two dumps in a row lost its ``end`` event (the event
buffer overran, or it began before anybody listened): T, with the bytes last seen.

In mode ``idle`` the firewall is not ours: only the dump counts, as state S with ``pd`` 3.

Memory: at most :data:`MAX_LIVE` connections are remembered and :data:`MAX_ROWS` summaries built
up; both are packed. Beyond the first, a connection counts as active without bytes and brings all
its bytes with its end; at the second the agent takes the summaries early. Neither loses a count.
"""

import struct
from collections.abc import Iterable, Mapping
from ipaddress import ip_interface

from msgspec import Struct
from msgspec.structs import replace

from ven.core.kernel import Connection, Decision, Drop
from ven_protocol.flows import ICMP_PROTOCOLS, Direction, FlowSummary, State, Transmission
from ven_protocol.messages import EnforcementMode, Interface, OpenPort, VisibilityLevel

MAX_LIVE = 5_000
"""Connections remembered between their events: about 1 MiB."""
MAX_ROWS = 5_000
"""Summaries of one window: about 3 MiB, sixteen times the sizing rule of 300."""

TCP = 6

_LIVE = struct.Struct("<dQQI?BB")
"""Started (Unix time), bytes to and from the responder reported so far, number of the last dump
that showed it, whether its end was reported already, decision, qualifier. Then the identity."""
_IDENTITY = struct.Struct("<BHHBB")
"""Protocol, source port, destination port, ICMP type and code; after both addresses."""
_ROW = struct.Struct("<BHBBccBB")
"""Protocol, destination port, ICMP type and code, direction, state, decision, qualifier."""


_QUALIFIED = (Decision.POTENTIALLY_BLOCKED, Decision.BLOCKED)


class Owner(Struct, frozen=True):
    """Who listens on a port."""

    process: str | None
    user: str | None


class Neighbourhood(Struct, frozen=True, kw_only=True):
    """What the host's own addresses say of others' addresses."""

    own: frozenset[bytes] = frozenset()
    broadcast: frozenset[bytes] = frozenset({b"\xff\xff\xff\xff"})


class _Sum:
    """Values of one summary while it grows."""

    __slots__ = ("count", "dbi", "dbo", "ddms", "first", "last", "tbi", "tbo", "tdms")

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, last
        self.count = self.tbi = self.tbo = self.dbi = self.dbo = self.tdms = self.ddms = 0


class FlowLedger:
    """Collects one window after another; see the module for what counts as what.

    ``now`` is Unix time in seconds everywhere.
    """

    def __init__(self, now: float) -> None:
        self.window_start = now
        self.visibility: VisibilityLevel = "flow_summary"
        self.mode: EnforcementMode = "visibility_only"
        self.neighbourhood = Neighbourhood()
        self.owners: Mapping[tuple[int, int], Owner] = {}
        self._live: dict[int, bytes] = {}
        self._rows: dict[bytes, _Sum] = {}
        self._dump = 0

    @property
    def full(self) -> bool:
        """No more summaries should be built up: :meth:`take` them."""
        return len(self._rows) >= MAX_ROWS

    def see(self, connection: Connection, now: float) -> None:
        """Take a ``new`` or ``end`` event, or a ``live`` line of the dump under way. O(1)."""
        if connection.src[0] == 127 or connection.src == connection.dst:
            return  # the host with itself
        match connection.phase:
            case "new":
                self._remember(connection, connection.started or now, 0, 0)
            case "end":
                self._ended(connection, now)
            case "live":
                self._lives(connection, now)

    def found(self, connection: Connection, now: float) -> bool:
        """Take a connection that lived before anybody listened: its bytes so far are no window's.

        False when no more can be remembered.
        """
        started = connection.started or now
        return self._remember(connection, started, connection.bytes_to_dst, connection.bytes_to_src)

    def drop(self, drop: Drop, now: float) -> None:
        """Take a refused packet; a would-be refused one counts as the connection it became."""
        if drop.decision != Decision.BLOCKED or not self._wanted(drop.decision):
            return
        key = drop.src + drop.dst + _ROW.pack(
            drop.proto,
            drop.dst_port,
            drop.icmp_type or 0,
            drop.icmp_code or 0,
            drop.direction.encode(),
            b"N" if drop.proto == TCP else b"-",
            drop.decision,
            drop.qualifier + 1,
        )  # fmt: skip
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Sum(now, now)
        row.count += drop.count
        row.last = now

    def begin_dump(self) -> None:
        """A dump of all live connections follows, each through :meth:`see`."""
        self._dump += 1

    def end_dump(self, now: float, complete: bool) -> None:
        """The dump is over; an incomplete one says nothing of what it did not show."""
        if complete:
            self._count_vanished(now)
        else:
            self._dump -= 1

    def take(self, now: float) -> list[FlowSummary]:
        """The summaries built up so far; the window goes on."""
        rows, self._rows = self._rows, {}
        return [summary for key, row in rows.items() if (summary := self._summary(key, row, now))]

    def close(self, now: float) -> list[FlowSummary]:
        """The window's (remaining) summaries; the next window begins at ``now``.

        After a dump: everything. Without: what ended and what was dropped, and what lives is left
        to the next window.
        """
        summaries = self.take(now)
        self.window_start = now
        return summaries

    def forget(self, now: float) -> None:
        """Begin anew: collection was stopped and what happened meanwhile is not known."""
        self._live.clear()
        self._rows.clear()
        self.window_start = now

    def _ended(self, connection: Connection, now: float) -> None:
        started, bytes_in, bytes_out, done = self._recall(connection, forget=True)
        if not done and self.mode != "idle":
            state = b"C" if connection.closed else b"T"
            ended = connection.ended or now
            self._count(connection, state, started or now, ended, bytes_in, bytes_out)

    def _lives(self, connection: Connection, now: float) -> None:
        started, bytes_in, bytes_out, done = self._recall(connection)
        started = started or now
        if done:
            self._remember(connection, started, bytes_in, bytes_out, done=True)
        elif self.mode == "idle":
            self._count(connection, b"S", started, now, 0, 0)
        elif not self._remember(
            connection,
            started,
            connection.bytes_to_dst,
            connection.bytes_to_src,
            done=connection.closed,
        ):
            # No room: its bytes come with its end, and a closed one only counts then.
            if not connection.closed:
                total_in, total_out = connection.bytes_to_dst, connection.bytes_to_src
                self._count(connection, b"A", started, now, total_in, total_out, totals=False)
        else:
            state = b"C" if connection.closed else b"A"
            self._count(connection, state, started, now, bytes_in, bytes_out)

    def _remember(
        self,
        connection: Connection,
        started: float,
        bytes_in: int,
        bytes_out: int,
        done: bool = False,
    ) -> bool:
        if len(self._live) >= MAX_LIVE and connection.id not in self._live:
            return False
        packed = _LIVE.pack(
            started,
            bytes_in,
            bytes_out,
            self._dump,
            done,
            connection.decision,
            connection.qualifier,
        )
        self._live[connection.id] = packed + _identity(connection)
        return True

    def _recall(
        self, connection: Connection, forget: bool = False
    ) -> tuple[float | None, int, int, bool]:
        """When it started, bytes reported, whether its end was reported."""
        packed = self._live.get(connection.id)
        if packed is None or packed[_LIVE.size :] != _identity(connection):
            return connection.started, 0, 0, False  # not known, or the id is used again
        if forget:
            del self._live[connection.id]
        started, bytes_in, bytes_out, _, done, _, _ = _LIVE.unpack_from(packed)
        return connection.started or started, bytes_in, bytes_out, done

    def _count_vanished(self, now: float) -> None:
        for id, packed in list(self._live.items()):
            started, bytes_in, bytes_out, dump, done, decision, qualifier = _LIVE.unpack_from(
                packed
            )
            if dump >= self._dump - 1:
                continue  # shown by this dump, or young enough for its end to be on its way
            del self._live[id]
            if not done and self.mode != "idle":
                connection = replace(
                    _from_identity(id, packed[_LIVE.size :]),
                    decision=Decision(decision),
                    qualifier=qualifier,
                    bytes_to_dst=bytes_in,
                    bytes_to_src=bytes_out,
                )
                self._count(connection, b"T", started, now, bytes_in, bytes_out)

    def _wanted(self, decision: Decision) -> bool:
        if self.visibility == "flow_off":
            return False
        if self.visibility == "flow_drops":
            return decision in _QUALIFIED
        return True

    def _count(
        self,
        connection: Connection,
        state: bytes,
        started: float,
        last: float,
        bytes_in: int,
        bytes_out: int,
        totals: bool = True,
    ) -> None:
        decision = Decision.UNKNOWN if state == b"S" else connection.decision
        if not self._wanted(decision):
            return
        key = connection.src + connection.dst + _ROW.pack(
            connection.proto,
            connection.dst_port,
            connection.icmp_type or 0,
            connection.icmp_code or 0,
            b"?",
            state,
            decision,
            connection.qualifier + 1 if decision in _QUALIFIED else 0,
        )  # fmt: skip
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Sum(started, last)
        row.count += 1
        row.first = min(row.first, started)
        row.last = max(row.last, last)
        if totals:
            row.tbi += connection.bytes_to_dst
            row.tbo += connection.bytes_to_src
            row.dbi += max(0, connection.bytes_to_dst - bytes_in)
            row.dbo += max(0, connection.bytes_to_src - bytes_out)
            row.tdms += max(0, int((last - started) * 1000))
            row.ddms += max(0, int((last - max(started, self.window_start)) * 1000))

    def _summary(self, key: bytes, row: _Sum, now: float) -> FlowSummary | None:
        width = (len(key) - _ROW.size) // 2
        src, dst = key[:width], key[width : 2 * width]
        proto, port, icmp_type, icmp_code, direction, state, pd, qualifier = _ROW.unpack_from(
            key, 2 * width
        )
        transmission = self._transmission(dst)
        dir = _direction(direction, src, dst, transmission, self.neighbourhood.own)
        if dir is None:
            return None
        icmp = proto in ICMP_PROTOCOLS
        owner = self.owners.get((proto, port)) if dir == "I" and pd != Decision.BLOCKED else None
        enhanced = self.visibility == "enhanced_data_collection" and state in b"ACT"
        last = min(int(row.last), int(now))
        return FlowSummary(
            src_ip=src,
            dst_ip=dst,
            proto=proto,
            dst_port=0 if icmp else port,
            icmp_type=icmp_type if icmp else None,
            icmp_code=icmp_code if icmp else None,
            dir=dir,
            state=_STATES[state],
            pd=pd,
            pd_qualifier=qualifier - 1 if qualifier else None,
            transmission=transmission,
            count=row.count,
            first=min(int(row.first), last),
            last=last,
            process=owner.process if owner else None,
            user=owner.user if owner else None,
            tbi=row.tbi if enhanced else None,
            tbo=row.tbo if enhanced else None,
            dbi=row.dbi if enhanced else None,
            dbo=row.dbo if enhanced else None,
            tdms=row.tdms if enhanced else None,
            ddms=min(row.ddms, row.tdms) if enhanced else None,
        )

    def _transmission(self, dst: bytes) -> Transmission:
        if dst in self.neighbourhood.broadcast:
            return "B"
        multicast = dst[0] == 0xFF if len(dst) == 16 else 224 <= dst[0] < 240
        return "M" if multicast else "U"


def neighbourhood(interfaces: Iterable[Interface]) -> Neighbourhood:
    """Own and broadcast addresses of the host's interfaces."""
    own: set[bytes] = set()
    broadcast = {b"\xff\xff\xff\xff"}
    for interface in interfaces:
        text = interface.address.partition("%")[0]
        bits = "" if interface.cidr_block is None else f"/{interface.cidr_block}"
        address = ip_interface(text + bits)
        own.add(address.packed)
        if address.version == 4 and address.network.prefixlen < 31:
            broadcast.add(address.network.broadcast_address.packed)
    return Neighbourhood(own=frozenset(own), broadcast=frozenset(broadcast))


def port_owners(ports: Iterable[OpenPort]) -> dict[tuple[int, int], Owner]:
    """Who listens where, by protocol and port; the first one named wins."""
    owners: dict[tuple[int, int], Owner] = {}
    for port in ports:
        owners.setdefault((port.protocol, port.port), Owner(port.process_name, port.user))
    return owners


_STATES: dict[bytes, State] = {
    b"A": "A", b"C": "C", b"T": "T", b"S": "S", b"N": "N", b"-": "",
}  # fmt: skip


def _identity(connection: Connection) -> bytes:
    return connection.src + connection.dst + _IDENTITY.pack(
        connection.proto,
        connection.src_port,
        connection.dst_port,
        connection.icmp_type or 0,
        connection.icmp_code or 0,
    )  # fmt: skip


def _from_identity(id: int, identity: bytes) -> Connection:
    width = (len(identity) - _IDENTITY.size) // 2
    proto, src_port, dst_port, icmp_type, icmp_code = _IDENTITY.unpack_from(identity, 2 * width)
    return Connection(
        phase="end",
        id=id,
        proto=proto,
        src=identity[:width],
        dst=identity[width : 2 * width],
        src_port=src_port,
        dst_port=dst_port,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
    )


def _direction(
    said: bytes, src: bytes, dst: bytes, transmission: Transmission, own: frozenset[bytes]
) -> Direction | None:
    """The reporter's side; None when it is neither end (forwarded) or both (with itself)."""
    if said == b"I":
        return "I"
    if said == b"O":
        return "O"
    if src in own:
        return None if dst in own else "O"
    return "I" if dst in own or transmission != "U" else None
