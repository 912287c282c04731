"""Find out who calls the management API, from the Authorization header alone."""

import base64
from dataclasses import dataclass

from pce.errors import NotAllowed, Problem, Unauthenticated
from pce.identifiers import INSTALLATION, OrgId
from pce.objects.api_key import is_secret_of, key_id_of
from pce.usecases.stores import Stores

MAX_HEADER = 1024
"""Characters of an Authorization header that are looked at; a key and its secret take 120."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of an API key."""

    org_id: OrgId
    user_href: str
    username: str
    auth_username: str


def authenticate(authorization: str, stores: Stores, now: int) -> Identity:
    """Who sent ``Basic base64(api_KEY:SECRET)``; raises :class:`Unauthenticated` otherwise.

    The key is read strongly on each request, so a deleted key is refused at once. An unknown key
    takes as long as a wrong secret. One read.
    """
    username, secret = _basic(authorization)
    key_id = key_id_of(username)
    stored = stores.objects.get(INSTALLATION, "credentials", key_id) if key_id else None
    credential = stored.document if stored else None
    if not is_secret_of(credential, secret, now) or credential is None:
        raise _refused("the API key or its secret is wrong")
    return Identity(
        OrgId(credential["org_id"]), credential["user_href"], credential["username"], username
    )


def require_org(identity: Identity, org: str) -> None:
    """Raise :class:`NotAllowed` unless the org in a path is the caller's own."""
    if org != str(identity.org_id):
        message = f"this API key belongs to another organization than /orgs/{org}"
        raise NotAllowed(Problem("not_your_org", message))


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization[:MAX_HEADER].partition(" ")
    if scheme.lower() != "basic":
        raise _refused("send an API key as HTTP Basic credentials, api_KEY:SECRET")
    try:
        username, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError as error:  # no base64, no UTF-8, or not even ASCII
        raise _refused("the Basic credentials are not base64 of api_KEY:SECRET") from error
    if not colon:
        raise _refused("the Basic credentials hold no secret; send api_KEY:SECRET")
    return username, secret


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(Problem("authentication_failed", message))
