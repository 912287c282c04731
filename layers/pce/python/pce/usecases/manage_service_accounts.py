"""Service accounts: create with their roles and a first key, change, delete with all keys."""

from collections.abc import Mapping
from typing import Any

from pce.objects.hrefs import item_id
from pce.objects.service_account import SERVICE_ACCOUNTS
from pce.usecases.caller import Caller
from pce.usecases.create_object import create_object
from pce.usecases.delete_object import delete_object
from pce.usecases.manage_api_keys import (
    create_service_account_key,
    delete_api_key,
    list_api_keys,
)
from pce.usecases.stores import Stores
from pce.usecases.write_object import find


def create_service_account(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """The new account; with ``api_key`` in the body also its first key, whose secret is shown only
    here. Raises :class:`Invalid`."""
    account = create_object(caller, SERVICE_ACCOUNTS, body, stores)
    asked = body.get("api_key") if isinstance(body, Mapping) else None
    if asked is None:
        return account
    key = create_service_account_key(caller, account, asked or {}, stores)
    return {
        **account,
        "api_key": key,
        "api_key_id": key["key_id"],
        "api_key_secret": key["secret"],
    }


def delete_service_account(caller: Caller, id: str, stores: Stores) -> None:
    """Delete the account, whose keys are refused from then on, and then the keys."""
    href = find(caller, SERVICE_ACCOUNTS, item_id(id), stores).document["href"]
    delete_object(caller, SERVICE_ACCOUNTS, id, stores)
    for key in list_api_keys(caller, href, stores):
        delete_api_key(caller, key, stores)
