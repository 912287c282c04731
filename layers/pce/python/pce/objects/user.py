"""Users: people who log in, with a password of this PCE's own."""

import re
from collections.abc import Mapping
from typing import Any

from pce.objects.collection import Collection
from pce.objects.fields import Choice, Shape, Text
from pce.objects.filters import contains, equals

USERNAME = r"[^\s:@#/]{1,64}@[^\s:@#/]{1,189}"
"""An e-mail address, roughly: a colon would end it in Basic credentials."""
_TIME_ZONE = r"[A-Za-z0-9_+/-]{1,64}"


def _displayed(user: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "login_count": 0,
        "last_login_on": None,
        "last_login_ip_address": None,
        "effective_groups": [],
        "local_profile": {"pending_invitation": True},
        "presence_status": None,
        **user,
    }


USERS = Collection(
    name="users",
    kind="user",
    shape=Shape(
        {
            "username": Text(pattern=USERNAME),
            "full_name": Text(),
            "time_zone": Text(pattern=_TIME_ZONE),
            # "external" comes with single sign-on.
            "type": Choice(("local",)),
        },
        required=("username",),
    ),
    defaults={"type": "local", "time_zone": "UTC"},
    immutable=("username", "type"),
    unique=(),  # among all orgs, by the log-in that is written with it
    filters={"username": contains("username"), "type": equals("type")},
    searched=("username",),
    display=_displayed,
    shown_in_events=("href", "username", "type"),
)


def is_username(text: str) -> bool:
    """Whether Basic credentials name a person, and not an API key."""
    return re.fullmatch(USERNAME, text) is not None


def login_id(username: str) -> str:
    """Under which id a user's log-in is stored, for all orgs together."""
    return username.lower()
