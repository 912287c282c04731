"""Something happens just before the n-th request that a piece of work makes of any store."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from unittest import mock

from botocore.client import BaseClient
from pynamodb.connection.base import Connection

from pce.store.signed_http import SignedHttp


class Killed(BaseException):
    """The process is no more: this request was not made, and none is made after it."""


class Requests:
    """How many requests were begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.lock = threading.Lock()


@contextlib.contextmanager
def before_request(number: int, happens: Callable[[], None]) -> Iterator[Requests]:
    """Calls ``happens`` once, before the request of this number (from 0); requests that it makes
    itself do not count."""
    requests = Requests()
    busy = threading.local()

    def interrupted(real: Callable) -> Callable:
        def call(self, *arguments, **named):
            # A request through pynamodb or S3 is one, whatever it goes through below.
            if getattr(busy, "inside", False):
                return real(self, *arguments, **named)
            with requests.lock:
                mine = requests.begun
                requests.begun += 1
            busy.inside = True
            try:
                if mine == number:
                    happens()
                return real(self, *arguments, **named)
            finally:
                busy.inside = False

        return call

    with contextlib.ExitStack() as stack:
        for owner, name in (
            (SignedHttp, "send"),
            (BaseClient, "_make_api_call"),
            (Connection, "_make_api_call"),
        ):
            real = getattr(owner, name)
            stack.enter_context(mock.patch.object(owner, name, interrupted(real)))
        yield requests


@contextlib.contextmanager
def killed_before_request(number: int) -> Iterator[Requests]:
    """The process dies before the request of this number; so do its other threads."""
    dead = threading.Event()

    def die() -> None:
        dead.set()
        raise Killed

    with before_request(number, die) as requests:
        real = SignedHttp.send

        def send(self, *arguments, **named):
            if dead.is_set():
                raise Killed
            return real(self, *arguments, **named)

        with mock.patch.object(SignedHttp, "send", send):
            yield requests
