"""Drafts, revisions, manifests and policy versions in the objects table.

A provisioning of any size is atomic: revisions and the manifest that names them are written first,
where nobody looks yet; then one small transaction makes the new version the head. Revisions and
manifests never change, so they are kept in memory without asking again.

Keys (see ``table_names.py``): ``draft#<collection>`` / id, ``revisions`` / revision,
``manifests`` / ``<uuid>#<chunk>``, ``sec_policy`` / ``head`` or a version number of 12 digits.
"""

import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pce.errors import Problem, Unavailable
from pce.identifiers import OrgId, tail
from pce.objects.hrefs import ACTIVE, item_id
from pce.objects.policy_version import Draft, Manifest, shown_provisioned
from pce.store.change import Change, Document, PolicyChange, Put
from pce.store.objects import ObjectStore, Stored

MANIFEST_CHUNK = 2_000
"""Entries of a manifest in one item: a revision does not compress, so an entry takes 25 bytes."""
HEAD = "head"
_ORGS_IN_MEMORY = 16
"""Orgs whose active documents a process keeps: a worker serves few orgs at a time."""


@dataclass(frozen=True, slots=True)
class Head:
    """The active policy version. ``rev`` goes into the commit of the next one."""

    version: int
    manifest_id: str
    manifest: Manifest
    rev: str | None


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A draft as it was read, with what is needed to change it safely."""

    draft: Draft
    stored: Stored


class PolicyVersions:
    """Drafts and policy versions of all orgs."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self._active: OrderedDict[OrgId, tuple[str, dict[str, dict[str, Document]]]] = OrderedDict()

    def head(self, org_id: OrgId) -> Head:
        """The active version, read strongly. One read, and the manifest when it is a new one."""
        stored = self._objects.get(org_id, "sec_policy", HEAD)
        if stored is None:
            return Head(0, "", {}, None)
        manifest_id = stored.document["manifest"]
        manifest = self.manifest(org_id, manifest_id, stored.document["chunks"])
        return Head(stored.document["version"], manifest_id, manifest, stored.rev)

    def versions(self, org_id: OrgId) -> list[dict[str, Any]]:
        """The records of all policy versions, newest first. One query per MB."""
        stored = self._objects.all_of(org_id, "sec_policy")
        return [s.document["record"] for s in reversed(stored) if s.id != HEAD]

    def version(self, org_id: OrgId, number: int) -> tuple[dict[str, Any], Manifest] | None:
        """A policy version's record, and what it is made of; None when there is none."""
        stored = self._objects.get(org_id, "sec_policy", item_id(str(number)))
        if stored is None:
            return None
        manifest = self.manifest(org_id, stored.document["manifest"], stored.document["chunks"])
        return stored.document["record"], manifest

    def manifest(self, org_id: OrgId, manifest_id: str, chunks: int) -> Manifest:
        """What a version is made of: collection to object id to revision."""
        known = self._manifests.get(manifest_id)
        if known is not None:
            return known
        ids = [f"{manifest_id}#{chunk:04d}" for chunk in range(chunks)]
        parts = self._objects.get_many(org_id, "manifests", ids)
        if len(parts) != chunks:
            raise _incomplete(f"manifest {manifest_id}", chunks - len(parts))
        manifest: dict[str, dict[str, str]] = {}
        for id in ids:
            for collection, entries in parts[id].document["entries"].items():
                manifest.setdefault(collection, {}).update(entries)
        _remember(self._manifests, manifest_id, manifest, 4 * _ORGS_IN_MEMORY)
        return manifest

    def documents(
        self, org_id: OrgId, manifest: Manifest, collections: Iterable[str]
    ) -> dict[str, list[Document]]:
        """Provisioned documents in draft form, by collection, ordered by id.

        Cost: one request per 100 revisions that are not in memory as the active ones.
        """
        known = self._active[org_id][1] if org_id in self._active else {}
        wanted = {c: manifest.get(c, {}) for c in collections}
        missing = [
            revision
            for collection, entries in wanted.items()
            for revision in entries.values()
            if revision not in known.get(collection, {})
        ]
        read = self._objects.get_many(org_id, "revisions", missing)
        if len(read) != len(set(missing)):
            raise _incomplete(f"policy of org {org_id}", len(set(missing)) - len(read))
        return {
            collection: [
                known.get(collection, {}).get(revision) or read[revision].document
                for _, revision in sorted(entries.items(), key=lambda entry: item_id(entry[0]))
            ]
            for collection, entries in wanted.items()
        }

    def active(self, org_id: OrgId, head: Head) -> dict[str, list[Document]]:
        """All documents of the head in draft form; unchanged ones come from memory."""
        documents = self.documents(org_id, head.manifest, head.manifest)
        by_revision = {
            collection: {
                head.manifest[collection][tail(document["href"])]: document for document in found
            }
            for collection, found in documents.items()
        }
        _remember(self._active, org_id, (head.manifest_id, by_revision), _ORGS_IN_MEMORY)
        return documents

    def active_documents(self, org_id: OrgId) -> tuple[int, Mapping[str, list[dict[str, Any]]]]:
        """The active version's number and its documents by collection, with active hrefs.

        One read when nothing was provisioned since the last call in this process.
        """
        head = self.head(org_id)
        return head.version, {
            collection: [shown_provisioned(document, ACTIVE) for document in documents]
            for collection, documents in self.active(org_id, head).items()
        }

    def drafts(
        self, org_id: OrgId, collection: str, head: Head, *, gone_too: bool = False
    ) -> list[StoredDraft]:
        """All drafts of a collection that exist, ordered by id. Read ``head`` first: a draft that
        changes after it is provisioned next time. ``gone_too``: with what is left of deleted ones.
        """
        found = [
            self._draft(collection, stored, head)
            for stored in self._objects.all_of(org_id, f"draft#{collection}")
        ]
        return [draft for draft in found if gone_too or not draft.draft.is_gone]

    def draft(self, org_id: OrgId, collection: str, id: str, head: Head) -> StoredDraft | None:
        """One draft, or None when there is none (any more)."""
        stored = self._objects.get(org_id, f"draft#{collection}", item_id(id))
        if stored is None:
            return None
        draft = self._draft(collection, stored, head)
        return None if draft.draft.is_gone else draft

    def _draft(self, collection: str, stored: Stored, head: Head) -> StoredDraft:
        id = tail(stored.document["href"])
        active_revision = head.manifest.get(collection, {}).get(id)
        return StoredDraft(Draft(collection, id, stored.document, active_revision), stored)

    def prepare(
        self, org_id: OrgId, manifest: Manifest, new: Mapping[str, Document]
    ) -> tuple[str, int]:
        """Write new revisions and a manifest where nobody looks yet; returns the manifest's id and
        number of chunks. What is left of a provisioning that lost its race is never read."""
        self._objects.put_all(org_id, "revisions", new)
        manifest_id = str(uuid.uuid4())
        chunks = _chunks(manifest)
        self._objects.put_all(
            org_id,
            "manifests",
            {
                f"{manifest_id}#{number:04d}": {"entries": entries}
                for number, entries in enumerate(chunks)
            },
        )
        return manifest_id, len(chunks)

    @staticmethod
    def commit_of(
        org_id: OrgId,
        head: Head,
        prepared: tuple[str, int],
        record: Document,
        event: Document,
    ) -> Change:
        """The one transaction that makes a prepared version the head.

        ``record`` is the version's public record, with ``version`` one above the head's. It
        conflicts with every other provisioning since ``head`` was read.
        """
        manifest_id, chunks = prepared
        version = record["version"]
        pointer = {"version": version, "manifest": manifest_id, "chunks": chunks}
        return Change(
            org_id,
            puts=(
                Put("sec_policy", HEAD, pointer, head.rev),
                Put("sec_policy", item_id(str(version)), {**pointer, "record": record}),
            ),
            events=(event,),
            policy_changes=(PolicyChange("provision", (str(record["href"]),)),),
        )


def _chunks(manifest: Manifest) -> Sequence[dict[str, dict[str, str]]]:
    chunks: list[dict[str, dict[str, str]]] = [{}]
    size = 0
    for collection, entries in manifest.items():
        for id, revision in entries.items():
            if size == MANIFEST_CHUNK:
                chunks.append({})
                size = 0
            chunks[-1].setdefault(collection, {})[id] = revision
            size += 1
    return chunks


def _remember(memory: "OrderedDict[Any, Any]", key: Any, value: Any, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > most:
        memory.popitem(last=False)


def _incomplete(what: str, missing: int) -> Unavailable:
    """Revisions are written before anything names them, so this is damage, or a table that was
    restored in part."""
    return Unavailable(
        Problem("policy_incomplete", f"{what} lacks {missing} parts; restore the objects table")
    )
