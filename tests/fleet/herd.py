"""A fleet that lost its PCE comes back: what it asks of the API in each second.

    python -m tests.fleet.herd --vens 100000

Simulated: the VEN's real decision core (``ven.core.coordination``, with heartbeats, degraded mode,
bolt channel, reports and actions) for every VEN, on a fake clock; requests that arrive after up to
a second or fail after ten; API Gateway's two quotas as token buckets, of the whole account and of
new WebSocket connections. Not simulated: the PCE's own work, the network's bandwidth, flows and
policies (there are none), the kernel. A smaller fleet has quotas smaller by as much, and its rates
are of more than one second.

Two cases. ``outage``: every connection ends and nothing answers for an hour. ``drop``: every
connection ends at one instant and the PCE answers all along.
"""

import argparse
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.fleet.simulator import HEARTBEAT_S, SETTINGS
from ven.core import actions, bolts, coordination, policy_state, reports
from ven.core.heartbeat import JITTER
from ven.core.timing import NEVER, Dice, Tick
from ven_protocol.messages import HeartbeatReply

FLEET = 100_000
REQUESTS_PER_S, REQUESTS_BURST = 10_000, 5_000
"""API Gateway: requests of an account and region, WebSocket connections and posts among them."""
CONNECTIONS_PER_S = 500
"""API Gateway: new WebSocket connections of an account and region."""
OUTAGE_S = 3600
SETTLING_S = 700
"""Two heartbeats: the fleet has spread, and every VEN its connection."""
UNREACHABLE_S = 10
"""Until a request that nobody answers has failed."""
WINDOW_VENS = 100
CONNECTION_FLOOR_S = FLEET / CONNECTIONS_PER_S


class Quota:
    """A token bucket."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._left, self._at = burst, 0.0

    def takes(self, now: float) -> bool:
        """Whether one more fits now."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass
class Seen:
    """What the API saw since the end of the outage. Seconds count from there."""

    requests: Counter[int] = field(default_factory=Counter)
    """All requests by second, those refused among them."""
    connections: Counter[int] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    heard: dict[int, float] = field(default_factory=dict)
    """When each VEN was first answered."""
    connected: dict[int, float] = field(default_factory=dict)


