"""API keys of a user: list, create, delete. A key that is deleted is refused from then on."""

import secrets
from typing import Any

from pce.errors import NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import INSTALLATION
from pce.objects.api_key import new_api_key, new_credential
from pce.objects.fields import MAX_TEXT, Shape, Text
from pce.objects.hrefs import item_id
from pce.store.change import Change, Delete, Put
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

_SHAPE = Shape({"name": Text(), "description": Text(MAX_TEXT)}, required=("name",))

API_KEYS = "api_keys"


def find_user(caller: Caller, user_id: str, stores: Stores) -> dict[str, Any]:
    """A user of the caller's org. Raises :class:`NotFound`, for users of other orgs too."""
    stored = stores.objects.get(caller.org_id, "users", item_id(user_id))
    if stored is None:
        raise NotFound(Problem("user_not_found", f"there is no user {user_id}"))
    return stored.document


def list_users(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """All users of the caller's org."""
    return [stored.document for stored in stores.objects.all_of(caller.org_id, "users")]


def list_api_keys(caller: Caller, user_id: str, stores: Stores) -> list[dict[str, Any]]:
    """A user's keys, without anything secret."""
    user = find_user(caller, user_id, stores)
    keys = [stored.document for stored in stores.objects.all_of(caller.org_id, API_KEYS)]
    return [key for key in keys if key["created_by"]["href"] == user["href"]]


def get_api_key(caller: Caller, user_id: str, key_id: str, stores: Stores) -> dict[str, Any]:
    """One key, without anything secret. Raises :class:`NotFound`."""
    for key in list_api_keys(caller, user_id, stores):
        if key["key_id"] == key_id:
            return key
    raise NotFound(Problem("api_key_not_found", f"user {user_id} has no API key {key_id}"))


def create_api_key(caller: Caller, user_id: str, body: Any, stores: Stores) -> dict[str, Any]:
    """A new key; the only answer that holds its secret."""
    user = find_user(caller, user_id, stores)
    said = _SHAPE.clean(body)
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    key = new_api_key(
        user_href=user["href"],
        key_id=key_id,
        name=said["name"],
        description=said.get("description") or "",
        at=caller.at,
    )
    credential = new_credential(
        org_id=caller.org_id, user=user, key_id=key_id, secret=secret, at=caller.at
    )
    created = ResourceChange("api_key", {"href": key["href"], "name": key["name"]}, "create", {})
    event = caller.journal(stores, 201).event("api_key.create", changes=[created])
    stores.objects.commit(
        Change(
            caller.org_id,
            puts=(
                Put(API_KEYS, key_id, key),
                Put("credentials", key_id, credential, org_id=INSTALLATION),
            ),
            events=(event,),
        )
    )
    return {**key, "secret": secret}


def delete_api_key(caller: Caller, user_id: str, key_id: str, stores: Stores) -> None:
    """Delete a key; the next request that uses it is refused. Raises :class:`NotFound`."""
    key = get_api_key(caller, user_id, key_id, stores)
    stored = stores.objects.get(caller.org_id, API_KEYS, key_id)
    credential = stores.objects.get(INSTALLATION, "credentials", key_id)
    deletes = []
    if stored is not None:
        deletes.append(Delete(API_KEYS, key_id, stored.rev))
    if credential is not None:
        deletes.append(Delete("credentials", key_id, credential.rev, org_id=INSTALLATION))
    gone = ResourceChange("api_key", {"href": key["href"], "name": key["name"]}, "delete", {})
    event = caller.journal(stores, 204).event("api_key.delete", changes=[gone])
    stores.objects.commit(Change(caller.org_id, deletes=tuple(deletes), events=(event,)))
