"""Maintenance tokens: what a person must have to stop or weaken a VEN on its own host.

The PCE makes a token of 192 random bits, shows it once and tells the VEN its digest and its end. So
the VEN can check it without the PCE, and nobody can read a token in any table, file or message.
"""

import base64
import hashlib
import hmac
import secrets
from typing import NamedTuple


class Accepted(NamedTuple):
    """A token that a VEN accepts, by its digest."""

    digest: str
    """SHA-256 in base64url, 43 characters."""
    expires_at: int
    """Epoch seconds."""

    @classmethod
    def parse(cls, text: str) -> "Accepted | None":
        """``digest.expires_at``; None for anything else."""
        digest, _, expires_at = text.partition(".")
        if len(digest) != 43 or not expires_at.isdecimal() or len(expires_at) > 12:
            return None
        return cls(digest, int(expires_at))

    def __str__(self) -> str:
        return f"{self.digest}.{self.expires_at}"

    def opens(self, token: str, now: float) -> bool:
        """Whether this is the token, and still good at ``now`` (epoch seconds)."""
        return hmac.compare_digest(digest_of(token), self.digest) and now < self.expires_at


def new_token() -> str:
    """A token: 192 random bits."""
    return secrets.token_urlsafe(24)


def digest_of(token: str) -> str:
    """What is stored and told of a token; no salt is needed at that size."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
