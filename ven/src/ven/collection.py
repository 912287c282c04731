"""Flow collection: from the kernel's streams into the ledger, from the ledger onto the disk.

What counts as what is decided in ``ven.core.flows``; when a window ends and when a batch is posted
in ``ven.core.coordination``. This is what the minimal state stops and starts again, and what the
documentation of compatible products calls the VTAP service; its log is ``vtap.log``.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ven.core.flows import MAX_ROWS, FlowLedger
from ven.core.kernel import Connection, Drained, Drop, Traffic
from ven.core.outbox import Batch
from ven.edge.clock import Clock
from ven.edge.files import DataDirectory
from ven.edge.readers import StreamReader
from ven.sampling_mode import SamplingMode
from ven_protocol.flows import FlowSummary, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts
from ven_protocol.policy import PolicyDocument

DUMP_SLICE = 1000
"""Connections of a table dump between two turns for other work: about 5 ms."""

NOBODY = Heartbeat(host=HostFacts(hostname="-", version="-"), uptime_seconds=0)
"""Stands in a stored batch until it is posted with the heartbeat of that moment."""

LONGEST_WINDOW_S = 80_000
"""A batch of a window of more than a day is refused; after a disk that was full for longer, the
oldest summaries begin before their window."""

_log = logging.getLogger("ven.vtap")


class FlowCollection:
    """Everything between the kernel's flow events and the batches on disk."""

    def __init__(
        self,
        data: DataDirectory,
        kernel: Traffic,
        clock: Clock,
        on_batch: Callable[[Batch], None],
        on_error: Callable[[BaseException], None],
        names: Callable[[], Mapping[bytes, str]] = dict,
        container: str = "",
    ) -> None:
        """``on_batch`` is told of batches that are stored before their window ends, because
        memory for it was used up. ``names`` tells domain names of addresses. ``container``: whose
        network it is, if not the host's."""
        self._data = data
        self._kernel = kernel
        self._clock = clock
        self._on_batch = on_batch
        self._on_error = on_error
        self._names = names
        self._container = container
        self._readers: list[StreamReader[Any]] = []
        self._wanted = False
        self._unsaved: list[FlowSummary] = []
        """What the disk did not take, with the beginning of its first window."""
        self._unsaved_since = math.inf
        self.ledger = FlowLedger(clock.wall())
        self._sampling = SamplingMode(kernel, self.ledger, clock, on_error)

    def follow(self, document: PolicyDocument) -> None:
        """This policy is in force: it says what is reported, and how refusals are meant."""
        self.ledger.mode = document.mode
        self.ledger.visibility = document.visibility

    def start(self) -> None:
        """Collect from now on. Raises OSError when the kernel does not let us listen. Up to 25 ms
        when there are many connections."""
        self._wanted = True
        self.adapt()

    def adapt(self) -> None:
        """After another policy: listen as it says. With visibility ``flow_off`` no event of the
        kernel's is read at all. Raises OSError, as :meth:`start`."""
        listen = self._wanted and self.ledger.visibility != "flow_off"
        if listen and not self._readers:
            self._listen()
        elif self._readers and not listen:
            if self._wanted:  # what was seen before stays seen
                self._store_early()
            self._deafen()

    def stop(self) -> None:
        """Collect no more; what is in the ledger is forgotten at the next start."""
        self._wanted = False
        self._deafen()

    def _listen(self) -> None:
        self.ledger.forget(self._clock.wall())
        for connection in self._kernel.dump():
            if not self.ledger.found(connection, self._clock.wall()):
                break
        connections = StreamReader(
            self._kernel.connections(), self._saw_connections, self._on_error
        )
        drops = StreamReader(self._kernel.drops(), self._saw_drops, self._on_error)
        self._readers = [connections, drops]
        self._sampling.start(connections)
        _log.info("collecting flows")

    def _deafen(self) -> None:
        if self._readers:
            self._sampling.stop()
            _log.info("flow collection stopped")
        while self._readers:
            self._readers.pop().close()

    async def close_window(self) -> tuple[Batch, ...]:
        """End the window: read all that lives, put the summaries on disk."""
        ledger = self.ledger
        start = ledger.window_start
        if not self._readers:
            ledger.close(self._clock.wall())
            return ()
        batches: list[Batch | None] = []
        for reader in self._readers:
            reader.read_now()
        ledger.begin_dump(counted_at=self._sampling.read_counts())
        try:
            for number, connection in enumerate(self._kernel.dump(), 1):
                ledger.see(connection, self._clock.wall())
                if ledger.full:
                    batches.append(self._store(start, ledger.take(self._clock.wall())))
                if number % DUMP_SLICE == 0:
                    await asyncio.sleep(0)
        except OSError as error:
            _log.error("connection table: %s", error)
            ledger.end_dump(self._clock.wall(), complete=False)
        else:
            ledger.end_dump(self._clock.wall(), complete=True)
        ledger.users = self._kernel.connecting_users()
        ledger.names = self._names()
        batches.append(self._store(start, ledger.close(self._clock.wall())))
        return tuple(batch for batch in batches if batch is not None)

    def _saw_connections(self, drained: Drained[Connection]) -> None:
        now = self._clock.wall()
        self._sampling.saw(drained)
        for connection in drained.items:
            self.ledger.see(connection, now)
        self._after_drain(drained.lost, "connection")

    def _saw_drops(self, drained: Drained[Drop]) -> None:
        now = self._clock.wall()
        for drop in drained.items:
            self.ledger.drop(drop, now)
        self._after_drain(drained.lost, "drop")

    def _after_drain(self, lost: bool, what: str) -> None:
        if lost:
            _log.warning("%s events were lost: the kernel's buffer overran", what)
        if self.ledger.full:
            self._store_early()

    def _store_early(self) -> None:
        """Store what was built up; the window goes on."""
        start = self.ledger.window_start
        batch = self._store(start, self.ledger.take(self._clock.wall()))
        if batch is not None:
            self._on_batch(batch)

    def _store(self, start: float, summaries: Sequence[FlowSummary]) -> Batch | None:
        """Put a batch on disk; None when there is nothing in it. What the disk does not take waits
        in memory, up to ``MAX_ROWS`` summaries, and comes with the next batch."""
        summaries = [*self._unsaved, *summaries]
        if not summaries:
            return None
        end = int(self._clock.wall())
        start = max(min(start, self._unsaved_since), end - LONGEST_WINDOW_S)
        try:
            seq = self._data.next_sequence()
            content = encode_batch(
                seq, min(int(start), end), end, NOBODY, summaries, self._container
            )
            batch = self._data.save_batch(seq, content)
        except OSError as error:
            self._unsaved, self._unsaved_since = summaries[-MAX_ROWS:], start
            lost = len(summaries) - len(self._unsaved)
            _log.error("%d flow summaries wait in memory: %s", len(self._unsaved), error)
            if lost:
                _log.error("%d flow summaries dropped: no room for them", lost)
            return None
        self._unsaved, self._unsaved_since = [], math.inf
        _log.info("batch %d: %d summaries, %d bytes", seq, len(summaries), batch.size_bytes)
        return batch
