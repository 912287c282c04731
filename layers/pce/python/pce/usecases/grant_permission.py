"""Grant, change and take away permissions.

A permission is stored twice in one transaction: as the object that clients see, and as a copy under
its principal, which every request of that principal reads (``authenticate.py``).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pce.access.roles import OWNER, grant_of
from pce.errors import Invalid, Problem
from pce.identifiers import tail
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS, USER
from pce.objects.permission import PERMISSIONS, grants_of
from pce.store.change import Delete, Put
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.check_references import check_references
from pce.usecases.create_object import creation, identified
from pce.usecases.delete_object import deletion
from pce.usecases.stores import Stores
from pce.usecases.update_object import changed, update
from pce.usecases.write_object import commit_edit, find, until_settled

Document = Mapping[str, Any]


def create_permission(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """Grant a role; it holds from the principal's next request on. Raises :class:`Invalid`."""
    document = PERMISSIONS.new_document(body)
    check_references(caller, PERMISSIONS, document, stores)
    document = identified(caller, PERMISSIONS, document, stores)
    edit = creation(PERMISSIONS, document)
    copy = Put(_granted_to(caller, document, stores), tail(document["href"]), document)
    edit = replace(edit, puts=(*edit.puts, copy))
    commit_edit(caller, PERMISSIONS, edit, "create", 201, stores)
    return document


def update_permission(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    """Change role, scope or principal. Raises :class:`Invalid` when nobody would be left who owns
    the organization."""

    def attempt() -> None:
        stored = find(caller, PERMISSIONS, id, stores)
        before = stored.document
        after = changed(PERMISSIONS, before, body)
        if after == before:
            return
        check_references(caller, PERMISSIONS, after, stores, before)
        edit = update(caller, PERMISSIONS, stored, after, stores)
        document = edit.puts[0].document
        copied, goes_to = (_granted_to(caller, d, stores) for d in (before, document))
        copy = _copy(caller, copied, stored.id, stores)
        moved = (
            (Put(goes_to, stored.id, document, copy.rev),)
            if goes_to == copied
            else (Put(goes_to, stored.id, document),)
        )
        gone = () if goes_to == copied else (Delete(copied, stored.id, copy.rev),)
        kept = _another_owner(caller, stored, stores) if not _owns(caller, document, stores) else ()
        edit = replace(edit, puts=(*edit.puts, *moved, *kept), deletes=gone)
        commit_edit(caller, PERMISSIONS, edit, "update", 204, stores)

    until_settled(attempt)


def delete_permission(caller: Caller, id: str, stores: Stores) -> None:
    """Take a role away, from the principal's next request on. Raises :class:`Invalid` as
    :func:`update_permission` does."""

    def attempt() -> None:
        stored = find(caller, PERMISSIONS, id, stores)
        copied = _granted_to(caller, stored.document, stores)
        copy = Delete(copied, stored.id, _copy(caller, copied, stored.id, stores).rev)
        edit = deletion(caller, PERMISSIONS, stored)
        kept = _another_owner(caller, stored, stores)
        edit = replace(edit, puts=kept, deletes=(*edit.deletes, copy))
        commit_edit(caller, PERMISSIONS, edit, "delete", 204, stores)

    until_settled(attempt)


def refuse_principal_in_use(caller: Caller, id: str, stores: Stores) -> None:
    """Raise :class:`Invalid` while permissions name the principal."""
    href = caller.path(AUTH_SECURITY_PRINCIPALS.name, id)
    permissions = stores.objects.all_of(caller.org_id, PERMISSIONS.name)
    documents = [stored.document for stored in permissions]
    named = [d["href"] for d in documents if d["auth_security_principal"]["href"] == href]
    if named:
        message = f"{href} has {len(named)} permissions, {named[0]} among them; delete them first"
        raise Invalid(Problem("auth_security_principal_in_use", message))


def _principal(caller: Caller, permission: Document, stores: Stores) -> Document:
    id = tail(permission["auth_security_principal"]["href"])
    return find(caller, AUTH_SECURITY_PRINCIPALS, id, stores).document


def _granted_to(caller: Caller, permission: Document, stores: Stores) -> str:
    """Where the copy of a permission lies. One read."""
    principal = _principal(caller, permission, stores)
    return grants_of(principal["type"], principal["name"])


def _copy(caller: Caller, collection: str, id: str, stores: Stores) -> Stored:
    stored = stores.objects.get(caller.org_id, collection, id)
    assert stored is not None, f"{collection}/{id} is written with its permission"  # noqa: S101
    return stored


def _owns(caller: Caller, permission: Document, stores: Stores) -> bool:
    """Whether a permission makes a user the owner; of a group nobody knows who is in it."""
    owns = grant_of(permission).role == OWNER
    return owns and _principal(caller, permission, stores)["type"] == USER


def _another_owner(caller: Caller, stored: Stored, stores: Stores) -> tuple[Put, ...]:
    """A write that holds on to another owner's permission while this one goes, so that of two
    owners who take each other away at the same time one is refused. Nothing for other roles."""
    if not _owns(caller, stored.document, stores):
        return ()
    for other in stores.objects.all_of(caller.org_id, PERMISSIONS.name):
        if other.id != stored.id and _owns(caller, other.document, stores):
            return (Put(PERMISSIONS.name, other.id, other.document, other.rev),)
    message = (
        f"{stored.document['href']} is the last permission that makes a user the owner of"
        f" {caller.path()}; make somebody else the owner first"
    )
    raise Invalid(Problem("last_owner", message))
