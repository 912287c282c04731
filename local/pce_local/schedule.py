"""What happens by the clock: the sweep, the look for streams, and the removal of expired items."""

import asyncio
import contextlib
import logging
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from pce_local.config import ACCOUNT, REGION
from pce_local.functions import Functions, HandlerFailed
from pce_local.resources import StoreClients, remove_expired
from pce_local.routes import SCHEDULED

TIMEOUT_S = 50.0
"""What a scheduled function is told it has."""

EXPIRY_INTERVAL_S = 3600.0
"""DynamoDB removes expired items within days; hourly keeps the disk small at little cost."""

log = logging.getLogger(__name__)


class Schedule:
    """Runs scheduled work between ``start`` and ``stop``; one thread: nothing overlaps itself."""

    def __init__(
        self, functions: Functions, clients: StoreClients, sweep_interval_s: float
    ) -> None:
        self._functions = functions
        self._clients = clients
        self._sweep_interval_s = sweep_interval_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="schedule")

    def start(self) -> None:
        """Run now and then once per interval; what takes longer delays the next time."""
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Begin nothing more; what is under way ends by itself."""
        self._task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_expiry = loop.time() + EXPIRY_INTERVAL_S
        while True:
            began = loop.time()
            for function in SCHEDULED:
                await loop.run_in_executor(self._pool, self._call, function)
            if loop.time() >= next_expiry:
                await loop.run_in_executor(self._pool, self._expire)
                next_expiry = loop.time() + EXPIRY_INTERVAL_S
            await asyncio.sleep(began + self._sweep_interval_s - loop.time())

    def _call(self, function: str) -> None:
        event = scheduled_event(function, datetime.now(UTC))
        with contextlib.suppress(HandlerFailed):  # logged; the next one may do better
            self._functions.call(function, event, TIMEOUT_S)

    def _expire(self) -> None:
        try:
            removed = remove_expired(self._clients.dynamodb, time.time())
            log.info("removed %d expired items", removed)
        except Exception:
            log.exception("expired items could not be removed; will try again in an hour")


def scheduled_event(schedule: str, now: datetime) -> dict[str, Any]:
    """What EventBridge Scheduler sends to a Lambda target that was given no input of its own."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{schedule}"],
        "detail": "{}",
    }
