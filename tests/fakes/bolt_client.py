"""A WebSocket client for tests that are not asynchronous.

The library's own synchronous client reads in one thread and writes in another; over TLS the answer
to its handshake was now and then never seen. Here one loop alone touches the connection.
"""

import asyncio
import ssl
import threading
from concurrent.futures import Future
from typing import Any

from websockets.asyncio.client import connect

ATTEMPTS = 3
OPEN_TIMEOUT_S = 10
CALL_TIMEOUT_S = 60


class Bolt:
    """One open connection; a context manager."""

    def __init__(self, url: str, ca_file: str, headers: dict[str, str], **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.close_timeout = 10.0
        tls = ssl.create_default_context(cafile=ca_file)
        try:
            self._connection = self._wait(self._open(url, tls, headers, options))
        except BaseException:
            self._stop()
            raise

    async def _open(self, url: str, tls: Any, headers: Any, options: Any) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                return await connect(
                    url,
                    ssl=tls,
                    additional_headers=headers,
                    open_timeout=OPEN_TIMEOUT_S,
                    proxy=None,
                    **options,
                )
            except TimeoutError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def send(self, message: str | bytes) -> None:
        self._wait(self._connection.send(message))

    def recv(self, timeout: float) -> Any:
        return self._wait(asyncio.wait_for(self._connection.recv(), timeout))

    def close(self) -> None:
        self._connection.close_timeout = self.close_timeout
        self._wait(self._connection.close())

    def __enter__(self) -> "Bolt":
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.close()
        finally:
            self._stop()

    def _wait(self, work: Any) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(CALL_TIMEOUT_S)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
