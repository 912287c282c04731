"""The host's clocks. Nothing else in the VEN asks what time it is."""

import time
from datetime import UTC, datetime


class Clock:
    """``monotonic`` for waiting, ``wall`` for what people and the PCE read."""

    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix time in seconds."""
        return time.time()


def unix_time(text: str) -> float | None:
    """Of an RFC 3339 time; None for what is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def rfc3339(unix_time: float) -> str:
    """RFC 3339 in UTC with milliseconds, as the PCE writes times."""
    text = datetime.fromtimestamp(unix_time, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
