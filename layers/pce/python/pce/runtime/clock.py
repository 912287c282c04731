"""The time, in one place, so that nothing else asks the machine for it."""

import time


def now() -> float:
    """Seconds since 1970, with their fraction."""
    return time.time()


def now_s() -> int:
    """Seconds since 1970."""
    return int(time.time())
