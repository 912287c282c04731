"""Users of an org: invite, change, remove; and the passwords that they set themselves.

Nobody but the user ever sees the password. Who creates a user gets an invitation, shown once, to
hand over; this PCE sends no mail.
"""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pce.access.passwords import SALT_BYTES, password_hash, password_problems
from pce.errors import Conflict, Invalid, NotFound, Problem
from pce.events.journal import Notification, ResourceChange
from pce.identifiers import INSTALLATION, tail
from pce.objects.api_key import secret_hash
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS, USER
from pce.objects.authentication_settings import PASSWORD_POLICY
from pce.objects.hrefs import item_id
from pce.objects.permission import RESTRICTED, grants_of
from pce.objects.user import USERS, login_id
from pce.store.change import Change, Delete, Put
from pce.store.objects import Stored
from pce.timestamps import rfc3339
from pce.usecases.caller import Caller
from pce.usecases.change_settings import read_settings
from pce.usecases.grant_permission import delete_permission
from pce.usecases.limit_objects import admit_objects
from pce.usecases.login_records import LOGINS, find_login, put_login
from pce.usecases.manage_api_keys import CREDENTIALS, delete_api_key, list_api_keys
from pce.usecases.show_caps import with_caps
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled

INVITED_S = 7 * 86_400
"""Seconds in which an invitation can be used: a week, so that it outlasts a weekend."""

Document = Mapping[str, Any]


def find_user(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """A user of the caller's org as it is stored. Raises :class:`NotFound`, for users of other orgs
    too."""
    return _stored(caller, id, stores).document


def _stored(caller: Caller, id: str, stores: Stores) -> Stored:
    stored = stores.objects.get(caller.org_id, USERS.name, item_id(id))
    if stored is None:
        raise NotFound(Problem("user_not_found", f"there is no user {id}"))
    return stored


def shown_users(caller: Caller, users: list[Document], stores: Stores) -> list[dict[str, Any]]:
    """Users as clients see them, with the state of their log-ins. One batch read."""
    ids = [login_id(str(user["username"])) for user in users]
    logins = stores.objects.get_many(INSTALLATION, LOGINS, ids)
    shown = [
        {**USERS.shown(user), **_login_state(logins.get(id), caller.now)}
        for user, id in zip(users, ids, strict=True)
    ]
    return with_caps(caller, USERS.name, shown, stores)


def _login_state(stored: Stored | None, now: float) -> dict[str, Any]:
    login = stored.document if stored else {}
    return {
        "locked": now < login.get("locked_until", 0),
        "local_profile": {"pending_invitation": not login.get("password_hash")},
    }


def list_users(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """All users of the caller's org."""
    stored = stores.objects.all_of(caller.org_id, USERS.name)
    return shown_users(caller, [one.document for one in stored], stores)


def get_user(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One user as clients see it. Raises :class:`NotFound`."""
    return shown_users(caller, [find_user(caller, id, stores)], stores)[0]


def create_user(caller: Caller, body: Any, stores: Stores) -> tuple[dict[str, Any], dict[str, Any]]:
    """The new user, and the invitation to set a password. Raises :class:`Invalid`, also for a name
    that a user of any org has: a name alone begins a log-in."""
    user = USERS.new_document(body)
    username = user["username"]
    if find_login(username, stores) is not None:
        message = f"{username!r} cannot be used here; choose another name"
        raise Invalid(Problem("user_not_unique", message, "username"))
    told = admit_objects(caller, (USERS,), stores)
    number = stores.objects.next_id(INSTALLATION, USERS.name)
    user = {"href": f"/users/{number}", **user, **caller.created()}
    invitation, kept = _invitation(caller)
    login = new_login(caller.org_id, user, kept)
    puts = [Put(USERS.name, item_id(str(number)), user), put_login(username, login, None)]
    principal = _principal(caller, username, stores)
    claims = [name for put in principal for name in AUTH_SECURITY_PRINCIPALS.claims(put.document)]
    changes = USERS.changes(None, user)
    event = _event(caller, "user.create", user, "create", changes, 201, stores, told)
    change = Change(caller.org_id, puts=(*puts, *principal), claims=tuple(claims), events=(event,))
    try:
        stores.objects.commit(change)
    except Conflict as error:
        message = f"{username!r} was taken meanwhile"
        raise Invalid(Problem("user_not_unique", message, "username")) from error
    return user, invitation


def new_login(org_id: int, user: Document, invitation: Document | None) -> dict[str, Any]:
    """The log-in of a new user, who has no password yet."""
    return {
        "org_id": org_id,
        "user_href": user["href"],
        "username": user["username"],
        "password_hash": None,
        "former": [],
        "invitation": invitation,
    }


def _principal(caller: Caller, username: str, stores: Stores) -> list[Put]:
    """The principal to which a new user's permissions are granted, unless there is one."""
    for stored in stores.objects.all_of(caller.org_id, AUTH_SECURITY_PRINCIPALS.name):
        if (stored.document["type"], stored.document["name"].lower()) == (USER, username.lower()):
            return []
    id = str(uuid.uuid4())
    principal = {
        "href": caller.path(AUTH_SECURITY_PRINCIPALS.name, id),
        "name": username,
        "display_name": username,
        "type": USER,
        "sid": None,
        **caller.created(),
    }
    return [Put(AUTH_SECURITY_PRINCIPALS.name, id, principal)]


def update_user(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    """Change the full name or the time zone."""

    def attempt() -> None:
        stored = _stored(caller, id, stores)
        after = USERS.changed_document(stored.document, body)
        if after == stored.document:
            return
        changes = USERS.changes(stored.document, after)
        event = _event(caller, "user.update", after, "update", changes, 204, stores)
        put = Put(USERS.name, stored.id, {**after, **caller.updated()}, stored.rev)
        stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))

    until_settled(attempt)


def delete_user(caller: Caller, id: str, stores: Stores) -> None:
    """Remove a user with permissions, keys, sessions and log-in, in this order: what a failure
    leaves can do less than before, and the same request does the rest.

    Raises :class:`Invalid` for the last owner.
    """
    user = find_user(caller, id, stores)
    granted = stores.objects.all_of(caller.org_id, grants_of(USER, user["username"]))
    for permission in granted:
        if permission.id != RESTRICTED:  # stays with the principal
            delete_permission(caller, permission.id, stores)
    for key in list_api_keys(caller, user["href"], stores):
        delete_api_key(caller, key, stores)
    end_sessions(caller, user["href"], stores)

    def attempt() -> None:
        stored = _stored(caller, id, stores)
        login = find_login(user["username"], stores)
        deletes = [Delete(USERS.name, stored.id, stored.rev)]
        if login is not None:
            deletes.append(Delete(LOGINS, login.id, login.rev, org_id=INSTALLATION))
        changes = USERS.changes(stored.document, None)
        event = _event(caller, "user.delete", user, "delete", changes, 204, stores)
        stores.objects.commit(Change(caller.org_id, deletes=tuple(deletes), events=(event,)))

    until_settled(attempt)


def reinvite_user(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """A new invitation, for who has lost the first or the password: the password that there was,
    open sessions and a lock end."""
    user = find_user(caller, id, stores)
    invitation, kept = _invitation(caller)

    def attempt() -> None:
        stored = find_login(user["username"], stores)
        before = stored.document if stored else new_login(caller.org_id, user, None)
        after = {**before, "invitation": kept, "password_hash": None, "locked_until": 0}
        put = put_login(user["username"], after, stored.rev if stored else None)
        changes = {"pending_invitation": {"before": not before["password_hash"], "after": True}}
        event = _event(caller, "user_local_profile.reinvite", user, "update", changes, 200, stores)
        stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))

    until_settled(attempt)
    end_sessions(caller, user["href"], stores)
    return invitation


def set_password(caller: Caller, password: Any, event_type: str, stores: Stores) -> None:
    """The caller's own new password, by an invitation or by the old one; open sessions end.

    Raises :class:`Invalid` with all that the org's policy finds wrong. Cost: 0.2 s of a core, and
    as much for each earlier password that the policy looks at.
    """
    if not isinstance(password, str):
        raise Invalid(Problem("invalid_password", "password must be a text", "password"))
    policy = read_settings(caller, PASSWORD_POLICY, stores)

    def attempt() -> None:
        stored = find_login(caller.username, stores)
        if stored is None:
            raise NotFound(Problem("user_not_found", f"{caller.username} has no log-in"))
        before = stored.document
        former = [before["password_hash"], *before["former"]]
        former = [one for one in former if one][: max(policy["history_count"], 1)]
        problems = list(password_problems(password, caller.username, policy, former))
        if problems:
            raise Invalid(problems)
        after = {
            **before,
            "password_hash": password_hash(password, secrets.token_bytes(SALT_BYTES)),
            "former": former,
            "invitation": None,
            "failures": 0,
            "changed_at": caller.now_s,
        }
        put = put_login(caller.username, after, stored.rev)
        user = {"href": caller.user_href, "username": caller.username}
        changes = {"password": {"before": "***", "after": "***"}}
        event = _event(caller, event_type, user, "update", changes, 204, stores)
        stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))

    until_settled(attempt)
    end_sessions(caller, caller.user_href, stores)


