"""Make a user of an org its owner, by the operator's word: for orgs made before there were
roles, and for those whose owners are gone."""

from dataclasses import dataclass

from pce.access.roles import EVERYTHING, OWNER, grant_of
from pce.errors import Invalid, NotFound, Problem
from pce.identifiers import INSTALLATION, OrgId, org_href, tail
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS, USER
from pce.objects.hrefs import item_id
from pce.objects.permission import grants_of
from pce.objects.role import role_href
from pce.objects.user import USERS
from pce.usecases.caller import SYSTEM_USER, Caller
from pce.usecases.create_object import create_object
from pce.usecases.grant_permission import create_permission
from pce.usecases.restrict_access import update_principal
from pce.usecases.stores import Stores


@dataclass(frozen=True, slots=True)
class RestoredOwner:
    """Who owns the org now."""

    org_id: int
    username: str
    permission_href: str


def restore_owner(org_id: int, username: str, stores: Stores, now: int) -> RestoredOwner:
    """Give a user of the org the role owner; "" stands for the org's first user. What restricts the
    addresses that they may call from is taken away: it may be what locked them out.

    Their keys are an owner's from the next request on. A user who has the role is left as they are.
    Raises :class:`NotFound` for the org and :class:`Invalid` for a user who is not of it.
    """
    org = OrgId(org_id)
    if stores.objects.get(INSTALLATION, "orgs", item_id(str(org_id))) is None:
        raise NotFound(Problem("org_not_found", f"there is no organization {org_id}", "org_id"))
    name = _username(org, username, stores)
    system = Caller(org, SYSTEM_USER, "system", now, EVERYTHING)
    principal = _principal(system, name, stores)
    free = {"access_restriction": None}
    update_principal(system, None, tail(principal), free, stores)
    for granted in stores.objects.all_of(org, grants_of(USER, name)):
        if grant_of(granted.document).role == OWNER:
            return RestoredOwner(org_id, name, granted.document["href"])
    body = {
        "role": {"href": role_href(org, OWNER)},
        "scope": [],
        "auth_security_principal": {"href": principal},
    }
    return RestoredOwner(org_id, name, create_permission(system, body, stores)["href"])


def _username(org: OrgId, username: str, stores: Stores) -> str:
    users = [stored.document for stored in stores.objects.all_of(org, USERS.name)]
    for user in sorted(users, key=lambda user: int(tail(user["href"]))):
        if not username or user["username"].lower() == username.lower():
            return str(user["username"])
    names = ", ".join(str(user["username"]) for user in users[:10])
    message = f"{org_href(org)} has no user {username!r}; it has {names or 'none'}"
    raise Invalid(Problem("user_not_found", message, "owner"))


def _principal(system: Caller, username: str, stores: Stores) -> str:
    """The href of the principal that stands for a user; made when there is none."""
    for stored in stores.objects.all_of(system.org_id, AUTH_SECURITY_PRINCIPALS.name):
        known = stored.document
        if (known["type"], known["name"].lower()) == (USER, username.lower()):
            return str(known["href"])
    whom = {"name": username, "display_name": username, "type": USER}
    return str(create_object(system, AUTH_SECURITY_PRINCIPALS, whom, stores)["href"])
