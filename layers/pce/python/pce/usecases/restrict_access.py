"""Restrict who calls to the addresses that they may call from; and keep people from locking
themselves out.

A restriction is named by an ``auth_security_principal`` (of a user) or a service account. Of a
principal the name is stored a second time among the user's grants, which every request reads; so a
caller without a restriction costs nothing, one with a restriction one read.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pce.access.addresses import client_address, is_allowed
from pce.errors import Invalid, Problem, Unauthenticated
from pce.identifiers import OrgId, tail
from pce.objects.access_restriction import ACCESS_RESTRICTIONS
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS, USER
from pce.objects.hrefs import item_id
from pce.objects.permission import RESTRICTED, grants_of
from pce.objects.service_account import SERVICE_ACCOUNTS
from pce.objects.settings import TRUSTED_PROXIES, proxy_networks
from pce.store.change import Delete, Put
from pce.usecases.authenticate import Identity
from pce.usecases.caller import Caller
from pce.usecases.change_settings import change_settings
from pce.usecases.check_references import check_references
from pce.usecases.create_object import creation, identified
from pce.usecases.delete_object import delete_object, deletion
from pce.usecases.stores import Stores
from pce.usecases.update_object import changed, update, update_object
from pce.usecases.write_object import commit_edit, find, until_settled

Document = Mapping[str, Any]


# At the gate


def address_of(peer: str, hops: list[str], org_id: int, stores: Stores) -> str:
    """The address from which an org's client calls: who sent the request, or whom the org's trusted
    proxies heard. One read, of requests that came by a proxy alone."""
    if not org_id or hops in ([], [peer]):
        return peer
    stored = stores.objects.get(OrgId(org_id), "settings", TRUSTED_PROXIES.name)
    trusted = proxy_networks(stored.document) if stored else []
    return client_address(peer, hops, trusted)


def require_allowed(identity: Identity, address: str, stores: Stores) -> None:
    """Raise :class:`Unauthenticated` unless the caller may call from this address. A restriction
    that is gone allows nothing. One read, of callers that are restricted alone."""
    if not identity.restriction:
        return
    id = item_id(tail(identity.restriction))
    stored = stores.objects.get(identity.org_id, ACCESS_RESTRICTIONS.name, id)
    if stored is None or not is_allowed(stored.document, address, identity.kind):
        message = f"{identity.name} may not call from {address}: an access restriction says so"
        raise Unauthenticated(Problem("address_not_allowed", message), identity.org_id)


# Who is restricted


def create_principal(
    caller: Caller, identity: Identity, body: Any, stores: Stores
) -> dict[str, Any]:
    """A new principal, with its restriction. Raises :class:`Invalid`."""
    document = AUTH_SECURITY_PRINCIPALS.new_document(body)
    check_references(caller, AUTH_SECURITY_PRINCIPALS, document, stores)
    if _is_own(caller, document):
        _refuse_lock_out(caller, identity, document, stores)
    document = identified(caller, AUTH_SECURITY_PRINCIPALS, document, stores)
    edit = creation(AUTH_SECURITY_PRINCIPALS, document)
    puts, _ = _copied(caller, document, stores)
    edit = replace(edit, puts=(*edit.puts, *puts))
    commit_edit(caller, AUTH_SECURITY_PRINCIPALS, edit, "create", 201, stores)
    return document


def update_principal(
    caller: Caller, identity: Identity | None, id: str, body: Any, stores: Stores
) -> None:
    """Change a principal; its restriction holds from the user's next request on. Raises
    :class:`Invalid`, also when the caller would lock themselves out. ``identity``: None for the
    operator."""

    def attempt() -> None:
        stored = find(caller, AUTH_SECURITY_PRINCIPALS, id, stores)
        before = stored.document
        after = changed(AUTH_SECURITY_PRINCIPALS, before, body)
        if after == before:
            return
        check_references(caller, AUTH_SECURITY_PRINCIPALS, after, stores, before)
        if identity is not None and _is_own(caller, after):
            _refuse_lock_out(caller, identity, after, stores)
        edit = update(caller, AUTH_SECURITY_PRINCIPALS, stored, after, stores)
        puts, deletes = _copied(caller, after, stores)
        edit = replace(edit, puts=(*edit.puts, *puts), deletes=deletes)
        commit_edit(caller, AUTH_SECURITY_PRINCIPALS, edit, "update", 204, stores)

    until_settled(attempt)


def delete_principal(caller: Caller, id: str, stores: Stores) -> None:
    """Delete a principal, with what is restricted by it."""

    def attempt() -> None:
        stored = find(caller, AUTH_SECURITY_PRINCIPALS, id, stores)
        edit = deletion(caller, AUTH_SECURITY_PRINCIPALS, stored)
        free = {**stored.document, "access_restriction": None}
        _, deletes = _copied(caller, free, stores)
        edit = replace(edit, deletes=(*edit.deletes, *deletes))
        commit_edit(caller, AUTH_SECURITY_PRINCIPALS, edit, "delete", 204, stores)

    until_settled(attempt)


def update_account(caller: Caller, identity: Identity, id: str, body: Any, stores: Stores) -> None:
    """Change a service account. Raises :class:`Invalid`, also when it would lock itself out."""
    stored = find(caller, SERVICE_ACCOUNTS, id, stores)
    if stored.document["href"] == caller.user_href:
        after = changed(SERVICE_ACCOUNTS, stored.document, body)
        check_references(caller, SERVICE_ACCOUNTS, after, stores, stored.document)
        _refuse_lock_out(caller, identity, after, stores)
    update_object(caller, SERVICE_ACCOUNTS, id, body, stores)


# What restricts


def update_restriction(
    caller: Caller, identity: Identity, id: str, body: Any, stores: Stores
) -> None:
    """Change a restriction; it holds from the next request on. Raises :class:`Invalid`, also when
    the caller would lock themselves out."""
    stored = find(caller, ACCESS_RESTRICTIONS, id, stores)
    if stored.document["href"] == identity.restriction:
        after = changed(ACCESS_RESTRICTIONS, stored.document, body)
        _refuse_unless_allowed(after, _address(caller), identity)
    update_object(caller, ACCESS_RESTRICTIONS, id, body, stores)


def delete_restriction(caller: Caller, id: str, stores: Stores) -> None:
    """Delete a restriction. Raises :class:`Invalid` while somebody is restricted by it: nobody
    should be let in by a slip."""
    href = find(caller, ACCESS_RESTRICTIONS, id, stores).document["href"]
    for collection in (AUTH_SECURITY_PRINCIPALS, SERVICE_ACCOUNTS):
        for stored in stores.objects.all_of(caller.org_id, collection.name):
            if (stored.document.get("access_restriction") or {}).get("href") == href:
                message = f"{href} restricts {stored.document['href']}; take it away there first"
                raise Invalid(Problem("access_restriction_in_use", message))
    delete_object(caller, ACCESS_RESTRICTIONS, id, stores)


def set_trusted_proxies(
    caller: Caller, identity: Identity, peer: str, hops: list[str], body: Any, stores: Stores
) -> None:
    """Change whose word on clients' addresses is believed. Raises :class:`Invalid`, also when by
    the new list the caller would come from an address that they may not come from."""
    if identity.restriction:
        said = TRUSTED_PROXIES.shape.clean(body, partial=True)
        address = client_address(peer, hops, proxy_networks(said))
        id = item_id(tail(identity.restriction))
        stored = stores.objects.get(caller.org_id, ACCESS_RESTRICTIONS.name, id)
        if stored is not None:
            _refuse_unless_allowed(stored.document, address, identity)
    change_settings(caller, TRUSTED_PROXIES, body, stores)


def _is_own(caller: Caller, principal: Document) -> bool:
    named = (principal["type"], principal["name"].lower())
    return caller.is_user and named == (USER, caller.username.lower())


def _refuse_lock_out(
    caller: Caller, identity: Identity, restricted: Document, stores: Stores
) -> None:
    reference = restricted.get("access_restriction")
    if reference:
        restriction = find(caller, ACCESS_RESTRICTIONS, tail(reference["href"]), stores)
        _refuse_unless_allowed(restriction.document, _address(caller), identity)


def _refuse_unless_allowed(restriction: Document, address: str, identity: Identity) -> None:
    if not is_allowed(restriction, address, identity.kind):
        message = (
            f"you call from {address}, which would not be allowed any more: this request would lock"
            " you out; call from an allowed address, or let somebody else do it"
        )
        raise Invalid(Problem("would_lock_out", message, "access_restriction"))


def _address(caller: Caller) -> str:
    return caller.action.source_ip if caller.action else ""


def _copied(
    caller: Caller, principal: Document, stores: Stores
) -> tuple[tuple[Put, ...], tuple[Delete, ...]]:
    """What is written so that the principal's restriction is found with its grants."""
    where = grants_of(principal["type"], principal["name"])
    copy = stores.objects.get(caller.org_id, where, RESTRICTED)
    reference = principal.get("access_restriction")
    if reference:
        return (Put(where, RESTRICTED, reference, copy.rev if copy else None),), ()
    return (), (Delete(where, RESTRICTED, copy.rev),) if copy else ()
