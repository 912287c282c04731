"""Which workload has which address, kept for labelling flows at the moment they arrive; and what
lists of workloads are filtered by (``pce/objects/workload_index.py``).

Two kinds of objects per org in the archive: a **base** with every workload, immutable and numbered,
and the **head**, which names the base and holds what has changed since. An ordinary change of an
org costs one small PUT, whatever the org's size; when the head outgrows ``MAX_HEAD_BYTES`` it is
folded into a new base. A flow function keeps a directory in memory for half a minute. Labels of a
flow are those that its ends had when it was reported, to within that half minute.
"""

import ipaddress
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pce.flows.directory import Directory, Label, Workload
from pce.identifiers import OrgId, tail
from pce.objects.workload_index import facts, state_of
from pce.store.archive import Archive
from pce.store.compression import pack_json, unpack_json

MAX_AGE_S = 30
"""How long a function uses a directory without looking for a newer one."""
MAX_HEAD_BYTES = 64_000
"""Compressed: some 1,000 changed workloads. Read every half minute by every flow function."""
MAX_WORKLOADS = 150_000
"""Of all directories in memory: the largest org and many small ones, some 100 MB."""
MIN_WORKLOADS = 100
"""What an empty org counts."""

Document = Mapping[str, Any]


class _Entry(msgspec.Struct, frozen=True):
    id: uuid.UUID
    hostname: str
    labels: list[str]
    """Label ids: a label that gets another name changes no workload."""
    managed: bool
    addresses: list[bytes]
    """Packed."""
    name: str | None = None
    state: int = 0


class _Content(msgspec.Struct, frozen=True):
    """Workloads and labels by id; None in a head: there is no such object any more."""

    workloads: dict[str, _Entry | None] = {}
    labels: dict[str, tuple[str, str] | None] = {}
    """Key and value."""
    indexed: bool = False
    """Its entries have a name and a state; those of former releases have not."""

    def changed_by(self, later: "_Content") -> "_Content":
        return _Content(self.workloads | later.workloads, self.labels | later.labels, self.indexed)

    def existing(self) -> "_Content":
        return _Content(
            {id: entry for id, entry in self.workloads.items() if entry},
            {id: label for id, label in self.labels.items() if label},
            self.indexed,
        )


class _Head(msgspec.Struct, frozen=True):
    base: int
    """Number of the base that this lies over; 0: none."""
    changes: _Content


