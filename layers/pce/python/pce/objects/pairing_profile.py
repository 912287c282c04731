"""Pairing profiles: with what a VEN begins, and the activation codes that lead there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import INVALID, MAX_TEXT, Choice, Flag, ListOf, Reference, Shape, Text
from pce.objects.filters import contains, equals
from pce.objects.workload import ENFORCEMENT_MODES, VISIBILITY_LEVELS

UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Limit:
    """``unlimited`` or a whole number from 1, as a number or as text; kept as text.

    Clients disagree about the type: one only decodes texts, the others take both.
    """

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The limit as text."""
        text = str(value).strip()
        number = text.isdecimal() and 1 <= int(text) < 2**31
        if isinstance(value, bool) or not (number or text == UNLIMITED):
            message = f"{at}: must be {UNLIMITED!r} or a whole number from 1, not {value!r}"
            problems.append(Problem(INVALID, message, at))
        return text


_LOCKS = (
    "enforcement_mode_lock",
    "visibility_level_lock",
    "log_traffic_lock",
    "role_label_lock",
    "app_label_lock",
    "env_label_lock",
    "loc_label_lock",
)

PAIRING_PROFILES = Collection(
    name="pairing_profiles",
    kind="pairing_profile",
    shape=Shape(
        {
            "name": Text(),
            "enabled": Flag(),
            "description": Text(MAX_TEXT),
            "enforcement_mode": Choice(ENFORCEMENT_MODES),
            "visibility_level": Choice(VISIBILITY_LEVELS),
            "log_traffic": Flag(),
            **dict.fromkeys(_LOCKS, Flag()),
            "labels": ListOf(Reference("labels"), max_entries=64),
            "allowed_uses_per_key": Limit(),
            "key_lifespan": Limit(),
            "agent_software_release": Text(),
            "ven_type": Choice(("server", "endpoint", "specified_during_activation")),
            **EXTERNAL_DATA,
        },
        required=("enabled",),
    ),
    defaults={
        "name": "",
        "description": "",
        "enforcement_mode": "visibility_only",
        "visibility_level": "flow_summary",
        "log_traffic": False,
        **dict.fromkeys(_LOCKS, True),
        "allowed_uses_per_key": UNLIMITED,
        "key_lifespan": UNLIMITED,
        "ven_type": "server",
        "is_default": False,
        "total_use_count": 0,
        "last_pairing_at": None,
        "key_generation": 0,
    },
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "agent_software_release": contains("agent_software_release"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    caps=("write", "generate_pairing_key"),
    private=("key_generation",),
)


def new_pairing_key(
    org_id: int, profile_item_id: str, profile: Mapping[str, Any], now: int
) -> dict[str, Any]:
    """The record of an activation code; it is stored under the code's hash, for the installation.

    Limits are those of the profile now. ``generation`` ties the key to the profile's present
    generation: deleting all keys of a profile begins the next one, in one write.
    """
    uses, lifespan = profile["allowed_uses_per_key"], profile["key_lifespan"]
    return {
        "org_id": org_id,
        "profile_id": profile_item_id,
        "generation": profile.get("key_generation", 0),
        "created_at": now,
        "max_uses": None if uses == UNLIMITED else int(uses),
        "expires_at": None if lifespan == UNLIMITED else now + int(lifespan),
    }
