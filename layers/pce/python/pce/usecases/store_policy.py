"""Write what an engine says of an org's policy where VENs' documents are put together from."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from pce.identifiers import OrgId
from pce.policy.incremental.effect import Effect, SetChange
from pce.policy.incremental.engine import Engine
from pce.policy.parts import ClassPart, Part, Target, WideHead, is_block, version_name
from pce.presence.record import Presence
from pce.store.dynamodb import WRITTEN_TOGETHER
from pce.usecases.side_by_side import side_by_side
from pce.usecases.stores import Stores


@dataclass(frozen=True)
class Difference:
    """What has to be written, so that what is stored is what an engine says."""

    effect: Effect
    targets: Mapping[str, Target]
    """Workload id to the target that its presence row is to name."""
    class_parts: Mapping[str, ClassPart]
    """By narrow name."""
    sets: Mapping[str, SetChange]
    retired: frozenset[str]
    tightened: Collection[str]
    """Of the workloads in ``targets``, those that may lose access."""
    tightened_slots: int
    """Of the wide parts that changed, those whose VENs may lose access."""


@dataclass(frozen=True)
class StoredPolicy:
    """What was put, and what nobody needs once VENs have their targets."""

    bytes: int
    retired: frozenset[str]

    def retire(self, org_id: OrgId, number: int, now: int, stores: Stores) -> None:
        """Let expire what nobody needs since compile ``number``. One write each."""
        side_by_side(
            lambda name: stores.policies.retire(org_id, name, number, now), sorted(self.retired)
        )


def of_effect(engine: Engine, effect: Effect) -> Difference:
    """The difference for a store that holds what the engine said before."""
    return Difference(
        effect=effect,
        targets={id: target for id, target in effect.targets.items() if target},
        class_parts={name: engine.class_part(name) for name in effect.class_parts},
        sets=effect.sets,
        retired=effect.retired,
        tightened=effect.tightened,
        tightened_slots=effect.tightened_slots,
    )


def of_store(
    org_id: OrgId, engine: Engine, before: WideHead, effect: Effect, stores: Stores
) -> Difference:
    """The difference for a store of which nothing is known but its wide head, ``before``.

    ``effect`` has all sets and targets. Reads every presence row, and the class parts that rows
    name and nobody is to hold any more: these tell which versions of sets were stored. In doubt
    everything tightens.
    """
    wanted = {id: target for id, target in effect.targets.items() if target}
    rows = {str(row.ven_id): row for row in stores.presence.all_of(org_id)}
    targets = {
        id: wanted[id]
        for id, row in rows.items()
        if id in wanted and not _names(row, wanted[id], engine)
    }
    gone = {row.target for row in rows.values() if row.target}
    gone -= {target.name for target in wanted.values()}
    left = stores.policies.parts(org_id, sorted(gone), ClassPart)
    former: dict[str, str] = {}
    retired = set(left)
    for set_id, digest in _stored_versions(left.values(), before):
        current = effect.sets.get(set_id) or engine.head.parts.get(set_id)
        if current is None or current.digest != digest:
            retired.add(version_name(set_id, digest))
            former[set_id] = digest
    class_parts = {t.name: engine.class_part(t.name) for t in set(targets.values())}
    needed = {set_id for part in class_parts.values() for set_id in part.sets}
    if effect.wide:
        changed = (id for id, p in effect.wide.parts.items() if before.parts.get(id) != p)
        needed.update(id for id in changed if id in effect.sets)
    return Difference(
        effect=effect,
        targets=targets,
        class_parts=class_parts,
        sets={
            id: _since(org_id, id, effect.sets[id].digest, former.get(id), engine, stores)
            for id in sorted(needed)
        },
        retired=frozenset(retired),
        tightened=targets.keys(),
        tightened_slots=effect.changed_slots,
    )


def _names(row: Presence, target: Target, engine: Engine) -> bool:
    """Does the row name the target? Not if it waits for a wide head that was never written."""
    known = row.wide_since <= engine.head.generation
    return known and (row.target, row.wide_slots, row.static) == target


def store_policy(
    org_id: OrgId, engine: Engine, difference: Difference, number: int, stores: Stores
) -> StoredPolicy:
    """Put the sets, blocks and class parts of a difference, for compile ``number``. Nothing names
    them yet. One request per 25, several at once, and see ``AddressSets.to_put``."""
    sets = stores.address_sets.to_put(org_id, difference.sets, engine.members, number)
    blocks = {
        version_name(part_id, digest): engine.block(part_id)
        for part_id, digest in difference.effect.blocks.items()
    }
    parts: list[tuple[str, Part]] = [
        *sets.versions.items(),
        *blocks.items(),
        *difference.class_parts.items(),
    ]
    sizes = side_by_side(
        lambda at: stores.policies.put_parts(
            org_id, dict(parts[at : at + WRITTEN_TOGETHER]), number
        ),
        range(0, len(parts), WRITTEN_TOGETHER),
    )
    dropped = {n: id for n in difference.retired if (id := _set_of(n)) not in difference.sets}
    dropped = {name: id for name, id in dropped.items() if id}
    every = difference.effect.sets
    current = [version_name(id, every[id].digest) for id in dropped.values() if id in every]
    retired = difference.retired | sets.retired | stores.address_sets.bases_of(org_id, dropped)
    needed = sets.needed | stores.address_sets.bases_of(org_id, current)
    retired -= needed
    stores.address_sets.note(org_id, sets.needed, retired, number)
    return StoredPolicy(sum(sizes), retired)


def _stored_versions(parts: Iterable[ClassPart], head: WideHead) -> Iterator[tuple[str, str]]:
    """Id and digest of every set and block that these name."""
    for part in parts:
        yield from part.sets.items()
    for part_id, wide in head.parts.items():
        yield part_id, wide.digest


def _set_of(name: str) -> str:
    """The id of the set of which this is a version; "" for names of blocks and class parts."""
    id, at, _ = name.partition("@")
    return "" if not at or is_block(id) else id


def _since(
    org_id: OrgId, set_id: str, digest: str, former: str | None, engine: Engine, stores: Stores
) -> SetChange:
    """How a version that is needed now differs from one that was stored."""
    stored = stores.address_sets.members(org_id, {set_id: former}) if former else {}
    if set_id not in stored:
        return SetChange(digest, None)
    had = set(msgspec.json.decode(stored[set_id], type=list[str]))
    has = set(engine.members(set_id))
    return SetChange(digest, former, tuple(sorted(has - had)), tuple(sorted(had - has)))
