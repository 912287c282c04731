"""Which objects a policy version changed."""

from typing import Any

from pce.errors import NotFound, Problem
from pce.objects.hrefs import ACTIVE, DRAFT, in_version
from pce.objects.policy_version import Manifest, UpdateType
from pce.usecases.caller import Caller
from pce.usecases.provision import pending, shown_pending
from pce.usecases.stores import Stores


def list_modified_objects(caller: Caller, version: str, stores: Stores) -> list[dict[str, Any]]:
    """Objects that a version changed against the one before it; of ``draft`` those pending.

    Deleted ones have the href that they had in the version before. Raises :class:`NotFound`.
    """
    if version == DRAFT:
        entries = shown_pending(caller, pending(caller, stores), stores)
        return [{**entry, "change_type": entry["update_type"]} for entry in entries]
    number = stores.policy_versions.head(caller.org_id).version
    if version != ACTIVE:
        number = int(version)
    found = stores.policy_versions.version(caller.org_id, number)
    if found is None:
        raise NotFound(Problem("sec_policy_not_found", f"there is no policy version {version}"))
    before = stores.policy_versions.version(caller.org_id, number - 1)
    return [
        *_changed(caller, number, found[1], before[1] if before else {}, stores),
        *_deleted(caller, number - 1, before[1] if before else {}, found[1], stores),
    ]


def _changed(
    caller: Caller, number: int, manifest: Manifest, before: Manifest, stores: Stores
) -> list[dict[str, Any]]:
    changed = {
        collection: {
            id: revision
            for id, revision in entries.items()
            if before.get(collection, {}).get(id) != revision
        }
        for collection, entries in manifest.items()
    }
    return _shown(caller, number, changed, before, stores)


def _deleted(
    caller: Caller, number: int, manifest: Manifest, after: Manifest, stores: Stores
) -> list[dict[str, Any]]:
    deleted = {
        collection: {id: rev for id, rev in entries.items() if id not in after.get(collection, {})}
        for collection, entries in manifest.items()
    }
    return _shown(caller, number, deleted, None, stores)


def _shown(
    caller: Caller, number: int, objects: Manifest, before: Manifest | None, stores: Stores
) -> list[dict[str, Any]]:
    """Objects as they are in version ``number``; ``before`` is None when they are deleted after."""

    def change_of(collection: str, id: str) -> UpdateType:
        if before is None:
            return "delete"
        return "update" if id in before.get(collection, {}) else "create"

    documents = stores.policy_versions.documents(caller.org_id, objects, objects)
    shown = []
    for collection, found in documents.items():
        for document in found:
            id = document["href"].rsplit("/", 1)[-1]
            change = change_of(collection, id)
            shown.append(
                {
                    "href": in_version({"href": document["href"]}, str(number))["href"],
                    "name": document.get("name"),
                    "update_type": change,
                    "change_type": change,
                    "updated_at": document.get("updated_at"),
                    "updated_by": document.get("updated_by"),
                }
            )
    return shown
