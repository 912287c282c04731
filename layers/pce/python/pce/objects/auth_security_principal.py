"""Whom permissions are granted to: users by their names, and groups of an identity provider."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import Choice, Reference, Shape, Text
from pce.objects.filters import contains, equals

USER = "user"
GROUP = "group"
"""Waits for single sign-on: nobody is known to be in a group until an identity provider says so."""


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if document.get("access_restriction") and document["type"] != USER:
        message = "access_restriction: of a group nobody knows who is in it; restrict its users"
        yield Problem("access_restriction_not_allowed", message, "access_restriction")


AUTH_SECURITY_PRINCIPALS = Collection(
    name="auth_security_principals",
    kind="auth_security_principal",
    shape=Shape(
        {
            "name": Text(),
            "display_name": Text(),
            "type": Choice((USER, GROUP)),
            "sid": Text(),
            "access_restriction": Reference("access_restrictions", nullable=True),
        },
        required=("name", "type"),
    ),
    # Permissions are looked up by both.
    immutable=("name", "type"),
    unique=(("type", "name"),),
    whole_check=_whole_problems,
    filters={"name": contains("name"), "type": equals("type")},
    numbered=False,
)
