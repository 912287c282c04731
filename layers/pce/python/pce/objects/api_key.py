"""API keys: a name and a secret of 256 random bits that act for one user of one org."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

USERNAME_PREFIX = "api_"
_USERNAME = re.compile(r"api_([0-9a-f]{8,64})")


def secret_hash(secret: str) -> str:
    """What is stored of a secret; at 256 random bits it needs no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_id_of(username: str) -> str | None:
    """The key's id in the user name that clients send, or None when it has another form."""
    match = _USERNAME.fullmatch(username)
    return match[1] if match else None


def is_secret_of(credential: Mapping[str, Any] | None, secret: str, now: int) -> bool:
    """Whether the secret is the credential's, and good at ``now`` (epoch seconds).

    It takes as long when there is no such credential.
    """
    known = str(credential["secret_hash"]) if credential else "0" * 64
    fits = hmac.compare_digest(known, secret_hash(secret))
    if credential is None or not fits:
        return False
    expires_at = credential.get("expires_at")
    return expires_at is None or now < int(expires_at)


def new_credential(
    *,
    org_id: int,
    user: Mapping[str, Any],
    key_id: str,
    secret: str,
    at: str,
    expires_at: int | None = None,
) -> dict[str, Any]:
    """What every request is checked against, stored for the installation under the key's id.

    ``expires_at`` (epoch seconds) is set for sessions.
    """
    return {
        "expires_at": expires_at,
        "org_id": org_id,
        "key_id": key_id,
        "user_href": user["href"],
        "username": user["username"],
        "secret_hash": secret_hash(secret),
        "created_at": at,
    }


def new_api_key(
    *, user_href: str, key_id: str, name: str, description: str, at: str
) -> dict[str, Any]:
    """The key as its owner sees it; stored in the org, without anything secret."""
    return {
        "href": f"{user_href}/api_keys/{key_id}",
        "key_id": key_id,
        "auth_username": f"{USERNAME_PREFIX}{key_id}",
        "name": name,
        "description": description,
        "created_at": at,
        "created_by": {"href": user_href},
    }
