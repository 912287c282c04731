"""Take drafts back: to what is active (revert), or to what a policy version was (restore).

Drafts are written in transactions of a few dozen, those that pass names to each other together. A
failure in between leaves some drafts taken back and others not, all of them whole; the same request
does the rest.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pce.errors import Invalid, NotFound, Problem, TooLarge
from pce.events.journal import ResourceChange
from pce.identifiers import tail
from pce.objects.catalogue import COLLECTIONS
from pce.objects.collection import Collection
from pce.objects.hrefs import item_id, parse_href
from pce.objects.policy_version import (
    REVISION,
    deleted_draft,
    freed_draft,
    new_draft,
    references,
)
from pce.objects.rule import KINDS
from pce.store.change import Put
from pce.store.objects import ClaimTaken
from pce.store.policy_versions import StoredDraft
from pce.usecases.caller import Caller
from pce.usecases.check_references import Surroundings
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.provision import all_drafts, pending, pending_among, selected_among
from pce.usecases.stores import Stores
from pce.usecases.write_object import Edit, commit_edits, not_unique, until_settled

ITEMS_TOGETHER = 96
"""Items in one transaction, with the event at most 100: drafts and the names that they pass on."""

Document = Mapping[str, Any]


def revert(caller: Caller, hrefs: Sequence[str] | None, stores: Stores) -> None:
    """Take pending drafts back to what is active; those never provisioned are deleted.

    None means all. Raises :class:`Invalid` for an href of nothing, before anything is written.
    """

    def attempt() -> None:
        head = stores.policy_versions.head(caller.org_id)
        every = pending_among(all_drafts(caller, head, stores))
        selected = selected_among(caller, every, hrefs, head, stores)
        active = _documents(
            caller,
            [(d.draft.collection, d.draft.id, d.draft.active_revision) for d in selected],
            stores,
        )
        resets = []
        for found in selected:
            was = active.get((found.draft.collection, found.draft.id))
            after = was or freed_draft(found.draft.document, caller.at, caller.by, _revision())
            resets.append(_Reset(COLLECTIONS[found.draft.collection], found, after))
        _write(caller, resets, "sec_policy_pending.delete", 204, stores)

    until_settled(attempt)


def restore(caller: Caller, version: int, stores: Stores) -> list[StoredDraft]:
    """Make every draft what it was in a policy version; returns the drafts that are pending then.

    What the version did not hold is deleted, what was deleted since is back under its old href.
    Nothing becomes active: that is for the next provisioning. Raises :class:`NotFound` for the
    version, and :class:`Invalid` when something in it refers to a label that is deleted.
    """
    until_settled(lambda: _restore(caller, version, stores))
    return pending(caller, stores)


def _restore(caller: Caller, version: int, stores: Stores) -> None:
    head = stores.policy_versions.head(caller.org_id)
    found = stores.policy_versions.version(caller.org_id, version)
    if found is None:
        raise NotFound(Problem("sec_policy_not_found", f"there is no policy version {version}"))
    drafts = {(d.draft.collection, d.draft.id): d for d in all_drafts(caller, head, stores)}
    differ = [
        (collection, id, revision)
        for collection, entries in found[1].items()
        for id, revision in entries.items()
        if not _is_in(drafts.get((collection, id)), revision)
    ]
    wanted = _documents(caller, differ, stores)
    _refuse_lost(caller, version, wanted.values(), stores)
    resets = [
        _Reset(COLLECTIONS[collection], drafts.get((collection, id)), document)
        for (collection, id), document in wanted.items()
    ]
    taken = {name for reset in resets for name in reset.has}
    for (collection, id), draft in drafts.items():
        if id not in found[1].get(collection, {}):
            resets += _deletion(caller, draft, taken)
    _write(caller, resets, "sec_policy.restore", 200, stores)


def _is_in(found: StoredDraft | None, revision: str) -> bool:
    return found is not None and found.draft.document[REVISION] == revision


@dataclass(frozen=True)
class _Reset:
    """One draft and the state that it gets. ``found`` is None when the draft was removed."""

    collection: Collection
    found: StoredDraft | None
    after: Document

    @property
    def had(self) -> list[str]:
        """Names that the draft holds now."""
        return self.collection.claims(self.found.draft.document) if self.found else []

    @property
    def has(self) -> list[str]:
        """Names that it holds then."""
        return self.collection.claims(self.after)

    def edit(self) -> Edit:
        """What is written for this draft alone."""
        href = str(self.after["href"])
        stored = self.found.stored if self.found else None
        return Edit(
            href,
            ResourceChange(
                self.collection.kind,
                self.collection.in_event(self.after),
                "update",
                self._changes(),
            ),
            self.collection,
            (self.found.draft.document, self.after) if self.found else (self.after,),
            puts=(
                Put(
                    self.collection.stored_in,
                    stored.id if stored else item_id(tail(href)),
                    self.after,
                    stored.rev if stored else None,
                ),
            ),
        )

    def _changes(self) -> dict[str, Any]:
        """What becomes of the attributes; and of the rules, which lie beside them."""
        before = self.found.draft.document if self.found else None
        after = None if self.after.get("deleted_at") else self.after
        changes = self.collection.changes(before, after)
        for name in KINDS.values():
            had, has = (
                {rule["href"]: rule for rule in (state or {}).get(name) or ()}
                for state in (before, after)
            )
            if had != has:
                changes[name] = {
                    "created": [{"href": href} for href in has if href not in had],
                    "deleted": [{"href": href} for href in had if href not in has],
                    "updated": [{"href": h} for h in has if h in had and has[h] != had[h]],
                }
        return changes


def _deletion(caller: Caller, found: StoredDraft, taken: set[str]) -> list[_Reset]:
    """What becomes of a draft that the version does not hold; nothing when it is deleted already.
    One that is active keeps its names until its deletion is provisioned, unless a draft that comes
    back needs them."""
    collection = COLLECTIONS[found.draft.collection]
    document = found.draft.document
    needed = not taken.isdisjoint(collection.claims(document))
    if document.get("deleted_at") and not needed:
        return []
    mark = freed_draft if needed or found.draft.active_revision is None else deleted_draft
    return [_Reset(collection, found, mark(document, caller.at, caller.by, _revision()))]


def _revision() -> str:
    return str(uuid.uuid4())


def _documents(
    caller: Caller, entries: Iterable[tuple[str, str, str | None]], stores: Stores
) -> dict[tuple[str, str], dict[str, Any]]:
    """Drafts in the states that revisions name, by collection and id."""
    manifest: dict[str, dict[str, str]] = {}
    for collection, id, revision in entries:
        if revision is not None:
            manifest.setdefault(collection, {})[id] = revision
    return {
        (collection, tail(document["href"])): new_draft(
            document, manifest[collection][tail(document["href"])]
        )
        for collection, documents in stores.policy_versions.documents(
            caller.org_id, manifest, manifest
        ).items()
        for document in documents
    }


def _refuse_lost(
    caller: Caller, version: int, documents: Iterable[Document], stores: Stores
) -> None:
    """A label that was deleted does not come back. A workload may be gone: it selects nothing."""
    uses = [
        (str(document["href"]), href)
        for document in documents
        for href in sorted(references(document))
        if (parsed := parse_href(href)) and parsed.collection == "labels"
    ]
    around = Surroundings(caller, stores)
    around.look_up(href for _, href in uses)
    lost = [(user, href) for user, href in uses if href not in around.found]
    if lost:
        raise Invalid(
            Problem(
                "invalid_reference",
                f"{user} refers in version {version} to {href}, which was deleted",
                href,
            )
            for user, href in lost
        )


def _write(
    caller: Caller, resets: Sequence[_Reset], event_type: str, status: int, stores: Stores
) -> None:
    check = ScopeCheck(caller, stores)
    for reset in resets:
        check.require(reset.collection, *reset.edit().states)
    for batch in list(_batches(resets)):  # all of them, so that a refusal comes first
        had, has = _names(batch)
        edits = [reset.edit() for reset in batch]
        edits[0] = replace(
            edits[0], claims=tuple(sorted(has - had)), releases=tuple(sorted(had - has))
        )
        try:
            commit_edits(caller, edits, event_type, status, stores)
        except ClaimTaken as error:
            kinds = {reset.collection.name: reset.collection for reset in batch}
            raise Invalid(not_unique(collection) for collection in kinds.values()) from error


def _names(resets: Sequence[_Reset]) -> tuple[set[str], set[str]]:
    """The names that drafts hold together, before and after."""
    return (
        {name for reset in resets for name in reset.had},
        {name for reset in resets for name in reset.has},
    )


def _batches(resets: Sequence[_Reset]) -> Iterable[list[_Reset]]:
    """Resets that are written together: those that pass names to each other never apart."""
    batch: list[_Reset] = []
    size = 0
    for group in _groups(resets):
        had, has = _names(group)
        weight = len(group) + len(had ^ has)
        if weight > ITEMS_TOGETHER:
            message = f"{len(group)} objects exchange their names; take some of them back first"
            raise TooLarge(Problem("change_too_large", message))
        if batch and size + weight > ITEMS_TOGETHER:
            yield batch
            batch, size = [], 0
        batch += group
        size += weight
    if batch:
        yield batch


def _groups(resets: Sequence[_Reset]) -> list[list[_Reset]]:
    """The resets, those together of which one takes a name that another gives."""
    givers = {name: at for at, reset in enumerate(resets) for name in reset.had}
    group_of = list(range(len(resets)))

    def first(at: int) -> int:
        while group_of[at] != at:
            at = group_of[at]
        return at

    for at, reset in enumerate(resets):
        for name in reset.has:
            if name in givers:
                group_of[first(at)] = first(givers[name])
    groups: dict[int, list[_Reset]] = {}
    for at, reset in enumerate(resets):
        groups.setdefault(first(at), []).append(reset)
    return list(groups.values())
