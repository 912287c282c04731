"""What an activation code allows, decided from the pairing profile and the key's record. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pce.errors import Problem, Unauthenticated
from ven_protocol.messages import Activate, EnforcementMode, VisibilityLevel

UNLIMITED = "unlimited"


def code_hash(activation_code: str) -> str:
    """Under what an activation code is stored: codes carry 256 random bits and need no salt."""
    return hashlib.sha256(activation_code.strip().encode()).hexdigest()


def check_key(key: Mapping[str, Any] | None, profile: Mapping[str, Any] | None, now: int) -> None:
    """Raise :class:`Unauthenticated` with a token that says why, unless the code may be used.

    ``key`` is its stored record (``expires_at`` in epoch seconds, None for no limit), ``profile``
    its pairing profile. Whether a use is left is known when one is taken: see :func:`used_up`.
    """
    if key is None:
        raise _refused("unknown", "is not known; generate a new one from the pairing profile")
    if profile is None or not profile.get("enabled", True):
        raise _refused("disabled", "belongs to a pairing profile that is disabled or deleted")
    if key.get("generation", 0) != profile.get("key_generation", 0):
        raise _refused("unknown", "was revoked; generate a new one from the pairing profile")
    if key.get("expires_at") is not None and now >= key["expires_at"]:
        raise _refused("expired", "has expired; generate a new one from the pairing profile")


def used_up(max_uses: int) -> Unauthenticated:
    """The error for a code all of whose uses were taken."""
    return _refused("used_up", f"was used {max_uses} times, which is all that it allows")


def _refused(token: str, message: str) -> Unauthenticated:
    problem = Problem(
        f"activation_code_{token}", f"the activation code {message}", "activation_code"
    )
    return Unauthenticated(problem)


@dataclass(frozen=True, slots=True)
class Grant:
    """With what a VEN begins: the profile's values, or its own wishes where they are unlocked."""

    enforcement_mode: EnforcementMode
    visibility_level: VisibilityLevel
    label_hrefs: tuple[str, ...]
    wished_labels: Mapping[str, str]
    """``{label key: value}`` that the VEN asked for and may choose; to be looked up."""


def grant(profile: Mapping[str, Any], wish: Activate, label_keys: Mapping[str, str]) -> Grant:
    """What the profile gives a VEN. ``label_keys`` maps the profile's label hrefs to their keys.

    A key that the profile locks keeps the profile's label (or none); of an unlocked one the VEN's
    wish wins. Keys without a lock of their own count as locked.
    """
    mode: EnforcementMode = profile.get("enforcement_mode") or "visibility_only"
    if wish.enforcement_mode and not profile.get("enforcement_mode_lock", True):
        mode = wish.enforcement_mode
    level: VisibilityLevel = profile.get("visibility_level") or "flow_summary"
    if wish.visibility_level and not profile.get("visibility_level_lock", True):
        level = wish.visibility_level
    wished = {
        key: value
        for key, value in wish.labels.items()
        if not profile.get(f"{key}_label_lock", True)
    }
    kept = tuple(
        label["href"]
        for label in profile.get("labels") or ()
        if label_keys.get(label["href"]) not in wished
    )
    return Grant(mode, level, kept, wished)
