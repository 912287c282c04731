"""Versions of address sets: whole, or as what differs from an earlier whole one, the **base**.

An address that comes or goes costs one small item, however large the set. What differs is
cumulative, so that a version is never more than two reads, and two versions over one base differ in
what their differences do. When the difference outgrows its limit the set is stored whole again.

A base stays as long as the current version rests on it; it retires together with the last that did.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from pce.identifiers import OrgId
from pce.policy.incremental.effect import SetChange
from pce.policy.parts import Part, version_name
from pce.store.lru import LruCache
from pce.store.policies import PolicyStore
from ven_protocol.policy import SetDelta

DIFFERENCE_BYTES = 4_000
"""JSON: some 250 addresses. A write of up to 1 KB compressed costs one unit, like the smallest."""
DIFFERENCE_SHARE = 16
"""Of a large set the difference may take this part of the whole: a 100,000 addresses weigh 1.6 MB,
and are written whole after some 6,000 changes."""
WHOLE_BYTES = 64_000_000
"""Memory for the members of sets, as JSON."""


class SetVersion(Part, frozen=True, kw_only=True):
    """One version of a set as it is stored."""

    members: msgspec.Raw = msgspec.Raw(b"")
    """All of them, a JSON array sorted as text; empty when the version rests on a base."""
    base: str = ""
    """Digest of the whole version that this one rests on."""
    base_bytes: int = 0
    """Length of its JSON."""
    added: list[str] = []
    removed: list[str] = []
    """To and from the base, sorted."""


@dataclass
class SetsToPut:
    """Versions to put, and what follows for their bases."""

    versions: dict[str, SetVersion] = field(default_factory=dict)
    """By version name. Some that are needed may be stored already; they are put again, so that they
    stay."""
    needed: set[str] = field(default_factory=set)
    """Version names of the bases that current versions rest on: they must not retire."""
    retired: set[str] = field(default_factory=set)
    """Version names of bases that nothing current rests on any more."""


class AddressSets:
    """Reads and writes set versions. Threads may share it."""

    def __init__(self, parts: PolicyStore) -> None:
        self._parts = parts
        self._whole: LruCache[tuple[OrgId, str], bytes] = LruCache(WHOLE_BYTES, len)
        self._kept: dict[OrgId, tuple[int, set[str]]] = {}

    def to_put(
        self,
        org_id: OrgId,
        changes: Mapping[str, SetChange],
        members_of: Callable[[str], list[str]],
        number: int,
    ) -> SetsToPut:
        """How the versions (by set id) that compile ``number`` needs are to be stored.

        ``members_of`` gives all members of a set, sorted as text; asked only for what is stored
        whole. Requests: one read per 50 sets, and one write for each base that this function
        environment did not keep in the compile before. Once they are put, :meth:`note` it.
        """
        done = SetsToPut()
        wanted = {id: version_name(id, change.digest) for id, change in changes.items()}
        former = {id: version_name(id, c.former) for id, c in changes.items() if c.former}
        known = self._parts.parts(org_id, [*wanted.values(), *former.values()], SetVersion)
        kept = self._kept_before(org_id, number)
        for id, change in changes.items():
            before = known.get(former.get(id, ""))
            version = known.get(wanted[id]) or _over_base(change, before)
            if version is None or not self._keep_base(org_id, id, version, kept, number):
                version = _whole(members_of(id))
            if wanted[id] not in kept:
                done.versions[wanted[id]] = version
            rests_on = version.base or change.digest
            done.needed.add(version_name(id, rests_on))
            if before is not None and (before.base or change.former) != rests_on:
                done.retired.add(version_name(id, before.base or change.former or ""))
        return done

    def note(self, org_id: OrgId, needed: set[str], retired: frozenset[str], number: int) -> None:
        """Compile ``number`` put what is needed, and is about to retire the other: the bases among
        the former are safe from earlier compiles."""
        kept = self._kept_before(org_id, number)
        self._kept[org_id] = (number, (kept | needed) - retired)

    def bases_of(self, org_id: OrgId, names: Iterable[str]) -> set[str]:
        """Version names of what these versions rest on, themselves left out."""
        known = self._parts.parts(org_id, names, SetVersion)
        return {
            version_name(name.partition("@")[0], version.base)
            for name, version in known.items()
            if version.base
        }

    def members(self, org_id: OrgId, versions: Mapping[str, str]) -> dict[str, msgspec.Raw]:
        """Set id to its members as JSON (an array, canonical), for set ids and digests; sets that
        are not stored (any more) are left out. Up to two requests per 100 not in memory."""
        names = {id: version_name(id, digest) for id, digest in versions.items()}
        whole = {id: self._whole.get((org_id, name)) for id, name in names.items()}
        missing = {id: names[id] for id, body in whole.items() if body is None}
        known = self._parts.parts(org_id, missing.values(), SetVersion)
        bases = self._parts.parts(
            org_id,
            [
                version_name(id, known[name].base)
                for id, name in missing.items()
                if name in known and known[name].base
            ],
            SetVersion,
        )
        for id, name in missing.items():
            version = known.get(name)
            if version is None:
                continue
            body: bytes = bytes(version.members)
            if version.base:
                base = bases.get(version_name(id, version.base))
                if base is None:
                    continue
                body = _applied(base, version)
                self._whole.put((org_id, name), body)
            whole[id] = body
        return {id: msgspec.Raw(body) for id, body in whole.items() if body is not None}

    def delta(self, org_id: OrgId, set_id: str, old: str, new: str) -> SetDelta | None:
        """What leads from one version (digest) of a set to another; None when one is not stored.
        Over one base it takes no members but those that came or went since."""
        names = version_name(set_id, old), version_name(set_id, new)
        known = self._parts.parts(org_id, names, SetVersion)
        one, other = known.get(names[0]), known.get(names[1])
        if one is None or other is None:
            return None
        if (one.base or old) == (other.base or new):
            return SetDelta(
                added=_sorted_less(other.added, one.added, one.removed, other.removed),
                removed=_sorted_less(one.added, other.added, other.removed, one.removed),
            )
        before = self.members(org_id, {set_id: old}).get(set_id)
        after = self.members(org_id, {set_id: new}).get(set_id)
        if before is None or after is None:
            return None
        had, has = _MEMBERS.decode(before), _MEMBERS.decode(after)
        return SetDelta(added=_sorted_less(has, had), removed=_sorted_less(had, has))

    def _keep_base(
        self, org_id: OrgId, set_id: str, version: SetVersion, kept: set[str], number: int
    ) -> bool:
        """Make sure that what a version rests on stays; False when it has expired."""
        name = version_name(set_id, version.base)
        return not version.base or name in kept or self._parts.keep(org_id, name, number)

    def _kept_before(self, org_id: OrgId, number: int) -> set[str]:
        """Bases that are safe, because the compile just before this one was made here and needed
        them. Of others a compile that was overtaken may be about to let one expire."""
        last, kept = self._kept.get(org_id, (0, set()))
        return kept if last in (number, number - 1) else set()


_MEMBERS = msgspec.json.Decoder(list[str])
_ENCODER = msgspec.json.Encoder(order="sorted")


def _whole(members: list[str]) -> SetVersion:
    return SetVersion(members=msgspec.Raw(_ENCODER.encode(members)))


def _over_base(change: SetChange, before: SetVersion | None) -> SetVersion | None:
    """The new version over the base of the one before it; None when it must be stored whole."""
    if before is None or change.former is None:
        return None
    added, removed = set(before.added), set(before.removed)
    for member in change.removed:
        (added.remove if member in added else removed.add)(member)
    for member in change.added:
        (removed.remove if member in removed else added.add)(member)
    base_bytes = before.base_bytes or len(bytes(before.members))
    difference = sum(len(member) + 3 for member in added | removed)
    if difference > max(DIFFERENCE_BYTES, base_bytes // DIFFERENCE_SHARE):
        return None
    base = before.base or change.former
    if base == change.digest:
        return None
    return SetVersion(
        base=base, base_bytes=base_bytes, added=sorted(added), removed=sorted(removed)
    )


def _applied(base: SetVersion, version: SetVersion) -> bytes:
    members = set(_MEMBERS.decode(base.members)).difference(version.removed)
    return _ENCODER.encode(sorted(members.union(version.added)))


def _sorted_less(one: list[str], other: list[str], *more: list[str]) -> list[str]:
    """``one`` less ``other``, and each further pair likewise; sorted."""
    found = set(one).difference(other)
    if more:
        found.update(set(more[0]).difference(more[1]))
    return sorted(found)
