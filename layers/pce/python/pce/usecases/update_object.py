"""Change one object of any collection: what is not said stays as it is."""

import uuid
from collections.abc import Mapping
from typing import Any

from pce.events.journal import ResourceChange
from pce.objects.collection import Collection
from pce.objects.ip_tables_rule import known_custom_rules
from pce.objects.policy_version import new_draft
from pce.objects.workload import READ_ONLY_WHEN_MANAGED, policy_reasons
from pce.store.change import PolicyChange, Put
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.check_references import check_references
from pce.usecases.create_object import with_custom_rules
from pce.usecases.stores import Stores
from pce.usecases.write_object import (
    POLICY_REASONS,
    Edit,
    commit_edit,
    find,
    refuse_deleted,
    until_settled,
)


def update_object(
    caller: Caller, collection: Collection, id: str, body: Any, stores: Stores
) -> None:
    """Store the change, with an event of each attribute before and after.

    Nothing is written when nothing changes. Raises :class:`NotFound`, and :class:`Invalid` with
    everything that is wrong.
    """
    until_settled(lambda: _update(caller, collection, id, body, stores))


def _update(caller: Caller, collection: Collection, id: str, body: Any, stores: Stores) -> None:
    stored = find(caller, collection, id, stores)
    refuse_deleted(collection, stored)
    before = stored.document
    after = changed(collection, before, body)
    if after == before:
        return
    check_references(caller, collection, after, stores, before)
    edit = update(caller, collection, stored, after, stores)
    commit_edit(caller, collection, edit, "update", 204, stores)


def changed(collection: Collection, before: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """The document after a partial update; raises :class:`Invalid`."""
    after = collection.changed_document(before, writable(before, body))
    if collection.name == "rule_sets":
        known = known_custom_rules(after["ip_tables_rules"], before["ip_tables_rules"])
        after["ip_tables_rules"] = known
    return after


def update(
    caller: Caller, collection: Collection, stored: Stored, after: dict[str, Any], stores: Stores
) -> Edit:
    """What is written to put a changed document in the place of the stored one."""
    before = stored.document
    after = {**after, **caller.updated()}
    if collection.provisionable:
        custom = before.get("ip_tables_rules") or []
        after = with_custom_rules(caller, collection, after, custom, stores)
        after = new_draft(after, str(uuid.uuid4()))
    had, has = collection.claims(before), collection.claims(after)
    return Edit(
        str(after["href"]),
        ResourceChange(
            collection.kind,
            collection.in_event(after),
            "update",
            collection.changes(before, after),
        ),
        collection,
        (before, after),
        puts=(Put(collection.stored_in, stored.id, after, stored.rev),),
        claims=tuple(name for name in has if name not in had),
        releases=tuple(name for name in had if name not in has),
        policy_changes=policy_changes(collection, before, after),
    )


def writable(before: Mapping[str, Any], body: Any) -> Any:
    """What a client sent, without what it may not change of this object."""
    if isinstance(body, Mapping) and before.get("managed"):
        return {k: v for k, v in body.items() if k not in READ_ONLY_WHEN_MANAGED}
    return body


def policy_changes(
    collection: Collection, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[PolicyChange, ...]:
    """What the policy compiler must look at after this change."""
    href = (str(after["href"]),)
    if collection.name == "workloads":
        return tuple(PolicyChange(reason, href) for reason in policy_reasons(before, after))
    if collection.name == "labels":
        return (PolicyChange("labels", href),)  # flows are shown with the label's new name
    if collection.name in ("container_workload_profiles", "discovered_virtual_servers"):
        return (PolicyChange(POLICY_REASONS[collection.name], href),)
    return ()
