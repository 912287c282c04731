"""Passwords: how they are stored, what they must be like, and when guessing ends. Pure.

Stored as ``scrypt`` (RFC 7914) from the standard library: 32 MiB and 0.2 s of a core a password,
the strength that OWASP's "Password Storage" asks for. The parameters lie beside the hash, so that
they can be raised: old hashes go on being checked with their own.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

from pce.errors import Problem

LOG2_COST, BLOCK, LANES = 15, 8, 3
SALT_BYTES = 16
_MAX_MEMORY = 128 * 1024 * 1024
"""Bytes; what scrypt may take before it refuses, four times what it takes."""

MAX_PASSWORD = 128
"""Characters; hashing takes longer with more, and nobody types more."""
ATTEMPTS = 5
"""Wrong passwords in a row until the log-in is locked: a person mistypes two or three times."""
LOCKED_S = 900
"""Seconds that it stays locked: 480 guesses a day, at which a password that passes the policy
outlasts its owner. API keys and open sessions go on, so that nobody stops a script by guessing."""

POLICY: Mapping[str, Any] = {
    "min_length": 8,
    "require_type_uppercase": True,
    "require_type_lowercase": True,
    "require_type_number": True,
    "require_type_symbol": False,
    "history_count": 5,
    "expire_time_days": 0,
}
"""The policy of an org that has set none; ``expire_time_days`` 0 is never."""

_TYPES = {
    "require_type_uppercase": ("an upper-case letter", str.isupper),
    "require_type_lowercase": ("a lower-case letter", str.islower),
    "require_type_number": ("a digit", str.isdigit),
    "require_type_symbol": ("a character that is neither letter nor digit", None),
}


def password_hash(password: str, salt: bytes) -> str:
    """What is stored of a password: ``scrypt$15$8$3$<salt>$<hash>``. 0.2 s of a core."""
    digest = _scrypt(password, salt, LOG2_COST, BLOCK, LANES)
    text = "$".join(base64.b64encode(part).decode() for part in (salt, digest))
    return f"scrypt${LOG2_COST}${BLOCK}${LANES}${text}"


_ZEROS = [base64.b64encode(bytes(length)).decode() for length in (SALT_BYTES, 32)]
_NOBODY = f"scrypt${LOG2_COST}${BLOCK}${LANES}${_ZEROS[0]}${_ZEROS[1]}"
"""A hash that no password has."""


def is_password_of(stored: str | None, password: str) -> bool:
    """Whether the password has this hash. It takes as long when there is none."""
    _, log2_cost, block, lanes, salt, digest = (stored or _NOBODY).split("$")
    given = _scrypt(password, base64.b64decode(salt), int(log2_cost), int(block), int(lanes))
    return hmac.compare_digest(base64.b64decode(digest), given) and stored is not None


def _scrypt(password: str, salt: bytes, log2_cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(
        password[:MAX_PASSWORD].encode(),
        salt=salt,
        n=1 << log2_cost,
        r=block,
        p=lanes,
        maxmem=_MAX_MEMORY,
        dklen=32,
    )


def password_problems(
    password: str, username: str, policy: Mapping[str, Any], former: list[str]
) -> Iterator[Problem]:
    """What the org's policy finds wrong with a new password. ``former``: hashes of earlier ones,
    newest first; each that the policy looks at takes 0.2 s."""
    if not policy["min_length"] <= len(password) <= MAX_PASSWORD:
        yield _wrong(f"must have {policy['min_length']} to {MAX_PASSWORD} characters")
    for name, (what, is_one) in _TYPES.items():
        found = any(is_one(c) if is_one else not c.isalnum() for c in password)
        if policy[name] and not found:
            yield _wrong(f"must contain {what}")
    if username.partition("@")[0].lower() in password.lower():
        yield _wrong("must not contain the user's name")
    if any(is_password_of(stored, password) for stored in former[: policy["history_count"]]):
        yield _wrong(f"must not be one of the last {policy['history_count']}")


def _wrong(what: str) -> Problem:
    return Problem("invalid_password", f"password {what}", "password")
