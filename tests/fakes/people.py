"""Users of an org with roles of their own, as clients of the API."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pce.identifiers import INSTALLATION, OrgId
from pce.objects.api_key import new_api_key, new_credential
from pce.objects.hrefs import item_id
from pce.runtime.wiring import Wiring
from pce.store.change import Change, Put
from tests.fakes.api import Api


def member(
    owner: Api, stores: Wiring, role: str = "", scope: Sequence[Mapping[str, Any]] = ()
) -> Api:
    """A new user of the owner's org, with an API key and one role (none: "")."""
    org_id = OrgId(int(owner.created["org_id"]))
    number = stores.objects.next_id(INSTALLATION, "users")
    name = f"user{number}@example.com"
    user = {"href": f"/users/{number}", "username": name, "full_name": name, "type": "local"}
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    at = "2026-01-01T00:00:00.000Z"
    credential = new_credential(org_id=org_id, user=user, key_id=key_id, secret=secret, at=at)
    key = new_api_key(user_href=user["href"], key_id=key_id, name="k", description="", at=at)
    puts = (
        Put("users", item_id(str(number)), user),
        Put("api_keys", key_id, key),
        Put("credentials", key_id, credential, org_id=INSTALLATION),
    )
    stores.objects.commit(Change(org_id, puts=puts))
    created = {"org_id": org_id, "api_key": f"api_{key_id}", "api_secret": secret, "user": user}
    if role:
        permit(owner, name, role, scope)
    return Api(created)


def permit(
    owner: Api, username: str, role: str, scope: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """A permission for a user; the principal is made when it does not exist."""
    found = owner.get(f"{owner.org}/auth_security_principals", name=username)
    principal = (
        found[0]
        if found
        else owner.post(f"{owner.org}/auth_security_principals", {"name": username, "type": "user"})
    )
    permission: dict[str, Any] = owner.post(
        f"{owner.org}/permissions",
        {
            "role": {"href": f"{owner.org}/roles/{role}"},
            "scope": list(scope),
            "auth_security_principal": {"href": principal["href"]},
        },
    )
    return permission
