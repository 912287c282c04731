"""Posts to WebSocket connections through API Gateway's management API (``@connections``)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal
from urllib.parse import quote, urlsplit

from pce.store.endpoint import Endpoint
from pce.store.signed_http import SignedHttp

Outcome = Literal["sent", "gone", "busy"]

POSTS_AT_A_TIME = 16
"""A post takes 10 ms, nearly all of it waiting: 1,600 a second from one function."""


class PostRefused(Exception):
    """API Gateway refused a post for a reason that is neither the connection's nor its rate."""


class BoltSender:
    """Hands bolts to open connections, several at a time. One per function environment: its
    threads keep their connections to API Gateway."""

    def __init__(self, endpoint: Endpoint) -> None:
        """``endpoint.url`` is the management URL of the WebSocket API's stage."""
        url = urlsplit(endpoint.url)
        self._stage = url.path.rstrip("/")
        self._http = SignedHttp(
            "execute-api", replace(endpoint, url=f"{url.scheme}://{url.netloc}")
        )
        self._threads = ThreadPoolExecutor(POSTS_AT_A_TIME, thread_name_prefix="bolts")

    def send(self, posts: Sequence[tuple[str, bytes]]) -> list[Outcome]:
        """Post messages, each to the connection of its id; what became of each, in order.

        ``gone``: the connection does not exist any more; ``busy``: a rate limit, or a client that
        reads too slowly. A bolt is a hint: neither is an error. Raises :class:`PostRefused` and
        :class:`~pce.store.signed_http.Unreachable`, after all of them were tried.
        """
        under_way = [self._threads.submit(self._post, *post) for post in posts]
        for post in under_way:
            post.exception()  # waits
        return [post.result() for post in under_way]

    def _post(self, connection_id: str, message: bytes) -> Outcome:
        path = f"{self._stage}/@connections/{quote(connection_id, safe='')}"
        reply = self._http.send("POST", path, body=message)
        match reply.status:
            case 410:
                return "gone"
            case 429:
                return "busy"
            case status if status < 300:
                return "sent"
        said = reply.body[:200].decode(errors="replace")
        raise PostRefused(
            f"POST {path}: {reply.status} {said}; is PCE_BOLTS_MANAGEMENT_URL the stage's callback"
            " URL, and may this function post to it?"
        )
