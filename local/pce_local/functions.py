"""Loads the functions' handlers and invokes them in threads of this process, as Lambda would.

A handler is ``<folder>/<name>/handler.py`` with ``handler(event, context)``. All of them share one
interpreter, one environment and whatever they keep between calls, like warm Lambda environments.
"""

import asyncio
import importlib.util
import logging
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pce_local.config import ACCOUNT, REGION

THREADS = 10
"""Handlers that run at the same time. The interpreter runs one at a time and a handler waits for
the store about half of its life, so a few threads are all the speed there is; the others are there
so that one slow request does not hold up the quick ones. More would find no connection: a botocore
client keeps ten."""

Handler = Callable[[dict[str, Any], "LambdaContext"], Any]

log = logging.getLogger(__name__)


class HandlerFailed(Exception):
    """A handler raised, or there is none; it has been logged with its traceback."""


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The context object of an invocation, as far as handlers and libraries read it."""

    function_name: str
    timeout_s: float
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "512"
    log_stream_name: str = "local"
    client_context: None = None
    identity: None = None
    _started: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN in the emulated account."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        """The log group that the function would have on AWS."""
        return f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is given up; never negative."""
        return max(0, int((self._started + self.timeout_s - time.monotonic()) * 1000))


class Functions:
    """The handlers of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="function")
        self._handlers: dict[str, Handler] = {}
        self._running = 0
        self._lock = threading.Lock()

    def load(self, names: Iterable[str]) -> None:
        """Import the handlers; one that is missing or does not import is logged as an error.

        Importing at the start rather than at the first request keeps every request warm, and
        shows a broken handler at once. The others still serve, as they would on AWS.
        """
        for name in sorted(names):
            path = self._folder / name / "handler.py"
            try:
                self._handlers[name] = _load(path, name)
            except FileNotFoundError:
                log.error("function %s cannot be loaded: there is no %s", name, path)
            except Exception:
                log.exception("function %s cannot be loaded from %s", name, path)

    @property
    def running(self) -> int:
        """How many invocations are under way, including those nobody waits for any more."""
        return self._running

    def call(self, name: str, event: dict[str, Any], timeout_s: float) -> Any:
        """Invoke a function in this thread; the time-out is only told to it, not enforced.

        Raises:
            HandlerFailed: it raised; logged here.
        """
        handler = self._handlers.get(name)
        if handler is None:
            log.error("function %s was invoked, but could not be loaded at the start", name)
            raise HandlerFailed(f"function {name} could not be loaded")
        with self._lock:
            self._running += 1
        try:
            return handler(event, LambdaContext(name, timeout_s))
        except Exception as error:
            log.exception("function %s failed", name)
            raise HandlerFailed(f"function {name} failed: {error}") from error
        finally:
            with self._lock:
                self._running -= 1

    async def invoke(self, name: str, event: dict[str, Any], timeout_s: float) -> Any:
        """Invoke a function in the pool and wait at most ``timeout_s`` seconds.

        Python cannot stop a thread: after a time-out the handler runs on, unheard.

        Raises:
            HandlerFailed: it raised; logged.
            TimeoutError: it takes longer.
        """
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._pool, self.call, name, event, timeout_s)
        try:
            return await asyncio.wait_for(call, timeout_s)
        except TimeoutError:
            log.error("function %s did not answer in %g s", name, timeout_s)
            raise

    def close(self) -> None:
        """Take no more invocations; those under way are left to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _load(path: Path, name: str) -> Handler:
    """Import one handler under a module name of its own (every file is called handler.py)."""
    module_name = f"functions.{name}.handler"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    handler: Handler = module.handler
    return handler
