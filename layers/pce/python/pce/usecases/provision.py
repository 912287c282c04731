"""Provision: make drafts active, all of a request or nothing.

Everything is read in an order that makes races harmless: first the head, then the drafts. A draft
that changes later is provisioned next time; another provisioning in between is a conflict.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pce.access.caps import PROVISION
from pce.errors import Conflict, Invalid, PceError, Problem
from pce.events.journal import ResourceChange
from pce.objects.active_policy import active_problems
from pce.objects.catalogue import COLLECTIONS, PROVISIONED
from pce.objects.hrefs import PROVISIONABLE, parse_href
from pce.objects.policy_version import (
    REVISION,
    Manifest,
    provisioned_form,
    references,
    shown_draft,
    version_record,
)
from pce.store.change import Change, Delete
from pce.store.policy_versions import Head, PolicyVersions, StoredDraft
from pce.usecases.affected_workloads import count_affected
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.show_caps import caps_of
from pce.usecases.stores import Stores

MAX_DESCRIPTION = 4096
REMOVED_AT_ONCE = 25
"""Drafts removed in one transaction: each is up to three items of at most 100."""


def pending(caller: Caller, stores: Stores) -> list[StoredDraft]:
    """All drafts that differ from what is active, by collection and id. Reads all drafts."""
    return pending_among(all_drafts(caller, stores.policy_versions.head(caller.org_id), stores))


def all_drafts(caller: Caller, head: Head, stores: Stores) -> list[StoredDraft]:
    """Every draft, with what is left of deleted ones."""
    return [
        found
        for collection in PROVISIONED
        for found in stores.policy_versions.drafts(
            caller.org_id, collection.name, head, gone_too=True
        )
    ]


def pending_among(drafts: Iterable[StoredDraft]) -> list[StoredDraft]:
    """Those that differ from what is active."""
    return [d for d in drafts if not d.draft.is_gone and d.draft.update_type is not None]


def shown_pending(
    caller: Caller, drafts: Iterable[StoredDraft], stores: Stores
) -> list[dict[str, Any]]:
    """Pending drafts as the list of pending changes shows them."""
    check = ScopeCheck(caller, stores)
    return [_shown_pending(caller, check, found) for found in drafts]


def _shown_pending(caller: Caller, check: ScopeCheck, found: StoredDraft) -> dict[str, Any]:
    shown = shown_draft(found.draft, None)
    caps = caps_of(caller, check, found.draft.collection, {**shown, "caps": [PROVISION]})
    names = ("href", "name", "update_type", "updated_at", "updated_by", "created_at", "created_by")
    return {name: shown.get(name) for name in names} | {"caps": caps}


def provision(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """Make pending drafts active; returns the new policy version.

    ``change_subset`` names them; without it all are. One small transaction whatever the size.
    ``workloads_affected`` of the version is an upper bound, or None (:func:`count_affected`).
    Raises :class:`Invalid` when a named href does not exist, nothing is pending, or the result
    would refer to something that is not provisioned, hold a name twice or a circle of label groups;
    :class:`NotAllowed` for what the caller's roles may not provision;
    :class:`Conflict` when another provisioning was faster.
    """
    message = _description(body)
    planned = plan(caller, body, stores)
    head, manifest = planned.head, planned.manifest
    _refuse_foreign(caller, planned, stores)
    prepared = stores.policy_versions.prepare(caller.org_id, manifest, planned.revisions)
    counts = dict(Counter(found.draft.collection for found in planned.selected))
    affected = count_affected(caller.org_id, planned.documents, stores)
    number = head.version + 1
    record = version_record(caller.org_id, number, message, affected, counts, caller.at, caller.by)
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
    try:
        change = PolicyVersions.commit_of(caller.org_id, head, prepared, record, event)
        stores.objects.commit(change)
    except Conflict as error:
        message = f"{record['href']} was provisioned meanwhile by another request; repeat this one"
        raise Conflict(Problem("conflict", message)) from error
    _remove_gone(caller, planned.drafts, manifest, stores)
    return record


def _refuse_foreign(caller: Caller, planned: "Plan", stores: Stores) -> None:
    """Raise :class:`NotAllowed` for drafts that the caller's roles may not make active: of another
    kind, or outside their scopes in the state that comes or the one that goes."""
    check = ScopeCheck(caller, stores)
    was = {
        str(document["href"]): document
        for documents in stores.policy_versions.active(caller.org_id, planned.head).values()
        for document in documents
    }
    for found in planned.selected:
        draft = found.draft.document
        before = was.get(str(draft["href"]), draft)
        check.require(COLLECTIONS[found.draft.collection], draft, before)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a provisioning would make active."""

    head: Head
    """What is active now."""
    drafts: Sequence[StoredDraft]
    selected: Sequence[StoredDraft]
    manifest: Manifest
    """Of the next version."""
    revisions: Mapping[str, Mapping[str, Any]]
    """Those that are new in it."""
    documents: Mapping[str, Sequence[Mapping[str, Any]]]
    """All of the next version, in draft form, by collection."""


def plan(caller: Caller, body: Any, stores: Stores) -> Plan:
    """Work out a provisioning and refuse it as :func:`provision` does; writes nothing."""
    subset = subset_hrefs(body.get("change_subset")) if isinstance(body, Mapping) else None
    head = stores.policy_versions.head(caller.org_id)
    drafts = all_drafts(caller, head, stores)
    selected = selected_among(caller, pending_among(drafts), subset, head, stores)
    if not selected:
        problem = Problem("nothing_to_provision", "none of the named objects has a pending change")
        raise Invalid(problem)
    manifest, revisions = _next(head.manifest, selected)
    documents = _all_of(caller, head, manifest, revisions, stores)
    problems = active_problems(documents)
    if problems:
        raise Invalid(problems)
    return Plan(head, drafts, selected, manifest, revisions, documents)


def dependencies(caller: Caller, hrefs: Sequence[str], stores: Stores) -> list[StoredDraft]:
    """Further pending drafts that must be provisioned together with these ones.

    What the named drafts refer to and is not active yet, and so on; and, for a deletion, the
    pending drafts whose active state still refers to it.
    """
    head = stores.policy_versions.head(caller.org_id)
    all_pending = {
        str(found.draft.document["href"]): found
        for found in pending_among(all_drafts(caller, head, stores))
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


def selected_among(
    caller: Caller,
    all_pending: Sequence[StoredDraft],
    hrefs: Sequence[str] | None,
    head: Head,
    stores: Stores,
) -> list[StoredDraft]:
    """The named drafts among those that are pending; None names all. Raises :class:`Invalid` for
    an href of nothing."""
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


def _all_of(
    caller: Caller,
    head: Head,
    manifest: Manifest,
    revisions: Mapping[str, Mapping[str, Any]],
    stores: Stores,
) -> dict[str, list[Mapping[str, Any]]]:
    """Every document of the next version, in draft form, by collection."""
    stay = {
        collection: {id: rev for id, rev in entries.items() if rev not in revisions}
        for collection, entries in manifest.items()
    }
    stores.policy_versions.active(caller.org_id, head)  # what stays is in memory from here on
    documents: dict[str, list[Mapping[str, Any]]] = {
        collection: list(kept)
        for collection, kept in stores.policy_versions.documents(caller.org_id, stay, stay).items()
    }
    for collection, entries in manifest.items():
        documents[collection] += [revisions[r] for r in entries.values() if r in revisions]
    return documents


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
