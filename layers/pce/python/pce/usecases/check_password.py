"""Who logs in with a password, or with an invitation to set one."""

from contextlib import suppress
from typing import Any

from pce.access.passwords import ATTEMPTS, LOCKED_S, is_password_of
from pce.errors import Conflict, NotAllowed, Problem, TooManyRequests
from pce.events.journal import SYSTEM, ResourceChange
from pce.identifiers import OrgId
from pce.objects.api_key import is_secret_of
from pce.objects.authentication_settings import PASSWORD_POLICY
from pce.store.change import Change
from pce.usecases.authenticate import Identity, identity_of
from pce.usecases.login_records import find_login, put_login, refused
from pce.usecases.stores import Stores, journal

DAY_S = 86_400


def identity_by_password(username: str, password: str, stores: Stores, now: float) -> Identity:
    """Who has this name and password; raises :class:`Unauthenticated`, with one message whatever
    is wrong.

    An attempt is counted before the password is looked at, by a write that only one of several at
    once can make: so there are never more than ``ATTEMPTS`` guesses until the log-in is locked.
    Cost: 0.2 s of a core, three reads, two writes.
    """
    stored = find_login(username, stores)
    login = stored.document if stored else None
    if stored is None or login is None or now < login.get("locked_until", 0):
        is_password_of(None, password)  # as long as with a name that exists
        raise refused(login)
    _count_attempt(username, login, stored.rev, stores, now)
    if not is_password_of(login.get("password_hash"), password):
        raise refused(login)
    _forget_attempts(username, stores)
    return identity_of(login, "", stores)


def require_fresh_password(identity: Identity, stores: Stores, now: float) -> None:
    """Raise :class:`NotAllowed` when the org's policy says that the password is too old."""
    stored = find_login(identity.name, stores)
    policy = stores.objects.get(identity.org_id, "settings", PASSWORD_POLICY.name)
    days = (policy.document if policy else {}).get("expire_time_days", 0)
    changed_at = stored.document.get("changed_at", 0) if stored else 0
    if days and changed_at + days * DAY_S <= now:
        message = (
            f"the password is older than {days} days; set a new one with PUT"
            f" /login_users{identity.href}/password"
        )
        raise NotAllowed(Problem("password_expired", message))


def identity_by_invitation(username: str, token: str, stores: Stores, now: float) -> Identity:
    """Who was invited with this token; raises :class:`Unauthenticated`. Two reads."""
    stored = find_login(username, stores)
    invitation = stored.document.get("invitation") if stored else None
    if not is_secret_of(invitation, token, int(now)) or stored is None:
        raise refused(stored.document if stored else None)
    return identity_of(stored.document, "", stores)


def _count_attempt(
    username: str, login: dict[str, Any], rev: str, stores: Stores, now: float
) -> None:
    failures = login.get("failures", 0) + 1
    locks = failures >= ATTEMPTS
    # The count begins anew when the lock has run out.
    counted = {**login, "failures": 0 if locks else failures}
    counted["locked_until"] = int(now) + LOCKED_S if locks else 0
    org_id = OrgId(login["org_id"])
    events: tuple[dict[str, Any], ...] = ()
    if locks:
        changes = {"locked": {"before": False, "after": True}}
        user = {"href": login["user_href"], "username": login["username"]}
        changed = ResourceChange("user", user, "update", changes)
        written = journal(stores, org_id, SYSTEM, now)
        events = (written.event("user.update", severity="warning", status=None, changes=[changed]),)
    change = Change(org_id, puts=(put_login(username, counted, rev),), events=events)
    try:
        stores.objects.commit(change)
    except Conflict as error:
        message = "several log-ins with this name at once; repeat this one"
        raise TooManyRequests(Problem("too_many_requests_error", message)) from error


def _forget_attempts(username: str, stores: Stores) -> None:
    """After the right password. Another attempt at the same time has counted itself: it stays."""
    stored = find_login(username, stores)
    if stored is None:
        return
    clean = {**stored.document, "failures": 0, "locked_until": 0}
    put = put_login(username, clean, stored.rev)
    with suppress(Conflict):
        stores.objects.commit(Change(OrgId(clean["org_id"]), puts=(put,)))
