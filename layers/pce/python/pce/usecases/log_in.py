"""The log-in of clients that begin with it: credentials, then a token, then a session.

A session is an API key that expires. People with passwords are not known yet, so the credentials
are an API key too; whoever has one may skip all this and ask who it is.
"""

import secrets
from typing import Any

from pce.errors import Problem, Unauthenticated
from pce.identifiers import INSTALLATION, tail
from pce.objects.api_key import USERNAME_PREFIX, new_credential, secret_hash
from pce.objects.hrefs import item_id
from pce.store.change import Change, Delete, Put
from pce.usecases.authenticate import Identity, identity_of
from pce.usecases.caller import Caller
from pce.usecases.manage_api_keys import find_user
from pce.usecases.stores import Stores

TOKEN_S = 30
"""Seconds in which a log-in token must be exchanged for a session; it works once."""
SESSION_S = 3600
"""Seconds that a session lives."""


def new_login_token(caller: Caller, stores: Stores) -> str:
    """A token that stands for the caller for half a minute."""
    token = secrets.token_urlsafe(32)
    document = {
        "org_id": caller.org_id,
        "user_href": caller.user_href,
        "username": caller.username,
        "expires_at": caller.now_s + TOKEN_S,
    }
    put = Put(
        "login_tokens",
        secret_hash(token),
        document,
        ttl=caller.now_s + TOKEN_S,
        org_id=INSTALLATION,
    )
    stores.objects.commit(Change(caller.org_id, puts=(put,)))
    return token


def identity_of_token(token: str, stores: Stores, now: int) -> Identity:
    """Who a log-in token stands for; it is used up. Raises :class:`Unauthenticated`."""
    stored = stores.objects.get(INSTALLATION, "login_tokens", secret_hash(token))
    if stored is None or now >= stored.document["expires_at"]:
        message = f"the log-in token is unknown, used, or older than {TOKEN_S} seconds"
        raise Unauthenticated(Problem("authentication_failed", message))
    document = stored.document
    used = Delete("login_tokens", stored.id, stored.rev, org_id=INSTALLATION)
    stores.objects.commit(Change(document["org_id"], deletes=(used,)))
    return identity_of(document, "", stores)


def open_session(caller: Caller, stores: Stores) -> dict[str, Any]:
    """Who the caller is, with a session: Basic credentials that live for an hour."""
    user = find_user(caller, tail(caller.user_href), stores)
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    credential = new_credential(
        org_id=caller.org_id,
        user=user,
        key_id=key_id,
        secret=secret,
        at=caller.at,
        expires_at=caller.now_s + SESSION_S,
    )
    put = Put("credentials", key_id, credential, ttl=caller.now_s + SESSION_S, org_id=INSTALLATION)
    event = caller.journal(stores, 200).event("user.login")
    stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))
    said = who_am_i(caller, f"{USERNAME_PREFIX}{key_id}", stores)
    return {**said, "session_token": secret}


def who_am_i(caller: Caller, auth_username: str, stores: Stores) -> dict[str, Any]:
    """What a client learns of itself and its org when it presents an API key."""
    user = find_user(caller, tail(caller.user_href), stores)
    org = stores.objects.get(INSTALLATION, "orgs", item_id(str(caller.org_id)))
    href = f"/orgs/{caller.org_id}"
    return {
        **user,
        "auth_username": auth_username,
        "local": True,
        "last_login_on": caller.at,
        "last_login_ip_address": caller.action.source_ip if caller.action else None,
        "inactivity_expiration_minutes": SESSION_S // 60,
        "orgs": [
            {
                "org_id": caller.org_id,
                "org_href": href,
                "href": href,
                "display_name": org.document["name"] if org else href,
            }
        ],
    }
