"""Whom permissions are granted to: users by their names, and groups of an identity provider."""

from pce.objects.collection import Collection
from pce.objects.fields import Choice, Shape, Text
from pce.objects.filters import contains, equals

USER = "user"
GROUP = "group"
"""Waits for single sign-on: nobody is known to be in a group until an identity provider says so."""

AUTH_SECURITY_PRINCIPALS = Collection(
    name="auth_security_principals",
    kind="auth_security_principal",
    shape=Shape(
        {"name": Text(), "display_name": Text(), "type": Choice((USER, GROUP)), "sid": Text()},
        required=("name", "type"),
    ),
    # Permissions are looked up by both.
    immutable=("name", "type"),
    unique=(("type", "name"),),
    filters={"name": contains("name"), "type": equals("type")},
    numbered=False,
)
