"""What the agent has under way: coroutines in its loop, blocking calls in worker threads.

Requests to the PCE go one at a time, because they share a connection. An error that nobody foresaw
goes to ``on_error``, wherever it was raised.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import TypeVar

from ven.edge.http import RequestFailed

_Result = TypeVar("_Result")

_log = logging.getLogger("ven.agent")


class Work:
    """Made and used in a running event loop."""

    def __init__(self, workers: Executor, on_error: Callable[[BaseException], None]) -> None:
        self._workers = workers
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._request_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        """Let it run beside everything else."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def in_thread(self, call: Callable[..., _Result], *arguments: object) -> _Result:
        """The result of a call that may block."""
        return await self._loop.run_in_executor(self._workers, call, *arguments)

    async def request(self, call: Callable[..., _Result], *arguments: object) -> _Result:
        """The result of a request to the PCE; raises what the call raises."""
        async with self._request_lock:
            return await self.in_thread(call, *arguments)

    async def best_effort(self, what: str, call: Callable[..., None], *arguments: object) -> None:
        """A request whose failure is only logged."""
        try:
            await self.request(call, *arguments)
        except RequestFailed as error:
            _log.warning("%s: %s", what, error)

    def cancel(self) -> None:
        """End all coroutines where they wait. Calls in threads go on, and nobody hears of them."""
        for task in self._tasks:
            task.cancel()

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)