class DirectoryStore:
    """Saves and loads the directories of orgs. One compile of an org at a time writes."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._bases: OrderedDict[OrgId, tuple[int, _Content]] = OrderedDict()
        """The least recently used first."""
        self._cache: dict[OrgId, tuple[float, bytes, Directory]] = {}
        self._facts: dict[OrgId, tuple[int, dict[str, Document]]] = {}
        """Of bases, by their number."""

    def save(
        self, org_id: OrgId, workloads: Iterable[Document], labels: Iterable[Document]
    ) -> None:
        """Replace an org's directory by these documents. One GET, two PUTs."""
        content = _content(
            {tail(document["href"]): document for document in workloads},
            {tail(document["href"]): document for document in labels},
            indexed=True,
        )
        self._save_base(org_id, self._head(org_id).base + 1, content)

    def update(
        self,
        org_id: OrgId,
        workloads: Mapping[str, Document | None],
        labels: Mapping[str, Document | None],
    ) -> None:
        """Replace objects by id; None: gone. One GET and one PUT; now and then the base too.

        Nothing is written when no entry becomes another.
        """
        if not workloads and not labels:
            return
        head = self._head(org_id)
        changes = head.changes.changed_by(_content(workloads, labels))
        if changes == head.changes:
            return
        body = pack_json(msgspec.to_builtins(_Head(head.base, changes)))
        if len(body) <= MAX_HEAD_BYTES:
            self._archive.put(_head_key(org_id), body)
        else:
            base = self._base(org_id, head.base)
            self._save_base(org_id, head.base + 1, base.changed_by(changes).existing())

    def load(self, org_id: OrgId) -> Directory:
        """An org's directory, at most ``MAX_AGE_S`` old; empty before the first compile."""
        cached = self._cache.get(org_id)
        if cached is not None and time.monotonic() - cached[0] < MAX_AGE_S:
            return cached[2]
        body = self._archive.get(_head_key(org_id)) or b""
        if cached is not None and body == cached[1]:
            directory = cached[2]
        else:
            head = _decoded(body)
            directory = _directory(self._base(org_id, head.base).changed_by(head.changes))
        self._cache[org_id] = (time.monotonic(), body, directory)
        self._forget_oldest()
        return directory

    def holders(self, org_id: OrgId, addresses: Iterable[str]) -> set[str]:
        """Ids of all workloads that have one of these addresses, as of the last compile.

        :meth:`load` knows one workload an address; two hosts behind different gateways may share
        it. Cost: one GET, the base when it is another one, 30 ms per 100,000 workloads.
        """
        wanted = {ipaddress.ip_address(address).packed for address in addresses}
        head = self._head(org_id)
        content = self._base(org_id, head.base).changed_by(head.changes)
        return {
            id
            for id, entry in content.workloads.items()
            if entry is not None and not wanted.isdisjoint(entry.addresses)
        }

    def workloads(self, org_id: OrgId) -> dict[str, Document] | None:
        """What the index knows of each workload, by id, as of the last compile; None before there
        is an index. One GET, and the base when it is another one."""
        head = self._head(org_id)
        base = self._base(org_id, head.base)
        if not base.indexed:
            return None
        kept = self._facts.get(org_id)
        if kept is None or kept[0] != head.base:
            kept = self._facts[org_id] = (head.base, dict(_facts(org_id, base)))
        gone = (id for id, entry in head.changes.workloads.items() if entry is None)
        known = kept[1] | dict(_facts(org_id, head.changes))
        for id in gone:
            known.pop(id, None)
        return known

    def count(self, org_id: OrgId) -> int:
        """Number of workloads, as of the last compile. One GET, and the base when it is another."""
        head = self._head(org_id)
        return len(self._base(org_id, head.base).changed_by(head.changes).existing().workloads)

    def _head(self, org_id: OrgId) -> _Head:
        return _decoded(self._archive.get(_head_key(org_id)))

    def _base(self, org_id: OrgId, number: int) -> _Content:
        # Taken out and put in again at the end: handlers may run in threads of one process.
        known = self._bases.pop(org_id, None)
        if known is not None and known[0] == number:
            self._bases[org_id] = known
            return known[1]
        body = self._archive.get(_base_key(org_id, number)) if number else None
        content = msgspec.convert(unpack_json(body), _Content) if body else _Content()
        self._bases[org_id] = (number, content)
        self._forget_oldest()
        return content

    def _forget_oldest(self) -> None:
        """Keep memory bounded. The last one stays, however large: better than to read it anew each
        time."""
        while len(self._bases) > 1 and self._size() > MAX_WORKLOADS:
            try:
                org_id, _ = self._bases.popitem(last=False)
            except KeyError:
                return  # another thread was faster
            self._cache.pop(org_id, None)
            self._facts.pop(org_id, None)

    def _size(self) -> int:
        bases = list(self._bases.values())
        return sum(MIN_WORKLOADS + len(content.workloads) for _, content in bases)

    def _save_base(self, org_id: OrgId, number: int, content: _Content) -> None:
        self._archive.put(_base_key(org_id, number), pack_json(msgspec.to_builtins(content)))
        head = _Head(number, _Content())
        self._archive.put(_head_key(org_id), pack_json(msgspec.to_builtins(head)))
        # The last one stays: who has read the former head is about to read it.
        if number > 2:
            self._archive.delete(_base_key(org_id, number - 2))


def _decoded(body: bytes | None) -> _Head:
    return msgspec.convert(unpack_json(body), _Head) if body else _Head(0, _Content())


def _content(
    workloads: Mapping[str, Document | None],
    labels: Mapping[str, Document | None],
    *,
    indexed: bool = False,
) -> _Content:
    return _Content(
        {id: None if document is None else _entry(document) for id, document in workloads.items()},
        {
            id: None if document is None else (document["key"], document["value"])
            for id, document in labels.items()
        },
        indexed,
    )


def _entry(document: Document) -> _Entry:
    packed = {
        address
        for interface in document.get("interfaces") or ()
        if not interface.get("loopback") and (address := _host_address(interface.get("address")))
    }
    return _Entry(
        id=uuid.UUID(tail(document["href"])),
        hostname=document.get("hostname") or document.get("name") or "",
        labels=[tail(label["href"]) for label in document.get("labels") or ()],
        managed=bool(document.get("ven")),
        addresses=sorted(packed),
        name=document.get("name"),
        state=state_of(document),
    )


def _facts(org_id: OrgId, content: _Content) -> Iterator[tuple[str, Document]]:
    for id, entry in content.workloads.items():
        if entry is not None:
            yield (
                id,
                facts(
                    org_id,
                    id=id,
                    hostname=entry.hostname,
                    name=entry.name,
                    labels=entry.labels,
                    managed=entry.managed,
                    state=entry.state,
                ),
            )


def _host_address(text: str | None) -> bytes | None:
    """An address that can tell one host of the org from another, packed; None for others."""
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    return None if address.is_loopback or address.is_link_local else address.packed


def _directory(content: _Content) -> Directory:
    labels = {
        id: Label(id, *key_and_value)
        for id, key_and_value in content.labels.items()
        if key_and_value
    }
    directory: dict[bytes, Workload] = {}
    for entry in content.workloads.values():
        if entry is None:
            continue
        known = tuple(labels[id] for id in entry.labels if id in labels)
        workload = Workload(entry.id, entry.hostname, known, entry.managed)
        directory.update(dict.fromkeys(entry.addresses, workload))
    return directory


def _head_key(org_id: OrgId) -> str:
    return f"directories/{org_id}/head"


def _base_key(org_id: OrgId, number: int) -> str:
    return f"directories/{org_id}/base-{number}"
