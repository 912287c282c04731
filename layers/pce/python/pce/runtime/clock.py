"""The time, in one place, so that nothing else asks the machine for it."""

import time
from datetime import UTC, datetime


def now_s() -> int:
    """Seconds since 1970."""
    return int(time.time())


def rfc3339(epoch_s: float) -> str:
    """``2026-01-31T12:00:00.000Z``, the form of every time in the APIs."""
    at = datetime.fromtimestamp(epoch_s, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
