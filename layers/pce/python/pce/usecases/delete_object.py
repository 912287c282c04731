"""Delete one object of any collection."""

import uuid
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import ResourceChange
from pce.objects.collection import Collection
from pce.objects.policy_version import deleted_draft, freed_draft
from pce.store.change import Delete, Document, PolicyChange, Put
from pce.store.objects import Stored
from pce.usecases.caller import SYSTEM_USER, Caller
from pce.usecases.find_usage import HOLDERS, Users
from pce.usecases.stores import Stores
from pce.usecases.write_object import (
    POLICY_REASONS,
    Edit,
    commit_edit,
    find,
    policy_hrefs,
    refuse_deleted,
    until_settled,
)

METHOD_NOT_ALLOWED = "method_not_allowed_error"
"""Token by which clients learn that a managed workload is unpaired, not deleted."""


def delete_object(caller: Caller, collection: Collection, id: str, stores: Stores) -> None:
    """Delete it, unless something uses it.

    A provisioned object is marked, and disappears when the deletion is provisioned; its name is
    free then. Labels, label dimensions and workloads stay readable with ``deleted: true``.
    Raises :class:`NotFound`, and :class:`Invalid` when it is in use, deleted already, a factory
    object, or a managed workload.
    """
    until_settled(lambda: _delete(caller, collection, id, stores))


def _delete(caller: Caller, collection: Collection, id: str, stores: Stores) -> None:
    stored = find(caller, collection, id, stores)
    refuse_deleted(collection, stored)
    users = Users(caller, collection, stores)
    refuse_needed(caller, collection, stored.document, users, stores)
    head = stores.policy_versions.head(caller.org_id) if collection.provisionable else None
    provisioned = head is not None and id in head.manifest.get(collection.name, {})
    edit = deletion(caller, collection, stored, provisioned=provisioned)
    commit_edit(caller, collection, edit, "delete", 204, stores)


def deletion(
    caller: Caller, collection: Collection, stored: Stored, *, provisioned: bool = False
) -> Edit:
    """What is written to delete an object. ``provisioned``: it is in the active version."""
    document = stored.document
    reason = POLICY_REASONS.get(collection.name)
    return Edit(
        str(document["href"]),
        ResourceChange(
            collection.kind,
            collection.in_event(document),
            "delete",
            collection.changes(document, None),
        ),
        collection,
        (document,),
        puts=_marked(caller, collection, stored, provisioned=provisioned),
        deletes=()
        if collection.provisionable or collection.keeps_deleted
        else (Delete(collection.stored_in, stored.id, stored.rev),),
        # A provisioned object keeps its name until its deletion is provisioned too.
        releases=() if provisioned else tuple(collection.claims(document)),
        policy_changes=(PolicyChange(reason, policy_hrefs(collection, document)),)
        if reason
        else (),
    )


def _marked(
    caller: Caller, collection: Collection, stored: Stored, *, provisioned: bool
) -> tuple[Put, ...]:
    """The object marked as deleted, where it stays."""
    document: dict[str, Any] = {**stored.document, **caller.updated()}
    if collection.provisionable:
        mark = deleted_draft if provisioned else freed_draft
        document = mark(document, caller.at, caller.by, str(uuid.uuid4()))
    elif collection.keeps_deleted:
        document |= {"deleted": True, "deleted_at": caller.at}
        if collection.name == "workloads":
            document["online"] = False
    else:
        return ()
    return (Put(collection.stored_in, stored.id, document, stored.rev),)


def refuse_needed(
    caller: Caller, collection: Collection, document: Document, users: Users, stores: Stores
) -> None:
    """Raise :class:`Invalid` for what cannot be deleted: it is used, managed, or everybody's."""
    if document.get("managed") and collection.name == "workloads":
        message = f"{document['href']} is managed by a VEN; unpair it with PUT vens/unpair"
        raise Invalid(Problem(METHOD_NOT_ALLOWED, message))
    if collection.provisionable and document.get("created_by") == {"href": SYSTEM_USER}:
        message = f"{document['href']} is a factory object, which clients rely on; it stays"
        raise Invalid(Problem(f"{collection.kind}_is_factory_object", message))
    if document.get("is_default") and collection.name == "container_workload_profiles":
        message = f"{document['href']} is the default profile of its cluster; it goes with it"
        raise Invalid(Problem(f"{collection.kind}_is_default", message))
    if collection.name == "label_dimensions":
        labels = stores.objects.all_of(caller.org_id, "labels")
        used = [s for s in labels if s.document["key"] == document["key"]]
        head = stores.policy_versions.head(caller.org_id)
        groups = stores.policy_versions.drafts(caller.org_id, "label_groups", head)
        grouped = any(found.draft.document["key"] == document["key"] for found in groups)
        if grouped or any(not s.document.get("deleted") for s in used):
            message = f"labels or groups have the key {document['key']!r}; delete them first"
            raise Invalid(Problem("label_dimension_in_use", message))
    elif collection.name in _REFERRED_TO:
        users.refuse_if_any(str(document["href"]))


_REFERRED_TO = (
    *("labels", "label_groups", "ip_lists", "services", "virtual_services", "virtual_servers"),
    *("security_principals", *HOLDERS),
)
"""Collections whose objects stay while others refer to them. A workload may go at any time, as
machines do; rules that name it then select nothing for it."""
