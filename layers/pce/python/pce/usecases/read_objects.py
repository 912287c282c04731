"""Read objects of any collection but workloads and VENs: lists with filters, and one by one."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pce.access.roles import RULESET_VIEWER
from pce.errors import Invalid, NotFound, Problem
from pce.objects.collection import Collection
from pce.objects.filters import boolean, first_matching, whole_number
from pce.objects.hrefs import ACTIVE, DRAFT, item_id
from pce.objects.policy_version import Manifest, shown_draft, shown_provisioned
from pce.store.policy_versions import StoredDraft
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.find_usage import USAGES, usage_by_href, used_in_drafts
from pce.usecases.name_references import with_names_of_references
from pce.usecases.show_caps import with_caps
from pce.usecases.stores import Stores
from pce.usecases.write_object import find, not_found

DEFAULT_RESULTS = 500
"""Objects in a list when the client does not say how many; it learns the total from a header."""

Query = Mapping[str, str]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A list as it is answered: the first so many of all that match."""

    documents: list[dict[str, Any]]
    total: int


def max_results(query: Query, default: int | None = DEFAULT_RESULTS) -> int | None:
    """How many objects the client wants; None for all. 0 is a way to ask for the total alone."""
    text = query.get("max_results", "")
    if not text:
        return default
    number = whole_number(text, "max_results")
    if number < 0:
        raise Invalid(Problem("invalid_query_parameter", "max_results is negative", "max_results"))
    return min(number, sys.maxsize)  # as many as an org can have: no slice counts further


def list_objects(
    caller: Caller,
    collection: Collection,
    query: Query,
    stores: Stores,
    limit: int | None,
    under: str = "",
) -> Page:
    """Objects without policy versions; ``under`` is the href of the object that they lie in, for
    collections inside others. Reads the whole collection."""
    documents: Iterable[Document] = (
        stored.document
        for stored in stores.objects.one_by_one(caller.org_id, collection.name)
        if stored.document["href"].startswith(f"{under}/")
    )
    if not boolean(query.get("include_deleted", ""), "include_deleted"):
        documents = (document for document in documents if not document.get("deleted"))
    page, total = _first(collection, documents, query, limit)
    shown = with_caps(caller, collection.name, map(collection.shown, page), stores)
    shown = with_names_of_references(caller, collection, shown, stores)
    return Page(_with_usage(caller, collection, shown, query, stores), total)


def get_object(
    caller: Caller, collection: Collection, id: str, query: Query, stores: Stores
) -> dict[str, Any]:
    """One object without policy versions, deleted or not. Raises :class:`NotFound`."""
    found = collection.shown(find(caller, collection, id, stores).document)
    shown = with_caps(caller, collection.name, [found], stores)
    shown = with_names_of_references(caller, collection, shown, stores)
    return _with_usage(caller, collection, shown, query, stores)[0]


def list_policy_objects(
    caller: Caller,
    collection: Collection,
    version: str,
    query: Query,
    stores: Stores,
    limit: int | None,
) -> Page:
    """Objects of a policy version: ``draft``, ``active`` or a number.

    Cost: drafts are read whole; of provisioned ones those that are not in memory, 100 a request,
    and without a filter those alone that are shown.
    """
    may_see = _may_see(caller, collection, stores)
    if version == DRAFT:
        head = stores.policy_versions.head(caller.org_id)
        drafts = stores.policy_versions.drafts(caller.org_id, collection.name, head)
        drafts = [found for found in drafts if may_see(found.draft.document)]
        by_href = {str(found.draft.document["href"]): found for found in drafts}
        page, total = _first(collection, [found.draft.document for found in drafts], query, limit)
        shown = _shown_drafts(
            caller, collection, [by_href[document["href"]] for document in page], stores
        )
    else:
        revisions = _manifest(caller, version, stores).get(collection.name, {})
        if may_see is _everything and not query.keys() & collection.filters.keys():
            in_order = sorted(revisions, key=item_id)
            wanted = {id: revisions[id] for id in in_order[:limit]}
            page, total = _provisioned(caller, collection, wanted, stores), len(revisions)
        else:
            documents = _provisioned(caller, collection, revisions, stores)
            seen = (document for document in documents if may_see(document))
            page, total = _first(collection, seen, query, limit)
        shown = [_shown_provisioned(collection, document, version) for document in page]
    shown = with_names_of_references(caller, collection, shown, stores)
    return Page(_with_usage(caller, collection, shown, query, stores), total)


