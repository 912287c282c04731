"""Create one object of any collection."""

import uuid
from typing import Any

from pce.events.journal import ResourceChange
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.hrefs import item_id
from pce.objects.policy_version import new_draft
from pce.store.change import Change, PolicyChange, Put
from pce.usecases.caller import Caller
from pce.usecases.check_references import check_references
from pce.usecases.stores import Stores
from pce.usecases.write_object import commit


def create_object(
    caller: Caller, collection: Collection, body: Any, stores: Stores
) -> dict[str, Any]:
    """The new object as it is stored; nothing is left behind when it is refused.

    Raises :class:`Invalid` with everything that is wrong, a taken name included. Objects with
    drafts begin as a draft.
    """
    document = collection.new_document(body)
    check_references(caller, collection, document, stores)
    document = identified(caller, collection, document, stores)
    change = ResourceChange(
        collection.kind,
        collection.in_event(document),
        "create",
        collection.changes(None, document),
    )
    event = caller.journal(stores, 201).event(f"{collection.kind}.create", changes=[change])
    commit(
        stores,
        collection,
        Change(
            caller.org_id,
            puts=(Put(collection.stored_in, item_id(tail(document["href"])), document),),
            claims=tuple(collection.claims(document)),
            events=(event,),
            policy_changes=(
                (PolicyChange("workload", (document["href"],)),)
                if collection.name == "workloads"
                else ()
            ),
        ),
    )
    return document


def identified(
    caller: Caller, collection: Collection, document: dict[str, Any], stores: Stores
) -> dict[str, Any]:
    """A new document with its href and authorship. One write for the next number, if numbered."""
    if collection.numbered:
        id = str(stores.objects.next_id(caller.org_id, collection.name))
    else:
        id = str(uuid.uuid4())
    between = ("sec_policy", "draft") if collection.provisionable else ()
    document = {"href": caller.path(*between, collection.name, id), **document, **caller.created()}
    return new_draft(document, str(uuid.uuid4())) if collection.provisionable else document
