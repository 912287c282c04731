"""Find out who calls the management API, from the Authorization header alone."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pce.access.addresses import API_KEYS, USER_SESSIONS
from pce.access.roles import Grant, grant_of
from pce.errors import Conflict, NotAllowed, Problem, Unauthenticated
from pce.identifiers import INSTALLATION, OrgId, tail
from pce.objects.api_key import is_secret_of, key_id_of
from pce.objects.auth_security_principal import USER
from pce.objects.permission import RESTRICTED, grants_of
from pce.objects.service_account import SERVICE_ACCOUNTS
from pce.store.change import Change, Put
from pce.store.objects import Stored
from pce.usecases.stores import Stores

EXTENDED_EVERY_S = 60
"""Seconds of use after which a session's end is moved."""
MAX_HEADER = 1024
"""Characters of an Authorization header that are looked at; a key and its secret take 120."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has shown good credentials, and what they may do."""

    org_id: OrgId
    href: str
    """Of the user or service account."""
    name: str
    auth_username: str
    grants: tuple[Grant, ...]
    """As they are now: a permission that is taken away is gone with the next request."""
    kind: str = API_KEYS
    """Of the credentials: a password, and what follows from it, is of ``USER_SESSIONS``."""
    restriction: str = ""
    """Href of the access restriction that holds for them, if any."""


def authenticate(authorization: str, stores: Stores, now: int) -> Identity:
    """Who sent ``Basic base64(api_KEY:SECRET)``; raises :class:`Unauthenticated` otherwise.

    The key is read strongly on each request, so a deleted key is refused at once. An unknown key
    takes as long as a wrong secret. One read, and one query for what the owner may do.
    """
    username, secret = basic_credentials(authorization)
    key_id = key_id_of(username)
    stored = stores.objects.get(INSTALLATION, "credentials", key_id) if key_id else None
    credential = stored.document if stored else None
    if not is_secret_of(credential, secret, now) or stored is None or credential is None:
        org_id = int(credential["org_id"]) if credential else 0
        raise _refused("the API key or its secret is wrong, or has expired", org_id)
    _stay_open(stored, stores, now)
    return identity_of(credential, username, stores)


def _stay_open(stored: Stored, stores: Stores, now: int) -> None:
    """A session that is used lives on; one write a minute at most."""
    session = stored.document
    idle_s = session.get("idle_s")
    if idle_s is None or session["expires_at"] - now > idle_s - EXTENDED_EVERY_S:
        return
    longer = {**session, "expires_at": min(now + idle_s, session["until"])}
    put = Put(stored.collection, stored.id, longer, stored.rev, session["until"], INSTALLATION)
    with suppress(Conflict):  # another request of the session has done it, or it was ended
        stores.objects.commit(Change(OrgId(session["org_id"]), puts=(put,)))


def identity_of(credential: Mapping[str, Any], auth_username: str, stores: Stores) -> Identity:
    """Whom good credentials stand for. One query, or a read for a service account. Raises
    :class:`Unauthenticated` for an account that is gone."""
    org_id, href = OrgId(credential["org_id"]), str(credential["user_href"])
    name = str(credential["username"])
    if href.startswith("/users/"):
        found = stores.objects.all_of(org_id, grants_of(USER, name))
        granted = [one.document for one in found if one.id != RESTRICTED]
        reference = next((one.document for one in found if one.id == RESTRICTED), None)
    else:
        account = stores.objects.get(org_id, SERVICE_ACCOUNTS.name, tail(href))
        if account is None:
            raise _refused("the service account was deleted", org_id)
        granted = account.document["permissions"]
        reference = account.document.get("access_restriction")
    grants = tuple(grant_of(permission) for permission in granted)
    # Sessions know how long they may be idle; a password has no user name of a key.
    kind = USER_SESSIONS if "idle_s" in credential or not auth_username else API_KEYS
    restriction = str(reference["href"]) if reference else ""
    return Identity(org_id, href, name, auth_username, grants, kind, restriction)


def require_org(identity: Identity, org: str) -> None:
    """Raise :class:`NotAllowed` unless the org in a path is the caller's own."""
    if org != str(identity.org_id):
        message = f"this API key belongs to another organization than /orgs/{org}"
        raise NotAllowed(Problem("not_your_org", message))


def basic_credentials(authorization: str) -> tuple[str, str]:
    """User name and password of an Authorization header; raises :class:`Unauthenticated`."""
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


def _refused(message: str, org_id: int = 0) -> Unauthenticated:
    return Unauthenticated(Problem("authentication_failed", message), org_id)
