"""Messages of the bolt channel (WebSocket). A bolt is a hint: a lost one is repaired by the next
heartbeat's reply, an unknown type is ignored.

A bolt may carry the answer that a fetch would get, so that a VEN that holds what the PCE believes
that it holds need not fetch. Whoever ignores it and fetches comes to the same policy.
"""

from typing import Annotated

from msgspec import Meta

from ven_protocol.messages import Message


class Bolt(Message, frozen=True, kw_only=True):
    """PCE to VEN: something changed, come and look."""

    type: str
    """``policy`` (fetch when ``etag`` differs from yours), ``heartbeat`` (send one now, its reply
    carries the action), ``closing`` (connect again)."""
    etag: str = ""
    reason: str = ""
    spread_s: Annotated[float, Meta(ge=0, le=3600)] = 0
    """Wait a random time in ``[0, spread_s]`` seconds first, so that a fleet does not answer as
    one. Not before what is in ``reply``: to apply that costs the PCE nothing."""
    base: str = ""
    """Etag that a VEN must hold to follow ``reply``; empty for one that holds none."""
    reply: bytes = b""
    """A ``PolicyReply`` as JSON, compressed with gzip: what GET policy answers to who holds
    ``base``. At most MAX_BOLT_REPLY_BYTES; empty when a fetch is the only way."""
    report_after_s: Annotated[float, Meta(ge=0, le=3600)] = 0
    """Report that this was applied at a random moment between so many seconds later and twice as
    many, or with 0 within REPORT_WITHIN_S: a fleet's reports come evenly, and after its changes."""


class KeepAlive(Message, frozen=True, kw_only=True):
    """VEN to PCE: keeps the connection from being closed as idle; never answered."""

    type: str = "keepalive"
