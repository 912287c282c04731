"""A whole VEN in a thread of the test's process."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.fakes.pce import wait_until
from ven.agent import Agent
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.simulated import SimulatedKernel
from ven.enforcement import load_last_known_good


@contextmanager
def running(data: DataDirectory, kernel: SimulatedKernel) -> Iterator[Agent]:
    """The agent in a thread of its own, stopped in an orderly way at the end."""
    found: list[Agent] = []
    failures: list[BaseException] = []
    loop = asyncio.new_event_loop()

    async def live() -> None:
        held = load_last_known_good(data, kernel)
        with ThreadPoolExecutor(3) as workers:
            agent = Agent(
                data, data.identity(), kernel, held, lambda ip: host_facts("web", ip), workers
            )
            found.append(agent)
            await agent.run()

    def work() -> None:
        try:
            loop.run_until_complete(live())
        except BaseException as error:
            failures.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until("the agent", lambda: found or failures)
        assert not failures, failures
        yield found[0]
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(found[0].stop)
        thread.join(20)
        assert not thread.is_alive()
        assert not failures, failures
