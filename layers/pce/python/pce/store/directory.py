"""Which workload has which address, kept for labelling flows at the moment they arrive.

One object per org in the archive, replaced by every compile; a flow function keeps it in memory
for half a minute. Labels of a flow are those that its ends had when it was reported, to within that
half minute.
"""

import ipaddress
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pce.identifiers import OrgId
from pce.store.archive import Archive
from pce.store.compression import pack_json, unpack_json

MAX_AGE_S = 30
"""How long a function uses a directory without looking for a newer one."""


class DirectoryEntry(msgspec.Struct, frozen=True):
    """One workload, as flows show it."""

    id: str
    hostname: str
    name: str
    labels: dict[str, str]
    """Label id to ``key=value``."""
    managed: bool
    os_type: str
    enforcement_mode: str
    addresses: list[str]


@dataclass(frozen=True)
class Directory:
    """Workloads by packed address."""

    by_address: Mapping[bytes, DirectoryEntry]


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
        """Replace an org's directory. One S3 PUT; about 60 bytes a workload."""
        names = {label["href"]: f"{label['key']}={label['value']}" for label in labels}
        entries = [_entry(workload, names) for workload in workloads]
        self._archive.put(_key(org_id), pack_json(entries))

    def load(self, org_id: OrgId) -> Directory:
        """An org's directory, at most ``MAX_AGE_S`` old; empty before the first compile."""
        cached = self._cache.get(org_id)
        if cached is not None and time.monotonic() - cached[0] < MAX_AGE_S:
            return cached[1]
        body = self._archive.get(_key(org_id))
        entries = msgspec.convert(unpack_json(body), list[DirectoryEntry]) if body else []
        directory = Directory(
            {
                ipaddress.ip_address(address).packed: entry
                for entry in entries
                for address in entry.addresses
            }
        )
        self._cache[org_id] = (time.monotonic(), directory)
        return directory


def _entry(workload: Mapping[str, Any], names: Mapping[str, str]) -> DirectoryEntry:
    labels = {
        label["href"].rsplit("/", 1)[-1]: names[label["href"]]
        for label in workload.get("labels") or ()
        if label["href"] in names
    }
    addresses = {
        interface["address"]
        for interface in workload.get("interfaces") or ()
        if not interface.get("loopback") and _is_address(interface["address"])
    }
    return DirectoryEntry(
        id=workload["href"].rsplit("/", 1)[-1],
        hostname=workload.get("hostname") or "",
        name=workload.get("name") or "",
        labels=labels,
        managed=bool(workload.get("ven")),
        os_type=workload.get("os_type") or "",
        enforcement_mode=workload.get("enforcement_mode") or "visibility_only",
        addresses=sorted(addresses),
    )


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_link_local)


def _key(org_id: OrgId) -> str:
    return f"directories/{org_id}"
