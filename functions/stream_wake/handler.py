"""EventBridge Scheduler, every minute: which destinations have something to get?"""

from typing import Any

import msgspec

from pce.runtime.clock import now_s
from pce.runtime.http import Event
from pce.runtime.metrics import emit
from pce.runtime.wiring import wiring
from pce.usecases.wake_streams import wake_streams

NOTICEABLE_S = 300
"""A smaller backlog is no news, and a metric costs money in every hour in which it is written."""


def handler(event: Event, context: object) -> dict[str, Any]:
    """Wakes a worker for each of them; returns what it found."""
    woken = wake_streams(wiring(), now_s())
    facts: dict[str, Any] = msgspec.to_builtins(woken)
    if woken.backlog_s >= NOTICEABLE_S:
        emit({"StreamBacklogSeconds": woken.backlog_s}, facts)
    return facts
