"""Many VENs in one process: each the real agent with a simulated kernel, its own TLS connection and
its own bolt channel."""

import asyncio
import logging
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from demo.operator import Credentials
from ven.activation import become_ven
from ven.agent import Agent
from ven.configuration import Server
from ven.edge import http
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.simulated import SimulatedKernel
from ven_protocol.messages import HostFacts
from ven_protocol.policy import PolicyDocument

THREADS = 32
"""Requests at a time; the others wait, as they would for their turn on a network."""
STARTS_PER_S = 100
STOPS_PER_S = 100
"""Each waits 4 s for its goodbye to be heard; all at once would be a test of the machine."""
STOP_LIMIT_S = 60


class Measured(http.PceConnection):
    """A connection that notes every request: its resource, how long it took, how it ended."""

    answers: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    waits: dict[str, list[float]] = defaultdict(list)

    def request(self, method: str, path: str, *rest: Any, **more: Any) -> http.Response:
        resource_name = path.split("/", 7)[-1] if path.count("/") > 6 else path.rsplit("/", 1)[-1]
        began = time.monotonic()
        try:
            response = super().request(method, path, *rest, **more)
        except http.RequestFailed as error:
            if isinstance(error, http.Refused) and "activation_busy" in error.tokens:
                raise  # the VEN was asked to come again, and does
            self.failures[f"{resource_name}: {type(error).__name__}: {error}"[:200]] += 1
            raise
        self.waits[resource_name].append(time.monotonic() - began)
        self.answers[resource_name] += 1
        return response


def measure_requests() -> None:
    """From now on every agent of this process uses :class:`Measured`."""
    for module in ("ven.agent", "ven.activation"):
        sys.modules[module].PceConnection = Measured  # type: ignore[attr-defined]


class Complaints(logging.Handler):
    """Everything that a VEN logs as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: Counter[str] = Counter()
        logging.getLogger("ven").addHandler(self)
        logging.getLogger("ven").propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.seen[record.getMessage()[:200]] += 1


class TimedKernel(SimulatedKernel):
    """Notes when it first allowed each port; forgets all documents but the last."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.allowed_at: dict[int, float] = {}
        """Port to monotonic seconds."""

    def apply(self, document: PolicyDocument) -> int:
        count = super().apply(document)
        del self.applied[:-1]
        now = time.monotonic()
        for rule in document.rules:
            for service in rule.services:
                if service.port is not None:
                    self.allowed_at.setdefault(service.port, now)
        return count


class Vens:
    """The VENs and what is known of them."""

    def __init__(self, credentials: Credentials, size: int, folder: Path) -> None:
        self.credentials = credentials
        self.folder = folder
        self.workers = ThreadPoolExecutor(THREADS, thread_name_prefix="vens")
        self.agents: list[Agent] = []
        self.kernels: list[TimedKernel] = []
        self.crashes: list[BaseException] = []
        self.bolts: dict[str, float] = {}
        """Host name to when its first bolt came (monotonic seconds) since this was cleared."""
        self.last_bolt_at = 0.0
        self.size = size
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Pair all of them and let them run."""
        await asyncio.gather(*(self._join(number) for number in range(self.size)))

    async def _join(self, number: int) -> None:
        await asyncio.sleep(random.uniform(0, self.size / STARTS_PER_S))
        name, address = f"swarm-{number}", ip_address("10.128.0.0") + number
        data = DataDirectory(self.folder / name)
        kernel = TimedKernel(name, [f"{address}/9"])

        def facts(public_ip: str = "") -> HostFacts:
            return host_facts(name, public_ip)

        loop = asyncio.get_running_loop()
        identity = await loop.run_in_executor(
            self.workers,
            lambda: become_ven(
                data,
                kernel,
                facts(),
                Server.parse(self.credentials.server),
                self.credentials.activation_code,
                Path(self.credentials.ca_file) if self.credentials.ca_file else None,
            ),
        )
        agent = Agent(data, identity, kernel, None, facts, self.workers)
        self._count_bolts(name, agent)
        self.agents.append(agent)
        self.kernels.append(kernel)
        self._tasks.append(loop.create_task(self._live(agent)))

    def _count_bolts(self, name: str, agent: Agent) -> None:
        deliver = agent._bolts._on_bolt

        def counted(bolt: Any) -> None:
            self.last_bolt_at = time.monotonic()
            self.bolts.setdefault(name, self.last_bolt_at)
            deliver(bolt)

        agent._bolts._on_bolt = counted

    async def _live(self, agent: Agent) -> None:
        try:
            await agent.run()
        except Exception as error:
            self.crashes.append(error)

    async def traffic(self) -> None:
        """Each VEN is connected to and from, a little, so that there is something to post."""
        while True:
            for kernel in list(self.kernels):
                own = kernel.interfaces()[0].address
                peer = str(ip_address("10.128.0.0") + random.randrange(self.size))
                if peer != own:
                    kernel.connect(peer, own, 6, random.choice((22, 80, 443)), 500, 5000)
            await asyncio.sleep(5)

    def settled(self) -> bool:
        """Whether all hold the policy that they should and have their bolt channel, and none is
        about to replace it: that ends with a heartbeat, which tells what a bolt would."""
        states = [agent.state for agent in self.agents]
        return all(
            s.policy.held
            and s.policy.held == s.policy.wanted
            and s.bolts.phase == "open"
            and not s.bolts.replacing
            for s in states
        )

    def quiet(self, for_s: float) -> bool:
        """Whether they are settled, and no bolt has come for so long."""
        return time.monotonic() - self.last_bolt_at > for_s and self.settled()

    def allowing(self, port: int) -> int:
        """How many kernels allow this port."""
        return sum(port in kernel.allowed_at for kernel in self.kernels)

    def allowed_at(self, port: int) -> dict[str, float]:
        """Host name to when its kernel began to allow this port (monotonic seconds), in order."""
        allowed = {k.hostname: k.allowed_at[port] for k in self.kernels if port in k.allowed_at}
        return dict(sorted(allowed.items(), key=lambda item: item[1]))

    async def stop(self) -> None:
        for agent in self.agents:
            agent.stop()
            await asyncio.sleep(1 / STOPS_PER_S)
        await asyncio.wait(self._tasks, timeout=STOP_LIMIT_S)
        self.workers.shutdown(wait=False, cancel_futures=True)


async def until(good: Callable[[], bool], timeout_s: float, every_s: float = 0.05) -> bool:
    """Wait for a state; False when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while not good():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(every_s)
    return True