def get_policy_object(
    caller: Caller, collection: Collection, version: str, id: str, stores: Stores
) -> dict[str, Any]:
    """One object of a policy version. Raises :class:`NotFound`, also for an object that this
    version does not hold, or that the caller may not see."""
    may_see = _may_see(caller, collection, stores)
    if version == DRAFT:
        head = stores.policy_versions.head(caller.org_id)
        found = stores.policy_versions.draft(caller.org_id, collection.name, id, head)
        if found is None or not may_see(found.draft.document):
            raise not_found(collection, id)
        shown = _shown_drafts(caller, collection, [found], stores)
    else:
        revision = _manifest(caller, version, stores).get(collection.name, {}).get(id)
        if revision is None:
            raise not_found(collection, f"{id} in the policy version {version}")
        documents = _provisioned(caller, collection, {id: revision}, stores)
        if not all(map(may_see, documents)):
            raise not_found(collection, f"{id} in the policy version {version}")
        shown = [_shown_provisioned(collection, document, version) for document in documents]
    return with_names_of_references(caller, collection, shown, stores)[0]


def _may_see(caller: Caller, collection: Collection, stores: Stores) -> Callable[[Document], bool]:
    """What the caller is shown of a collection: of all but rule sets, everything."""
    if collection.name != "rule_sets" or any(
        grant.role != RULESET_VIEWER for grant in caller.grants
    ):
        return _everything
    return ScopeCheck(caller, stores).may_see


def _everything(document: Document) -> bool:
    return True


def _provisioned(
    caller: Caller, collection: Collection, revisions: Mapping[str, str], stores: Stores
) -> list[Document]:
    manifest = {collection.name: revisions}
    return stores.policy_versions.documents(caller.org_id, manifest, manifest)[collection.name]


def _first(
    collection: Collection, documents: Iterable[Document], query: Query, limit: int | None
) -> tuple[Sequence[Document], int]:
    return first_matching(documents, collection.filters, collection.searched, query, limit)


def _manifest(caller: Caller, version: str, stores: Stores) -> Manifest:
    if version == ACTIVE:
        return stores.policy_versions.head(caller.org_id).manifest
    found = stores.policy_versions.version(caller.org_id, int(version))
    if found is None:
        raise NotFound(Problem("sec_policy_not_found", f"there is no policy version {version}"))
    return found[1]


def _shown_drafts(
    caller: Caller, collection: Collection, drafts: Sequence[StoredDraft], stores: Stores
) -> list[dict[str, Any]]:
    changed = {
        found.draft.id: found.draft.active_revision
        for found in drafts
        if collection.name == "rule_sets"
        and found.draft.update_type == "update"
        and found.draft.active_revision is not None
    }
    manifest = {collection.name: changed}
    documents = stores.policy_versions.documents(caller.org_id, manifest, manifest)
    active = {document["href"]: document for document in documents[collection.name]}
    shown = [
        collection.shown(shown_draft(found.draft, active.get(found.draft.document["href"])))
        for found in drafts
    ]
    return with_caps(caller, collection.name, shown, stores)


def _shown_provisioned(collection: Collection, document: Document, version: str) -> dict[str, Any]:
    return {**collection.shown(shown_provisioned(document, version)), "caps": []}


def _with_usage(
    caller: Caller,
    collection: Collection,
    shown: list[dict[str, Any]],
    query: Query,
    stores: Stores,
) -> list[dict[str, Any]]:
    if collection.name == "label_dimensions":
        labels = [s.document for s in stores.objects.all_of(caller.org_id, "labels")]
        keys = {label["key"] for label in labels if not label.get("deleted")}
        head = stores.policy_versions.head(caller.org_id)
        groups = stores.policy_versions.drafts(caller.org_id, "label_groups", head)
        grouped = {found.draft.document["key"] for found in groups}
        return [
            {**d, "usage": {"labels": d["key"] in keys, "label_groups": d["key"] in grouped}}
            for d in shown
        ]
    if collection.name == "security_principals" and shown:
        used = used_in_drafts(caller, stores)
        return [{**d, "used_by_ruleset": d["href"] in used} for d in shown]
    if not boolean(query.get("usage", ""), "usage") or not shown:
        return shown
    usage = usage_by_href(caller, stores)
    unused = dict.fromkeys(USAGES, False)
    return [
        {
            **document,
            "usage": usage.get(str(document["href"]).replace("/active/", "/draft/"), unused),
        }
        for document in shown
    ]
