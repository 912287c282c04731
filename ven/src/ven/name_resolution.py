"""Domain names in the policy: resolved, observed, and their addresses put into the kernel.

What a name means is decided in ``ven.core.names``; this asks the host's resolver, reads what name
servers answer, and gives the kernel what came of it, one change at a time: whatever is learned
while the kernel takes one goes in with the next.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from ven.core.dns import Answer
from ven.core.kernel import Drained, Kernel, KernelRefused
from ven.core.names import Learned, NameBook
from ven.core.timing import NEVER, Dice
from ven.edge import answers
from ven.edge.clock import Clock
from ven.edge.files import DataDirectory
from ven.edge.readers import StreamReader
from ven.enforcement import Enforcement
from ven_protocol.policy import PolicyDocument

WAIT_S = 5.0
"""Between two looks for what has expired while a name is being resolved."""

_log = logging.getLogger("ven.agent")


class NameResolution:
    """The names of the policy in force. Costs nothing while it has none."""

    def __init__(
        self,
        data: DataDirectory,
        kernel: Kernel,
        enforcement: Enforcement,
        workers: Executor,
        clock: Clock,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._data = data
        self._kernel = kernel
        self._enforcement = enforcement
        self._workers = workers
        self._clock = clock
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._book = NameBook(Dice(secrets.randbits(63)))
        self._reader: StreamReader[Answer] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._filling: asyncio.Task[None] | None = None
        self._stale = False
        self._closed = False

    def restore(self, document: PolicyDocument) -> None:
        """Go on with the policy that was loaded at the start, and what was known then."""
        self._book.want(document.names, self._clock.monotonic())
        self._book.remember(self._data.remembered_names(), self._clock.monotonic())
        self.adopt(document)

    def wanted_by(self, document: PolicyDocument) -> Learned:
        """What the kernel must know when it is given this policy in place of the one in force."""
        return self._book.learned() | self._book.learned(document.names)

    def names(self) -> dict[bytes, str]:
        """Names of addresses, as far as the policy asks for them."""
        return self._book.names()

    def adopt(self, document: PolicyDocument) -> None:
        """The kernel holds this policy now."""
        self._book.want(document.names, self._clock.monotonic())
        if document.names:
            self._listen()
            self.refill()
        else:
            self._stop_listening()
        self._look()

    def refill(self) -> None:
        """Give the kernel what is known; soon, and only once if asked again before."""
        self._stale = True
        if self._filling is None and not self._closed:
            self._filling = self._loop.create_task(self._fill())

    def close(self) -> None:
        """Stop; the kernel keeps what it has."""
        self._closed = True
        self._stop_listening()
        for task in (self._timer, self._resolving, self._filling):
            if task is not None:
                task.cancel()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _listen(self) -> None:
        if self._reader is not None:
            return
        try:
            stream = self._kernel.answers()
        except OSError as error:
            _log.error("answers of name servers cannot be read: %s", error)
            return
        self._reader = StreamReader(stream, self._answered, self._on_error, gather_s=0)

    def _stop_listening(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _answered(self, drained: Drained[Answer]) -> None:
        now = self._clock.monotonic()
        changes = [self._book.answered(answer, now) for answer in drained.items]
        if any(changes):
            self.refill()

    def _look(self) -> None:
        """Forget what has expired, resolve what is due, and come back when there is more."""
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.monotonic()
        if self._book.expire(now):
            self.refill()
        if self._resolving is None and (name := self._book.due(now)) is not None:
            self._resolving = self._loop.create_task(self._resolve(name))
        at = self._book.wake_at()
        if at != NEVER:
            # Others that are due wait for the one that is being resolved, which looks again.
            soonest_s = WAIT_S if self._resolving else 0.0
            self._timer = self._loop.call_later(max(soonest_s, at - now), self._look)

    async def _resolve(self, name: str) -> None:
        if self._thread is None:
            # A resolver that does not answer must not hold up requests and the kernel.
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="ven-names")
        try:
            found = await self._loop.run_in_executor(self._thread, answers.resolve, name)
        except answers.ResolutionFailed as error:
            _log.warning("the last good answer stays: %s", error)
            self._book.failed(name, self._clock.monotonic())
        except Exception as error:
            self._on_error(error)
            return
        else:
            if self._book.resolved(name, found, self._clock.monotonic()):
                self.refill()
        self._resolving = None
        self._look()

    async def _fill(self) -> None:
        try:
            while self._stale:
                self._stale = False
                learned = self._book.learned()
                await self._loop.run_in_executor(self._workers, self._enforcement.learn, learned)
                self._data.save_remembered_names(self._book.remembered())
        except KernelRefused as error:
            _log.error("the kernel refused the addresses of names: %s", error)
        except OSError as error:
            _log.error("addresses of names not kept on disk: %s", error)
        except Exception as error:
            self._on_error(error)
        finally:
            self._filling = None
