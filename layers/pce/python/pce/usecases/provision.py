"""Provision: make drafts active, all of a request or nothing; and take drafts back.

Everything is read in an order that makes races harmless: first the head, then the drafts. A draft
that changes later is provisioned next time; another provisioning in between is a conflict.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pce.errors import Invalid, PceError, Problem
from pce.events.journal import ResourceChange
from pce.objects.catalogue import COLLECTIONS, PROVISIONED
from pce.objects.hrefs import PROVISIONABLE, parse_href
from pce.objects.policy_version import (
    REVISION,
    Manifest,
    freed_draft,
    new_draft,
    provisioned_form,
    references,
    shown_draft,
    version_record,
)
from pce.store.change import Change, Delete, Put
from pce.store.policy_versions import Head, PolicyVersions, StoredDraft
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.write_object import commit

MAX_DESCRIPTION = 4096
REMOVED_AT_ONCE = 25
"""Drafts removed in one transaction: each is up to three items of at most 100."""


def pending(caller: Caller, stores: Stores) -> list[StoredDraft]:
    """All drafts that differ from what is active, by collection and id. Reads all drafts."""
    return _pending(_drafts(caller, stores.policy_versions.head(caller.org_id), stores))


def _drafts(caller: Caller, head: Head, stores: Stores) -> list[StoredDraft]:
    return [
        found
        for collection in PROVISIONED
        for found in stores.policy_versions.drafts(
            caller.org_id, collection.name, head, gone_too=True
        )
    ]


def _pending(drafts: Iterable[StoredDraft]) -> list[StoredDraft]:
    return [d for d in drafts if not d.draft.is_gone and d.draft.update_type is not None]


def shown_pending(found: StoredDraft) -> dict[str, Any]:
    """A pending draft as the list of pending changes shows it."""
    shown = shown_draft(found.draft, None)
    names = ("href", "name", "update_type", "updated_at", "updated_by", "created_at", "created_by")
    return {name: shown.get(name) for name in names} | {"caps": ["provision"]}


def provision(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """Make pending drafts active; returns the new policy version.

    ``change_subset`` names them; without it all are. One small transaction whatever the size.
    Raises :class:`Invalid` when a named href does not exist, nothing is pending, or the result
    would refer to something that is not provisioned; :class:`Conflict` when another provisioning
    was faster.
    """
    message = _description(body)
    subset = subset_hrefs(body.get("change_subset")) if isinstance(body, Mapping) else None
    versions = stores.policy_versions
    head = versions.head(caller.org_id)
    drafts = _drafts(caller, head, stores)
    selected = _selected(caller, _pending(drafts), subset, head, stores)
    if not selected:
        problem = Problem("nothing_to_provision", "none of the named objects has a pending change")
        raise Invalid(problem)
    manifest, revisions = _next(head.manifest, selected)
    _refuse_dangling(caller, head, manifest, revisions, stores)
    prepared = versions.prepare(caller.org_id, manifest, revisions)
    counts: dict[str, int] = {}
    for found in selected:
        counts[found.draft.collection] = counts.get(found.draft.collection, 0) + 1
    record = version_record(caller.org_id, head.version + 1, message, counts, caller.at, caller.by)
    event = caller.journal(stores, 201).event(
        "sec_policy.create",
        changes=[
            ResourceChange(
                "sec_policy",
                {k: record[k] for k in ("href", "version", "commit_message", "object_counts")},
                "create",
                {"version": {"before": head.version, "after": record["version"]}},
            )
        ],
    )
    stores.objects.commit(PolicyVersions.commit_of(caller.org_id, head, prepared, record, event))
    _remove_gone(caller, drafts, manifest, stores)
    return record


def revert(caller: Caller, hrefs: Sequence[str] | None, stores: Stores) -> None:
    """Take pending drafts back to what is active; those never provisioned are deleted.

    None means all. Each draft is taken back by itself. Raises :class:`Invalid` for an href without
    a pending change, before anything is written.
    """
    versions = stores.policy_versions
    head = versions.head(caller.org_id)
    selected = _selected(caller, _pending(_drafts(caller, head, stores)), hrefs, head, stores)
    for found in selected:
        draft = found.draft
        collection = COLLECTIONS[draft.collection]
        had = collection.claims(draft.document)
        if draft.active_revision is None:
            gone = freed_draft(draft.document, caller.at, caller.by, str(uuid.uuid4()))
            put = Put(collection.stored_in, found.stored.id, gone, found.stored.rev)
            has: list[str] = []
        else:
            manifest = {draft.collection: {draft.id: draft.active_revision}}
            [active] = versions.documents(caller.org_id, manifest, manifest)[draft.collection]
            put = Put(
                collection.stored_in,
                found.stored.id,
                new_draft(active, draft.active_revision),
                found.stored.rev,
            )
            has = collection.claims(active)
        reverted = ResourceChange(
            collection.kind, collection.in_event(draft.document), "update", {}
        )
        event = caller.journal(stores, 204).event("sec_policy_pending.delete", changes=[reverted])
        commit(
            stores,
            collection,
            Change(
                caller.org_id,
                puts=(put,),
                claims=tuple(name for name in has if name not in had),
                releases=tuple(name for name in had if name not in has),
                events=(event,),
            ),
        )


def dependencies(caller: Caller, hrefs: Sequence[str], stores: Stores) -> list[StoredDraft]:
    """Further pending drafts that must be provisioned together with these ones.

    What the named drafts refer to and is not active yet, and so on; and, for a deletion, the
    pending drafts whose active state still refers to it.
    """
    head = stores.policy_versions.head(caller.org_id)
    all_pending = {
        str(found.draft.document["href"]): found
        for found in _pending(_drafts(caller, head, stores))
    }
    active = {
        str(document["href"]): references(document)
        for documents in stores.policy_versions.active(caller.org_id, head).values()
        for document in documents
    }
    needed: dict[str, StoredDraft] = {}
    waiting = [href for href in hrefs if href in all_pending]
    while waiting:
        href = waiting.pop()
        found = all_pending[href]
        if found.draft.update_type == "delete":
            further = {user for user, used in active.items() if href in used}
        else:
            further = {
                used
                for used in references(found.draft.document)
                if used in all_pending and all_pending[used].draft.update_type == "create"
            }
        for other in further & all_pending.keys() - needed.keys() - set(hrefs):
            needed[other] = all_pending[other]
            waiting.append(other)
    return [needed[href] for href in sorted(needed)]


def subset_hrefs(subset: Any) -> list[str] | None:
    """The hrefs of ``{TYPE: [{"href"}, ...]}``, or of a plain list of such objects.

    None when nothing was said. Raises :class:`Invalid` naming what is no such thing.
    """
    if subset is None:
        return None
    entries: Iterable[Any]
    if isinstance(subset, Mapping):
        for listed in subset.values():
            if listed is not None and not isinstance(listed, list):
                raise Invalid(_bad_subset(listed))
        entries = [entry for listed in subset.values() for entry in listed or ()]
    elif isinstance(subset, list):
        entries = subset
    else:
        raise Invalid(_bad_subset(subset))
    hrefs = []
    for entry in entries:
        href = entry.get("href") if isinstance(entry, Mapping) else None
        parsed = parse_href(href) if isinstance(href, str) else None
        if parsed is None or parsed.collection not in PROVISIONABLE:
            raise Invalid(_bad_subset(entry))
        hrefs.append(parsed.in_version("draft"))
    return hrefs


def _bad_subset(entry: Any) -> Problem:
    message = f"change_subset must hold draft hrefs by type, not {entry!r}"
    return Problem("invalid_change_subset", message, "change_subset")


def _description(body: Any) -> str:
    text = body.get("update_description") if isinstance(body, Mapping) else None
    if text is not None and (not isinstance(text, str) or len(text) > MAX_DESCRIPTION):
        message = f"update_description must be a text of at most {MAX_DESCRIPTION} characters"
        raise Invalid(Problem("invalid_attribute", message, "update_description"))
    return text or ""


def _selected(
    caller: Caller,
    all_pending: Sequence[StoredDraft],
    hrefs: Sequence[str] | None,
    head: Head,
    stores: Stores,
) -> list[StoredDraft]:
    if hrefs is None:
        return list(all_pending)
    by_href = {str(found.draft.document["href"]): found for found in all_pending}
    problems = []
    for href in hrefs:
        parsed = parse_href(href)
        if href in by_href or parsed is None:
            continue
        mine = parsed.org_id == caller.org_id
        if not mine or not stores.policy_versions.draft(
            caller.org_id, parsed.collection, parsed.id, head
        ):
            problems.append(Problem("invalid_reference", f"{href} does not exist", href))
    if problems:
        raise Invalid(problems)
    return [by_href[href] for href in dict.fromkeys(hrefs) if href in by_href]


def _next(
    manifest: Manifest, selected: Iterable[StoredDraft]
) -> tuple[dict[str, dict[str, str]], dict[str, Mapping[str, Any]]]:
    """The manifest after provisioning, and the revisions that it newly names."""
    following = {collection: dict(entries) for collection, entries in manifest.items()}
    revisions: dict[str, Mapping[str, Any]] = {}
    for found in selected:
        draft = found.draft
        entries = following.setdefault(draft.collection, {})
        if draft.update_type == "delete":
            del entries[draft.id]
        else:
            entries[draft.id] = draft.document[REVISION]
            revisions[draft.document[REVISION]] = provisioned_form(draft.document)
    return following, revisions


def _refuse_dangling(
    caller: Caller,
    head: Head,
    manifest: Manifest,
    revisions: Mapping[str, Mapping[str, Any]],
    stores: Stores,
) -> None:
    """Active policy never refers to what is not active: refuse, naming who refers to what."""
    stay = {
        collection: {id: rev for id, rev in entries.items() if rev not in revisions}
        for collection, entries in manifest.items()
    }
    stores.policy_versions.active(caller.org_id, head)  # what stays is in memory from here on
    kept = stores.policy_versions.documents(caller.org_id, stay, stay)
    documents = [*revisions.values(), *(d for found in kept.values() for d in found)]
    problems = []
    for document in documents:
        for href in sorted(references(document)):
            parsed = parse_href(href)
            if parsed is None or not parsed.version:
                continue
            if parsed.id not in manifest.get(parsed.collection, {}):
                message = (
                    f"{document['href']} refers to {href}, which would not be active; provision"
                    " both together, or remove the reference"
                )
                problems.append(Problem("missing_dependency", message, href))
    if problems:
        raise Invalid(problems)


def _remove_gone(
    caller: Caller, drafts: Iterable[StoredDraft], manifest: Manifest, stores: Stores
) -> None:
    """Remove what is left of deleted drafts, and free their names. What a failure leaves over is
    invisible, and removed by the next provisioning."""
    gone = [
        found
        for found in drafts
        if found.draft.document.get("deleted_at")
        and found.draft.id not in manifest.get(found.draft.collection, {})
    ]
    for at in range(0, len(gone), REMOVED_AT_ONCE):
        batch = gone[at : at + REMOVED_AT_ONCE]
        change = Change(
            caller.org_id,
            deletes=tuple(
                Delete(f"draft#{found.draft.collection}", found.stored.id, found.stored.rev)
                for found in batch
            ),
            releases=tuple(
                name
                for found in batch
                for name in COLLECTIONS[found.draft.collection].claims(found.draft.document)
            ),
        )
        with suppress(PceError):
            stores.objects.commit(change)
