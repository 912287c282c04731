"""What creating, changing and deleting objects have in common: one commit, tried again when
somebody else was faster, and names that are taken explained."""

from collections.abc import Callable
from typing import TypeVar

from pce.errors import Conflict, Invalid, NotFound, Problem
from pce.objects.collection import Collection
from pce.objects.hrefs import item_id
from pce.store.change import Change
from pce.store.objects import ClaimTaken, Stored
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

ATTEMPTS = 5
"""Two people who edit one object at the same time meet once or twice, not five times."""

_Result = TypeVar("_Result")


def commit(stores: Stores, collection: Collection, change: Change) -> None:
    """Commit; raises :class:`Invalid` instead of a conflict when a name is taken."""
    try:
        stores.objects.commit(change)
    except ClaimTaken as error:
        raise Invalid(not_unique(collection)) from error


def not_unique(collection: Collection) -> Problem:
    """The problem of a name that another object holds."""
    alike = [" and ".join(attributes) for attributes in collection.unique]
    what = " or ".join([*alike, "external data reference"])
    return Problem(
        f"{collection.kind}_not_unique",
        f"there is another {collection.kind} with the same {what}; one that is deleted keeps its"
        " name until the deletion is provisioned",
        collection.unique[0][-1] if collection.unique else None,
    )


def until_settled(attempt: Callable[[], _Result]) -> _Result:
    """The result of an attempt that reads, decides and commits; again after a conflict."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except Conflict:
            continue
    return attempt()


def find(caller: Caller, collection: Collection, id: str, stores: Stores) -> Stored:
    """The stored object; raises :class:`NotFound`. Drafts that are gone are not found either.

    Cost: one read, and one more for a draft that is marked deleted.
    """
    stored = stores.objects.get(caller.org_id, collection.stored_in, item_id(id))
    if stored is None or (
        collection.provisionable and _is_gone(caller, collection, id, stored, stores)
    ):
        raise not_found(collection, id)
    return stored


def not_found(collection: Collection, id: str) -> NotFound:
    """There is no such object, or it is another org's."""
    return NotFound(Problem(f"{collection.kind}_not_found", f"there is no {collection.kind} {id}"))


def _is_gone(
    caller: Caller, collection: Collection, id: str, stored: Stored, stores: Stores
) -> bool:
    if not stored.document.get("deleted_at"):
        return False
    head = stores.policy_versions.head(caller.org_id)
    return stores.policy_versions.draft(caller.org_id, collection.name, id, head) is None


def refuse_deleted(collection: Collection, stored: Stored) -> None:
    """Raise :class:`Invalid` when the object is deleted, or its deletion waits for provisioning.

    The token ends in ``already_deleted``: clients that delete take it for success.
    """
    if stored.document.get("deleted") or stored.document.get("deleted_at"):
        message = f"{stored.document['href']} was deleted at {stored.document.get('deleted_at')}"
        raise Invalid(Problem(f"{collection.kind}_already_deleted", message))
