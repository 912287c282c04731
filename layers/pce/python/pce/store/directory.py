"""Which workload has which address, kept for labelling flows at the moment they arrive.

One object per org in the archive, replaced by every compile; a flow function keeps it in memory
for half a minute. Labels of a flow are those that its ends had when it was reported, to within that
half minute.
"""

import ipaddress
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pce.flows.directory import Directory, Label, Workload
from pce.identifiers import OrgId, tail
from pce.store.archive import Archive
from pce.store.compression import pack_json, unpack_json

MAX_AGE_S = 30
"""How long a function uses a directory without looking for a newer one."""


class _Entry(msgspec.Struct, frozen=True):
    workload: Workload
    addresses: list[str]


class DirectoryStore:
    """Saves and loads the directories of orgs."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._cache: dict[OrgId, tuple[float, Directory]] = {}

    def save(
        self,
        org_id: OrgId,
        workloads: Iterable[Mapping[str, Any]],
        labels: Iterable[Mapping[str, Any]],
    ) -> None:
        """Replace an org's directory by these documents. One S3 PUT."""
        known = {
            label["href"]: Label(tail(label["href"]), label["key"], label["value"])
            for label in labels
        }
        entries = [_entry(workload, known) for workload in workloads]
        self._archive.put(_key(org_id), pack_json(msgspec.to_builtins(entries)))

    def load(self, org_id: OrgId) -> Directory:
        """An org's directory, at most ``MAX_AGE_S`` old; empty before the first compile."""
        cached = self._cache.get(org_id)
        if cached is not None and time.monotonic() - cached[0] < MAX_AGE_S:
            return cached[1]
        body = self._archive.get(_key(org_id))
        entries = msgspec.convert(unpack_json(body), list[_Entry]) if body else []
        directory = {
            ipaddress.ip_address(address).packed: entry.workload
            for entry in entries
            for address in entry.addresses
        }
        self._cache[org_id] = (time.monotonic(), directory)
        return directory


def _entry(document: Mapping[str, Any], known: Mapping[str, Label]) -> _Entry:
    workload = Workload(
        id=uuid.UUID(tail(document["href"])),
        hostname=document.get("hostname") or document.get("name") or "",
        labels=tuple(
            known[label["href"]] for label in document.get("labels") or () if label["href"] in known
        ),
        managed=bool(document.get("ven")),
    )
    addresses = {
        interface["address"]
        for interface in document.get("interfaces") or ()
        if not interface.get("loopback") and _names_a_host(interface["address"])
    }
    return _Entry(workload, sorted(addresses))


def _names_a_host(text: str) -> bool:
    """Whether an address can tell one host of the org from another."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_link_local)


def _key(org_id: OrgId) -> str:
    return f"directories/{org_id}"
