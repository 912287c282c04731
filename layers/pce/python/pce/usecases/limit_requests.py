"""The limits of requests a minute and key."""

from pce.errors import Problem, TooManyRequests
from pce.store.tallies import MINUTE_S
from pce.usecases.stores import Stores

REQUESTS_A_MINUTE = 500
"""Requests that one API key or session may make in a minute: what clients are told, and pace
themselves by."""
COUNTED_TOGETHER = 10
"""Requests of one process that are counted in one write. So many, less one, go unseen in each
process: with n of them a key gets through 500 to 500 + 9 n, and never fewer than 500."""

UNPAIRS_A_MINUTE = 10
"""Calls that unpair, of up to 1,000 VENs each, that one key or session may make in a minute: the
documented limit. What a script in a loop unpairs by mistake has to be paired again by hand."""


def refuse_when_known(key: str, stores: Stores, now: float) -> None:
    """Raise :class:`TooManyRequests` when this process knows without asking: nothing is read."""
    if stores.tallies.known(_name(key), now) >= REQUESTS_A_MINUTE:
        raise _too_many(now)


def count_request(key: str, stores: Stores, now: float) -> None:
    """Count a request with good credentials. A tenth of a write. Raises
    :class:`TooManyRequests`."""
    if stores.tallies.add(_name(key), now, COUNTED_TOGETHER).after > REQUESTS_A_MINUTE:
        raise _too_many(now)


def count_unpair(key: str, stores: Stores, now: float) -> None:
    """Count a call that unpairs; exactly, at the cost of a write. Raises
    :class:`TooManyRequests`."""
    if stores.tallies.add(f"unpairs#{key}", now, 1).after > UNPAIRS_A_MINUTE:
        wait_s = _rest_of_minute_s(now)
        message = (
            f"this key made {UNPAIRS_A_MINUTE} calls within this minute that unpair; nothing was"
            f" unpaired, repeat this one in {wait_s} seconds"
        )
        raise TooManyRequests(Problem("too_many_requests_error", message), retry_after_s=wait_s)


def _rest_of_minute_s(now: float) -> int:
    return MINUTE_S - int(now) % MINUTE_S


def _name(key: str) -> str:
    return f"requests#{key}"


def _too_many(now: float) -> TooManyRequests:
    wait_s = _rest_of_minute_s(now)
    message = (
        f"this key made {REQUESTS_A_MINUTE} requests within this minute; repeat this one in"
        f" {wait_s} seconds"
    )
    return TooManyRequests(Problem("too_many_requests_error", message), retry_after_s=wait_s)