def sessions_of(user_href: str) -> str:
    """The object store's collection of a user's open sessions, by the ids of their credentials."""
    return f"sessions#{tail(user_href)}"


def end_sessions(caller: Caller, user_href: str, stores: Stores) -> None:
    """End every session of a user. One query, and a write each."""
    collection = sessions_of(user_href)
    for session in stores.objects.all_of(caller.org_id, collection):
        end_session(caller, user_href, session.id, stores)


def end_session(caller: Caller, user_href: str, key_id: str, stores: Stores) -> None:
    """End one session, if it is open."""
    collection = sessions_of(user_href)
    session = stores.objects.get(caller.org_id, collection, key_id)
    credential = stores.objects.get(INSTALLATION, CREDENTIALS, key_id)
    deletes = []
    if session is not None:
        deletes.append(Delete(collection, key_id, session.rev))
    if session is not None and credential is not None:
        deletes.append(Delete(CREDENTIALS, key_id, credential.rev, org_id=INSTALLATION))
    if deletes:
        stores.objects.commit(Change(caller.org_id, deletes=tuple(deletes)))


def _invitation(caller: Caller) -> tuple[dict[str, Any], dict[str, Any]]:
    """An invitation as it is shown, once, and as it is stored."""
    token = secrets.token_hex(32)
    expires_at = caller.now_s + INVITED_S
    shown = {"token": token, "expires_at": rfc3339(expires_at)}
    return shown, {"secret_hash": secret_hash(token), "expires_at": expires_at}


def _event(
    caller: Caller,
    event_type: str,
    user: Document,
    change_type: Any,
    changes: Document,
    status: int,
    stores: Stores,
    told: Sequence[Notification] = (),
) -> dict[str, Any]:
    shown = {"href": user["href"], "username": user["username"]}
    changed = ResourceChange("user", shown, change_type, changes)
    written = caller.journal(stores, status)
    return written.event(event_type, changes=[changed], notifications=told)
