"""Messages of the bolt channel (WebSocket). A bolt is a hint and never carries policy.

A lost bolt is repaired by the next heartbeat's reply; an unknown type is ignored.
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
    one."""


class KeepAlive(Message, frozen=True, kw_only=True):
    """VEN to PCE: keeps the connection from being closed as idle; never answered."""

    type: str = "keepalive"