class Herd:
    """The fleet, the API and the clock."""

    def __init__(self, size: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.up = True
        self.seen: Seen | None = None
        self.size = size
        share = size / FLEET
        self._requests = Quota(REQUESTS_PER_S * share, REQUESTS_BURST * share)
        burst = CONNECTIONS_PER_S * share * window_s(size)
        self._connections = Quota(CONNECTIONS_PER_S * share, burst)
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self.vens = [_Ven(number, self) for number in range(size)]

    def run(self, until: float) -> None:
        """Let time pass until then."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, then = heapq.heappop(queue)
            then()
        self.now = until

    def later(self, wait_s: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + wait_s, next(self._order), then))

    def outage(self, seconds: float) -> None:
        """Every connection ends; nothing answers for so long."""
        self.up = False
        self.drop()
        self.run(self.now + seconds)
        self.up = True
        self.seen = Seen()

    def drop(self) -> None:
        """Every connection ends at this instant."""
        self.seen = Seen()
        for ven in self.vens:
            if ven.connected:
                ven.connected = False
                ven.feed(bolts.Lost())

    def admits(self, connection: bool) -> bool:
        """Whether the API takes a request now."""
        admitted = self._requests.takes(self.now)
        if connection:
            admitted = self._connections.takes(self.now) and admitted
        if self.seen is not None:
            self.seen.requests[int(self.now)] += 1
            self.seen.connections[int(self.now)] += connection
            if not admitted:
                self.seen.refused["connection" if connection else "request"] += 1
        return admitted


class _Ven:
    """The core, and edges that go through the API's quotas."""

    def __init__(self, number: int, herd: Herd) -> None:
        self.number, self.herd = number, herd
        self.connected = False
        self.wake_at = NEVER
        herd.later(herd.random.uniform(0, HEARTBEAT_S), self.start)

    def start(self) -> None:
        random, now = self.herd.random, self.herd.now
        policy = policy_state.start(Dice(random.getrandbits(62)))
        self.state = coordination.start(now, random.getrandbits(62), SETTINGS, policy)
        self.feed(coordination.Started())

    def feed(self, event: coordination.Event) -> None:
        self.state, commands = coordination.step(self.state, event, self.herd.now)
        for command in commands:
            self.perform(command)
        at = coordination.wake_at(self.state)
        if at not in (NEVER, self.wake_at):
            self.wake_at = at
            self.herd.later(max(0.0, at - self.herd.now), lambda: self.wake(at))

    def wake(self, at: float) -> None:
        if at == self.wake_at:
            self.wake_at = NEVER
            self.feed(Tick())

    def perform(self, command: coordination.Command) -> None:
        match command:
            case coordination.SendHeartbeat(done):
                self.ask(lambda: self.answered(done), lambda _: coordination.HeartbeatMissed())
            case bolts.OpenBolts():
                self.ask(self.opened, lambda busy: bolts.Failed(busy), connection=True)
            case coordination.CloseWindow():
                self.feed(coordination.WindowClosed(()))
            case reports.SendReport(kind):
                self.ask(lambda: reports.ReportAccepted(kind), lambda _: reports.ReportFailed(kind))
            case actions.Do(action):
                self.feed(actions.Finished(action.id))
            case _:
                pass

    def ask(
        self,
        answer: Callable[[], coordination.Event],
        failure: Callable[[bool], coordination.Event],
        connection: bool = False,
    ) -> None:
        """One request; ``failure`` is told whether the API refused it."""
        herd = self.herd

        def arrive() -> None:
            if not herd.up:
                herd.later(UNREACHABLE_S, lambda: self.feed(failure(False)))
            elif herd.admits(connection):
                self.feed(answer())
            else:
                self.feed(failure(True))

        herd.later(herd.random.random(), arrive)

    def answered(self, done: tuple[str, ...]) -> coordination.Event:
        if self.herd.seen is not None:
            self.herd.seen.heard.setdefault(self.number, self.herd.now)
        reply = HeartbeatReply(etag="", server_time="", next_heartbeat_s=HEARTBEAT_S)
        return coordination.HeartbeatAnswered(reply, done)

    def opened(self) -> coordination.Event:
        self.connected = True
        if self.herd.seen is not None:
            self.herd.seen.connected.setdefault(self.number, self.herd.now)
        return bolts.Opened()


@dataclass(frozen=True)
class Return:
    """How a fleet came back; seconds since the PCE answered again, rates of 100,000 VENs."""

    requests_per_s: float
    connections_per_s: float
    """The busiest second of each; of a smaller fleet the busiest seconds in a row, in which 100
    VENs come back on average."""
    refused: Counter[str]
    heard_s: float
    connected_s: float
    """The last VEN."""
    missing: int

    def lines(self) -> Sequence[str]:
        return (
            f"busiest second: {self.requests_per_s:.0f} requests (quota {REQUESTS_PER_S}),"
            f" {self.connections_per_s:.0f} of them new connections (quota {CONNECTIONS_PER_S})",
            f"refused: {dict(self.refused) or 'none'}",
            f"last VEN heard after {self.heard_s:.0f} s, connected after {self.connected_s:.0f} s;"
            f" not back: {self.missing}",
        )


def window_s(size: int) -> int:
    """Seconds in which ``WINDOW_VENS`` of a fleet come back: chance counts for less in as many."""
    return max(1, round(WINDOW_VENS * HEARTBEAT_S / size))


def come_back(case: str, size: int, seed: int = 1, outage_s: float = OUTAGE_S) -> Return:
    """Simulate one case. Memory some 4 KB a VEN; CPU some 2 ms a VEN for an hour."""
    herd = Herd(size, seed)
    herd.run(SETTLING_S)
    if case == "outage":
        herd.outage(outage_s)
    else:
        herd.drop()
    began = herd.now
    herd.run(began + HEARTBEAT_S * (1 + JITTER) + 2 * CONNECTION_FLOOR_S)
    seen, share = herd.seen, size / FLEET
    assert seen is not None
    width_s = window_s(size)

    def busiest(by_second: Counter[int]) -> float:
        windows: Counter[int] = Counter()
        for second, count in by_second.items():
            windows[int(second - began) // width_s] += count
        return max(windows.values()) / width_s / share

    return Return(
        requests_per_s=busiest(seen.requests),
        connections_per_s=busiest(seen.connections),
        refused=seen.refused,
        heard_s=max(seen.heard.values()) - began,
        connected_s=max(seen.connected.values()) - began,
        missing=size - min(len(seen.heard), len(seen.connected)),
    )


def main() -> None:
    """Print how a fleet comes back in each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vens", type=int, default=FLEET)
    parser.add_argument("--outage-s", type=int, default=OUTAGE_S)
    parser.add_argument("--case", choices=("outage", "drop"), nargs="*")
    options = parser.parse_args()
    for case in options.case or ("outage", "drop"):
        print(f"{case}, {options.vens} VENs, rates as of {FLEET}")
        for line in come_back(case, options.vens, outage_s=options.outage_s).lines():
            print(f"  {line}")


if __name__ == "__main__":
    main()
