"""Show of each object what its reader may do with it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.access.caps import roles_with
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.stores import Stores


def with_caps(
    caller: Caller, collection: str, shown: Iterable[Mapping[str, Any]], stores: Stores
) -> list[dict[str, Any]]:
    """The same objects; of their ``caps`` those are left that the caller's roles give, within their
    scopes. Nothing is read, but label groups, once, where a scope names one."""
    check = ScopeCheck(caller, stores)
    return [
        {**document, "caps": caps_of(caller, check, collection, document)} for document in shown
    ]


def caps_of(
    caller: Caller, check: ScopeCheck, collection: str, document: Mapping[str, Any]
) -> list[str]:
    """Those of a document's ``caps`` that the caller has."""
    return [
        cap
        for cap in document["caps"]
        if any(
            grant.role in roles_with(cap, collection)
            and check.is_inside(grant, collection, (document,))
            for grant in caller.held or caller.grants
        )
    ]
