"""The log-in of clients that begin with it: credentials, then a token, then a session.

A session is an API key that expires when it is not used. Its credentials travel in a header that no
browser adds by itself, so there is nothing for another site to forge, and no CSRF token.

Single sign-on, when it comes, is another way to :func:`new_login_token`: whoever an identity
provider vouches for gets a token, and goes on from there.
"""

import secrets
from typing import Any

from pce.errors import Conflict, NotAllowed, Problem, Unauthenticated
from pce.events.journal import Notification
from pce.identifiers import INSTALLATION, tail
from pce.objects.api_key import USERNAME_PREFIX, key_id_of, new_credential, secret_hash
from pce.objects.authentication_settings import AUTHENTICATION_SETTINGS
from pce.objects.hrefs import item_id
from pce.store.change import Change, Delete, Put
from pce.usecases.authenticate import Identity, identity_of
from pce.usecases.caller import Caller
from pce.usecases.change_settings import read_settings
from pce.usecases.manage_api_keys import CREDENTIALS
from pce.usecases.manage_users import end_session, get_user, sessions_of
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled

TOKEN_S = 30
"""Seconds in which a log-in token must be exchanged for a session; it works once."""
SESSION_S = 43_200
"""Seconds that a session lives however busy it is: a working day."""


def new_login_token(caller: Caller, stores: Stores) -> str:
    """A token that stands for the caller for half a minute. Raises :class:`NotAllowed` for service
    accounts, whose keys need no session."""
    if not caller.is_user:
        message = f"{caller.user_href} is no person; use its API key for each request"
        raise NotAllowed(Problem("forbidden", message))
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
    event = caller.journal(stores, 200).event("user.authenticate")
    stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))
    return token


def identity_of_token(token: str, stores: Stores, now: int) -> Identity:
    """Who a log-in token stands for; it is used up. Raises :class:`Unauthenticated`."""
    stored = stores.objects.get(INSTALLATION, "login_tokens", secret_hash(token))
    if stored is None or now >= stored.document["expires_at"]:
        message = f"the log-in token is unknown, used, or older than {TOKEN_S} seconds"
        raise Unauthenticated(Problem("authentication_failed", message))
    document = stored.document
    used = Delete("login_tokens", stored.id, stored.rev, org_id=INSTALLATION)
    try:
        stores.objects.commit(Change(document["org_id"], deletes=(used,)))
    except Conflict as error:
        message = "the log-in token was used by another request at the same time"
        raise Unauthenticated(Problem("authentication_failed", message)) from error
    return identity_of(document, "", stores)


def open_session(caller: Caller, stores: Stores) -> dict[str, Any]:
    """Who the caller is, with a session: Basic credentials that end when they are not used."""
    return until_settled(lambda: _open_session(caller, stores))


def _open_session(caller: Caller, stores: Stores) -> dict[str, Any]:
    settings = read_settings(caller, AUTHENTICATION_SETTINGS, stores)
    idle_s = settings["session_timeout_minutes"] * 60
    stored = stores.objects.get(caller.org_id, "users", item_id(tail(caller.user_href)))
    if stored is None:
        raise Unauthenticated(Problem("authentication_failed", "the user is gone"))
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    until = caller.now_s + SESSION_S
    credential = new_credential(
        org_id=caller.org_id,
        user=stored.document,
        key_id=key_id,
        secret=secret,
        at=caller.at,
        expires_at=caller.now_s + idle_s,
    )
    credential |= {"idle_s": idle_s, "until": until}
    user = {
        **stored.document,
        "login_count": stored.document.get("login_count", 0) + 1,
        "last_login_on": caller.at,
        "last_login_ip_address": caller.action.source_ip if caller.action else None,
    }
    notification = Notification("user.pce_session_created", {"user": {"href": user["href"]}})
    event = caller.journal(stores, 200).event("user.login", notifications=[notification])
    puts = (
        Put(CREDENTIALS, key_id, credential, ttl=until, org_id=INSTALLATION),
        Put(sessions_of(caller.user_href), key_id, {"created_at": caller.at}, ttl=until),
        Put("users", stored.id, user, stored.rev),
    )
    stores.objects.commit(Change(caller.org_id, puts=puts, events=(event,)))
    said = who_am_i(caller, f"{USERNAME_PREFIX}{key_id}", stores)
    return {**said, "session_token": secret, "inactivity_expiration_minutes": idle_s // 60}


def log_out(caller: Caller, auth_username: str, stores: Stores) -> None:
    """End the session whose credentials were used; an API key stays as it is."""
    key_id = key_id_of(auth_username)
    if key_id is not None:
        end_session(caller, caller.user_href, key_id, stores)
    info = {"reason": "user_logout", "user": {"href": caller.user_href}}
    notification = Notification("user.pce_session_terminated", info)
    event = caller.journal(stores, 204).event("user.logout", notifications=[notification])
    stores.objects.commit(Change(caller.org_id, events=(event,)))


def who_am_i(caller: Caller, auth_username: str, stores: Stores) -> dict[str, Any]:
    """What a client learns of itself and its org when it presents an API key."""
    if caller.is_user:
        me = get_user(caller, tail(caller.user_href), stores)
    else:
        me = {"href": caller.user_href, "full_name": caller.username, "type": "service_account"}
    org = stores.objects.get(INSTALLATION, "orgs", item_id(str(caller.org_id)))
    href = f"/orgs/{caller.org_id}"
    minutes = AUTHENTICATION_SETTINGS.defaults["session_timeout_minutes"]
    return {
        "last_login_on": caller.at,
        "last_login_ip_address": caller.action.source_ip if caller.action else None,
        "time_zone": "UTC",
        **me,
        "auth_username": auth_username,
        "local": True,
        "inactivity_expiration_minutes": minutes,
        "start": caller.at,
        "login_url": f"https://{stores.pce_fqdn}/api/v2/login_users/authenticate",
        "certificate": {"expiration": None, "generated": False},
        "orgs": [
            {
                "org_id": caller.org_id,
                "org_href": href,
                "href": href,
                "display_name": org.document["name"] if org else href,
            }
        ],
    }
