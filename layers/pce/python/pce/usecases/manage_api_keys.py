"""API keys of users and of service accounts: list, create, delete. A key that is deleted is refused
from then on."""

import secrets
from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import INSTALLATION, tail
from pce.objects.api_key import new_api_key, new_credential
from pce.objects.fields import MAX_TEXT, Integer, Shape, Text
from pce.store.change import Change, Delete, Put
from pce.timestamps import rfc3339
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

API_KEYS = "api_keys"
CREDENTIALS = "credentials"
MAX_KEYS = 100
"""Keys of one user or service account: one a script, and no list that nobody reads."""
NEVER = -1
_LONGEST_S = 10 * 365 * 86_400

_OF_USER = Shape({"name": Text(), "description": Text(MAX_TEXT)}, required=("name",))
_OF_ACCOUNT = Shape(
    {
        "name": Text(),
        "description": Text(MAX_TEXT),
        "expires_in_seconds": Integer(NEVER, _LONGEST_S),
    }
)


def list_api_keys(caller: Caller, owner_href: str, stores: Stores) -> list[dict[str, Any]]:
    """The keys of a user or service account, without anything secret. Reads the org's keys."""
    return [key for key in list_all_api_keys(caller, stores) if _owner_of(key) == owner_href]


def list_all_api_keys(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """Every key of the org, without anything secret."""
    return [stored.document for stored in stores.objects.all_of(caller.org_id, API_KEYS)]


def get_api_key(caller: Caller, owner_href: str, key_id: str, stores: Stores) -> dict[str, Any]:
    """One key, without anything secret. Raises :class:`NotFound`."""
    stored = stores.objects.get(caller.org_id, API_KEYS, key_id)
    if stored is None or _owner_of(stored.document) != owner_href:
        raise NotFound(Problem("api_key_not_found", f"{owner_href} has no API key {key_id}"))
    return stored.document


def create_api_key(
    caller: Caller, owner: Mapping[str, Any], body: Any, stores: Stores
) -> dict[str, Any]:
    """A new key of a user; the only answer that holds its secret."""
    return _create(caller, owner, _OF_USER.clean(body), NEVER, stores)


def create_service_account_key(
    caller: Caller, account: Mapping[str, Any], body: Any, stores: Stores
) -> dict[str, Any]:
    """A new key of a service account, which expires after ``expires_in_seconds`` (-1, and when
    nothing is said: never); the only answer that holds its secret."""
    said = _OF_ACCOUNT.clean(body)
    expires_in_s = said.get("expires_in_seconds", NEVER)
    if expires_in_s == 0:
        raise Invalid(Problem("invalid_attribute", "a key cannot expire at once; -1 is never"))
    owner = {"href": account["href"], "username": account["name"]}
    return _create(caller, owner, {"name": account["name"], **said}, expires_in_s, stores)


def _create(
    caller: Caller,
    owner: Mapping[str, Any],
    said: Mapping[str, Any],
    expires_in_s: int,
    stores: Stores,
) -> dict[str, Any]:
    if len(list_api_keys(caller, owner["href"], stores)) >= MAX_KEYS:
        message = f"{owner['href']} has {MAX_KEYS} API keys; delete those that nobody uses"
        raise Invalid(Problem("api_keys_limit", message))
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    expires_at = None if expires_in_s == NEVER else caller.now_s + expires_in_s
    key = new_api_key(
        user_href=owner["href"],
        key_id=key_id,
        name=said["name"],
        description=said.get("description") or "",
        at=caller.at,
    )
    if expires_at is not None:
        key |= {"expires_at": rfc3339(expires_at), "expires_in_seconds": expires_in_s}
    credential = new_credential(
        org_id=caller.org_id,
        user=owner,
        key_id=key_id,
        secret=secret,
        at=caller.at,
        expires_at=expires_at,
    )
    puts = (
        Put(API_KEYS, key_id, key),
        Put(CREDENTIALS, key_id, credential, ttl=expires_at, org_id=INSTALLATION),
    )
    _commit(caller, key, "create", 201, stores, puts=puts)
    return {**key, "secret": secret}


def delete_api_key(caller: Caller, key: Mapping[str, Any], stores: Stores) -> None:
    """Delete a key; the next request that uses it is refused."""
    id = tail(key["href"])
    found = (
        (collection, org_id, stores.objects.get(org_id, collection, id))
        for collection, org_id in ((API_KEYS, caller.org_id), (CREDENTIALS, INSTALLATION))
    )
    deletes = tuple(
        Delete(collection, id, stored.rev, org_id=org_id)
        for collection, org_id, stored in found
        if stored is not None
    )
    _commit(caller, key, "delete", 204, stores, deletes=deletes)


def _commit(
    caller: Caller,
    key: Mapping[str, Any],
    verb: Any,
    status: int,
    stores: Stores,
    puts: tuple[Put, ...] = (),
    deletes: tuple[Delete, ...] = (),
) -> None:
    shown = {name: key.get(name) for name in ("href", "name", "key_id")}
    values = {name: key.get(name) for name in ("name", "description", "expires_at")}
    sides = ("after",) if verb == "create" else ("before",)
    changes = {
        name: {"before": None, "after": None, **dict.fromkeys(sides, value)}
        for name, value in values.items()
        if value
    }
    changed = ResourceChange("api_key", shown, verb, changes)
    event = caller.journal(stores, status).event(f"api_key.{verb}", changes=[changed])
    stores.objects.commit(Change(caller.org_id, puts=puts, deletes=deletes, events=(event,)))


def _owner_of(key: Mapping[str, Any]) -> str:
    return str(key["href"]).rpartition("/api_keys/")[0]
