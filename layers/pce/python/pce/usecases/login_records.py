"""Log-ins: what is kept of each user for all orgs together, because a name alone begins a log-in.

A log-in holds the password's hash, those of earlier ones, how often it was got wrong, and the
invitation by which it can be set.
"""

from collections.abc import Mapping
from typing import Any

from pce.errors import Problem, Unauthenticated
from pce.identifiers import INSTALLATION
from pce.objects.user import is_username, login_id
from pce.store.change import Put
from pce.store.objects import Stored
from pce.usecases.stores import Stores

LOGINS = "logins"


def find_login(username: str, stores: Stores) -> Stored | None:
    """A user's log-in; None when nobody has that name. One read, and none of what is no name: an
    empty or endless text is no key of the table."""
    if not is_username(username):
        return None
    return stores.objects.get(INSTALLATION, LOGINS, login_id(username))


def put_login(username: str, login: dict[str, Any], rev: str | None) -> Put:
    """The write that stores a log-in."""
    return Put(LOGINS, login_id(username), login, rev, org_id=INSTALLATION)


def refused(login: Mapping[str, Any] | None) -> Unauthenticated:
    """One answer for every reason, so that nobody learns which names there are; the org of the
    log-in, if there is one, hears of it."""
    message = "the user name or the password is wrong, or the log-in is locked"
    problem = Problem("authentication_failed", message)
    return Unauthenticated(problem, int(login["org_id"]) if login else 0)
