"""Many VENs with real sockets against a running PCE, in one process.

    python -m tests.fleet.swarm --credentials F --vens 200 --seconds 120

Each is the real agent with a simulated kernel: it activates with the PCE's activation code, holds
its own TLS connection and bolt channel, and enforces, reports and posts like any other. Halfway
the policy of all of them is changed through the management API: every bolt must arrive. Exit status
1 when anything failed: an error logged by a VEN, a missed heartbeat, a VEN without its bolt
channel or without the policy that the PCE wants it to hold.
"""

import argparse
import asyncio
import json
import logging
import random
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.operator import Credentials, Operator
from ven.activation import become_ven
from ven.agent import Agent
from ven.configuration import Server
from ven.edge import http
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.simulated import SimulatedKernel
from ven_protocol.messages import HostFacts

THREADS = 32
"""Requests at a time; the others wait, as they would for their turn on a network."""
START_SPREAD_S = 10
STOP_SPREAD_S = 10
"""Each waits 4 s for its goodbye to be heard; all at once would be a test of the machine."""
STOP_LIMIT_S = 60
DESCRIPTORS_PER_VEN = 10


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


class Complaints(logging.Handler):
    """Everything that a VEN logs as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen[record.getMessage()[:200]] += 1


class Swarm:
    """The VENs and what is known of them."""

    def __init__(self, credentials: Credentials, size: int, folder: Path) -> None:
        self.credentials = credentials
        self.folder = folder
        self.workers = ThreadPoolExecutor(THREADS, thread_name_prefix="swarm")
        self.agents: list[Agent] = []
        self.kernels: list[SimulatedKernel] = []
        self.crashes: list[BaseException] = []
        self.bolts = 0
        self.size = size
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await asyncio.gather(*(self._join(number) for number in range(self.size)))

    async def _join(self, number: int) -> None:
        await asyncio.sleep(random.uniform(0, START_SPREAD_S))
        name, address = f"swarm-{number}", ip_address("10.128.0.0") + number
        data = DataDirectory(self.folder / name)
        kernel = SimulatedKernel(name, [f"{address}/9"])

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
        self._count_bolts(agent)
        self.agents.append(agent)
        self.kernels.append(kernel)
        self._tasks.append(loop.create_task(self._live(agent)))

    def _count_bolts(self, agent: Agent) -> None:
        deliver = agent._bolts._on_bolt

        def counted(bolt: Any) -> None:
            self.bolts += 1
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

    async def change_policy(self) -> float:
        """Provision a rule for all workloads; seconds until the last VEN holds what it should."""
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        before = [agent.state.policy.held for agent in self.agents]
        await loop.run_in_executor(self.workers, allow_all_https, Operator(self.credentials))
        await until(
            lambda: all(
                agent.state.policy.held != old
                for agent, old in zip(self.agents, before, strict=True)
            ),
            60,
        )
        return time.monotonic() - began

    async def stop(self) -> None:
        for agent in self.agents:
            agent.stop()
            await asyncio.sleep(STOP_SPREAD_S / self.size)
        await asyncio.wait(self._tasks, timeout=STOP_LIMIT_S)
        self.workers.shutdown(wait=False, cancel_futures=True)


def allow_all_https(operator: Operator) -> None:
    """A rule set in which all workloads may connect to all on a random port, provisioned."""
    mark = f"swarm {time.time():.0f} {random.getrandbits(32):08x}"
    everybody = [{"actors": "ams"}]
    rules = operator.create(
        f"{operator.org}/sec_policy/draft/rule_sets", {"name": mark, "scopes": [[]]}
    )
    operator.create(
        rules["href"] + "/sec_rules",
        {
            "enabled": True,
            "providers": everybody,
            "consumers": everybody,
            "ingress_services": [{"proto": 6, "port": random.randrange(1024, 65536)}],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        },
    )
    operator.provision(mark)


async def until(good: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for a state; False when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while not good():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


async def run(credentials: Credentials, size: int, seconds: float, folder: Path) -> list[str]:
    """Live for so long; what went wrong, one line each."""
    complaints = Complaints()
    logging.getLogger("ven").addHandler(complaints)
    logging.getLogger("ven").propagate = False
    swarm = Swarm(credentials, size, folder)
    await swarm.start()
    began = time.monotonic()
    traffic = asyncio.create_task(swarm.traffic())
    problems = []

    def settled() -> bool:
        states = [agent.state for agent in swarm.agents]
        return all(s.policy.held and s.bolts.phase == "open" for s in states)

    if not await until(settled, 60):
        problems.append("not every VEN got a policy and a bolt channel within 60 s")
    await asyncio.sleep(max(0.0, began + seconds / 2 - time.monotonic()))
    bolts_before = swarm.bolts
    changed_s = await swarm.change_policy()
    bolts = swarm.bolts - bolts_before
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
    traffic.cancel()

    states = [agent.state for agent in swarm.agents]
    wanted = Counter(s.policy.held == s.policy.wanted for s in states)
    modes, phases = (
        Counter(s.heartbeat.mode for s in states),
        Counter(s.bolts.phase for s in states),
    )
    misses = sum(s.heartbeat.misses for s in states)
    waiting = sum(len(s.outbox.waiting) for s in states)
    failures = Counter(Measured.failures)  # what is cut off by stopping is no failure
    await swarm.stop()

    print(f"{size} VENs, {seconds:g} s; modes {dict(modes)}, bolt channels {dict(phases)}")
    print(
        f"policy change: all VENs in {changed_s:.2f} s, {bolts} bolts; batches waiting: {waiting}"
    )
    print(f"{'request':>16} {'answered':>9} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for name, waits in sorted(Measured.waits.items()):
        ordered = sorted(1000 * wait for wait in waits)
        p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        print(f"{name:>16} {len(ordered):>9} {p50:>8.1f} {p99:>8.1f} {ordered[-1]:>8.1f}")

    signs = Measured.answers["heartbeat"] + Measured.answers["flows"]
    expected = size * seconds / swarm.agents[0].state.heartbeat.interval_s
    if signs < 0.9 * expected:
        problems.append(f"{signs} signs of life were answered, about {expected:.0f} were due")
    if modes != {"normal": size} or misses:
        problems.append(f"modes {dict(modes)}, {misses} heartbeats missed at the end")
    if phases != {"open": size}:
        problems.append(f"bolt channels {dict(phases)}")
    if wanted != {True: size}:
        problems.append(f"{wanted[False]} VENs do not hold the policy that they should")
    if bolts < size:
        problems.append(f"{bolts} bolts arrived for {size} changed policies")
    problems += [f"{count} x {text}" for text, count in failures.items()]
    problems += [f"{count} x logged: {text}" for text, count in complaints.seen.items()]
    problems += [f"a VEN ended: {error!r}" for error in swarm.crashes]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--credentials", type=Path, required=True)
    parser.add_argument("--vens", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    credentials = Credentials.read(options.credentials)
    assert urlsplit(credentials.url).scheme == "https"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (min(most, 1024 + DESCRIPTORS_PER_VEN * options.vens), most)
    )
    for module in ("ven.agent", "ven.activation"):
        sys.modules[module].PceConnection = Measured  # type: ignore[attr-defined]
    # Data on a RAM disk where there is one: a fsync of 200 hosts is not what one host can do.
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="swarm-", dir=shm) as folder:
        problems = asyncio.run(run(credentials, options.vens, options.seconds, Path(folder)))
    for problem in problems:
        print(f"PROBLEM {problem}", file=sys.stderr)
    print(json.dumps({"vens": options.vens, "problems": len(problems)}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
