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

In sampling mode most connections are *untold*: counted by the kernel, without events. How many of
them ended is the difference between what was counted and what a dump shows (``ven.core.untold``):
C for TCP, T for others, with estimated bytes. Those that live are in the dump like any other.

In mode ``idle`` the firewall is not ours: only the dump counts, as state S with ``pd`` 3.

Memory: at most :data:`MAX_LIVE` connections are remembered and :data:`MAX_ROWS` summaries built
up; both are packed. Beyond the first, a connection counts as active without bytes and brings all
its bytes with its end; at the second the agent takes the summaries early. Neither loses a count.
"""

import math
import struct
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from ven.core.flow_keys import (
    PORT_OF_ROW,
    QUALIFIED,
    ROW,
    TCP,
    from_identity,
    identity,
    row_key,
    untold_key,
)
from ven.core.kernel import Connection, Decision, Drop, Untold
from ven.core.neighbourhood import Neighbourhood
from ven.core.untold import Measures, UntoldBooks
from ven_protocol.flow_columns import ICMP_PROTOCOLS
from ven_protocol.flows import Direction, FlowSummary, State
from ven_protocol.messages import EnforcementMode, OpenPort, VisibilityLevel

MAX_LIVE = 5_000
"""Connections remembered between their events: about 1 MiB."""
MAX_ROWS = 5_000
"""Summaries of one window: about 3 MiB, sixteen times the sizing rule of 300."""

_LIVE = struct.Struct("<dQQI?BB?")
"""Started (Unix time), bytes to and from the responder reported so far, number of the last dump
that showed it, whether its end was reported already, decision, qualifier, whether it is untold.
Then the identity."""


class Owner(Struct, frozen=True):
    """Who listens on a port."""

    process: str | None
    user: str | None


class _Sum:
    """Values of one summary while it grows."""

    __slots__ = ("count", "dbi", "dbo", "ddms", "first", "last", "measured", "tbi", "tbo", "tdms")

    def __init__(self, first: float, last: float) -> None:
        self.first, self.last = first, last
        self.count = 0
        self.measured = False
        """Bytes and durations are those of some of the connections at least."""
        self.tbi = self.tbo = self.dbi = self.dbo = self.tdms = self.ddms = 0.0

    def add(self, measures: Measures, times: int = 1) -> None:
        tbi, tbo, dbi, dbo, tdms, ddms = measures
        self.tbi += tbi * times
        self.tbo += tbo * times
        self.dbi += dbi * times
        self.dbo += dbo * times
        self.tdms += tdms * times
        self.ddms += ddms * times
        self.measured = True


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
        """By protocol and port that they listen on."""
        self.users: Mapping[tuple[bytes, int, int], str] = {}
        """Users of this host by what they connect to (``Kernel.connecting_users``)."""
        self.names: Mapping[bytes, str] = {}
        """Domain names of others' addresses."""
        self._live: dict[int, bytes] = {}
        self._rows: dict[bytes, _Sum] = {}
        self._dump = 0
        self._dump_at = math.inf
        self._untold = UntoldBooks(port_of=PORT_OF_ROW)
        self._sampled = (math.inf, math.inf)

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
        if connection.untold and not connection.closed:
            self._untold.began(untold_key(connection), 1)
        return self._remember(connection, started, connection.bytes_to_dst, connection.bytes_to_src)

    def sampling(self, on: bool, now: float) -> None:
        """From now on those told are drawn at random; or all are told."""
        self._sampled = (now, math.inf) if on else (self._sampled[0], now)

    def begun_untold(self, untold: Untold, now: float) -> None:
        """Take what the kernel counted since it was last asked."""
        if self._wanted(untold.decision):
            key = untold_key(untold)
            self._count_untold(key, self._untold.began(key, untold.count), now)

    def drop(self, drop: Drop, now: float) -> None:
        """Take a refused packet; a would-be refused one counts as the connection it became."""
        if drop.decision != Decision.BLOCKED or not self._wanted(drop.decision):
            return
        state = b"N" if drop.proto == TCP else b"-"
        key = row_key(drop, state, drop.decision, drop.direction.encode())
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Sum(now, now)
        row.count += drop.count
        row.last = now

    def begin_dump(self, counted_at: float = math.inf) -> None:
        """A dump of all live connections follows, each through :meth:`see`. ``counted_at``: when
        the kernel was last asked for untold ones; what began later is not in the books."""
        self._dump += 1
        self._dump_at = counted_at
        self._untold.begin_dump()

    def end_dump(self, now: float, complete: bool) -> None:
        """The dump is over; an incomplete one says nothing of what it did not show."""
        if complete:
            self._count_vanished(now)
            for key, count in self._untold.ended():
                self._count_untold(key, count, now)
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
        self._untold.end_window()
        self.window_start = now
        return summaries

    def forget(self, now: float) -> None:
        """Begin anew: collection was stopped and what happened meanwhile is not known."""
        self._live.clear()
        self._rows.clear()
        self._untold.clear()
        self._sampled = (math.inf, math.inf)
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
        if connection.untold and not self._lives_untold(connection):
            return
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

    def _lives_untold(self, connection: Connection) -> bool:
        """Whether it is open: the end of one that is not is in the books."""
        if connection.closed:
            self._live.pop(connection.id, None)
            return False
        if connection.started is None or connection.started <= self._dump_at:
            self._untold.is_open(untold_key(connection))
        return True

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
            connection.untold,
        )
        self._live[connection.id] = packed + identity(connection)
        return True

    def _recall(
        self, connection: Connection, forget: bool = False
    ) -> tuple[float | None, int, int, bool]:
        """When it started, bytes reported, whether its end was reported."""
        packed = self._live.get(connection.id)
        if packed is None or packed[_LIVE.size :] != identity(connection):
            return connection.started, 0, 0, False  # not known, or the id is used again
        if forget:
            del self._live[connection.id]
        started, bytes_in, bytes_out, _, done, _, _, _ = _LIVE.unpack_from(packed)
        return connection.started or started, bytes_in, bytes_out, done

    def _count_vanished(self, now: float) -> None:
        for id, packed in list(self._live.items()):
            started, bytes_in, bytes_out, dump, done, decision, qualifier, untold = (
                _LIVE.unpack_from(packed)
            )
            if dump >= self._dump - (0 if untold else 1):
                continue  # shown by this dump, or young enough for its end to be on its way
            del self._live[id]
            if not done and not untold and self.mode != "idle":
                connection = replace(
                    from_identity(id, packed[_LIVE.size :]),
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
            return decision in QUALIFIED
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
        key = row_key(connection, state, decision)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Sum(started, last)
        row.count += 1
        row.first = min(row.first, started)
        row.last = max(row.last, last)
        if not totals:
            return
        measures: Measures = (
            connection.bytes_to_dst,
            connection.bytes_to_src,
            max(0, connection.bytes_to_dst - bytes_in),
            max(0, connection.bytes_to_src - bytes_out),
            max(0, int((last - started) * 1000)),
            max(0, int((last - max(started, self.window_start)) * 1000)),
        )
        row.add(measures)
        if state in b"CT" and self._sampled[0] <= started < self._sampled[1]:
            self._untold.sampled(untold_key(connection), measures)

    def _count_untold(self, key: bytes, count: int, now: float) -> None:
        """So many ended, somewhen in this window."""
        if not count:
            return
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Sum(self.window_start, now)
        row.count += count
        row.first = min(row.first, self.window_start)
        row.last = now
        measures = self._untold.estimate(key)
        if measures:
            row.add(measures, count)

    def _summary(self, key: bytes, row: _Sum, now: float) -> FlowSummary | None:
        width = (len(key) - ROW.size) // 2
        src, dst = key[:width], key[width : 2 * width]
        proto, port, icmp_type, icmp_code, direction, state, pd, qualifier = ROW.unpack_from(
            key, 2 * width
        )
        said: Mapping[bytes, Direction] = {b"I": "I", b"O": "O"}
        dir = said.get(direction) or self.neighbourhood.direction(src, dst)
        if dir is None:
            return None
        icmp = proto in ICMP_PROTOCOLS
        process = user = None
        if pd != Decision.BLOCKED and dir == "I" and (proto, port) in self.owners:
            owner = self.owners[proto, port]
            process, user = owner.process, owner.user
        elif pd != Decision.BLOCKED and dir == "O":
            user = self.users.get((dst, proto, icmp_type << 8 | icmp_code if icmp else port))
        enhanced = self.visibility == "enhanced_data_collection" and state in b"ACT"
        enhanced = enhanced and row.measured
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
            transmission=self.neighbourhood.transmission(dst),
            count=row.count,
            first=min(int(row.first), last),
            last=last,
            process=process,
            user=user,
            fqdn=self.names.get(dst) if dir == "O" else None,
            tbi=int(row.tbi) if enhanced else None,
            tbo=int(row.tbo) if enhanced else None,
            dbi=int(min(row.dbi, row.tbi)) if enhanced else None,
            dbo=int(min(row.dbo, row.tbo)) if enhanced else None,
            tdms=int(row.tdms) if enhanced else None,
            ddms=int(min(row.ddms, row.tdms)) if enhanced else None,
        )


def port_owners(ports: Iterable[OpenPort]) -> dict[tuple[int, int], Owner]:
    """Who listens where, by protocol and port; the first one named wins."""
    owners: dict[tuple[int, int], Owner] = {}
    for port in ports:
        owners.setdefault((port.protocol, port.port), Owner(port.process_name, port.user))
    return owners


_STATES: dict[bytes, State] = {
    b"A": "A", b"C": "C", b"T": "T", b"S": "S", b"N": "N", b"-": "",
}  # fmt: skip
