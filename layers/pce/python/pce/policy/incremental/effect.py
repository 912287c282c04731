"""What a change of the facts does to the policy that is stored.

An :class:`Effect` says which parts are needed now and were not before, which VENs' targets became
others, and what nobody needs any more. It holds names and small things; the engine makes the parts
themselves when they are asked for (``Engine.class_part``, ``block``, ``members``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pce.policy.parts import Target, WideHead


@dataclass(frozen=True, slots=True)
class SetChange:
    """A set version that is needed now."""

    digest: str
    former: str | None
    """Digest of the version that was needed before, from which ``added`` and ``removed`` lead
    here. None: none was; then ask the engine for all members."""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much work a change was."""

    selectors_tried: int = 0
    """Tests of a selector against a class."""
    selectors_always_tried: int = 0
    """Selectors that no label, workload or binding restricts; they are tried for every class."""
    rules_resolved: int = 0
    classes_affected: int = 0
    """Classes with VENs whose class part was made anew."""
    classes_changed: int = 0
    """Of those, the ones whose name became another."""
    members_added: int = 0
    members_removed: int = 0
    """Over all sets that are needed."""


@dataclass(frozen=True)
class Effect:
    """What to write, in this order: sets, blocks and class parts; the wide head; targets."""

    sets: Mapping[str, SetChange] = field(default_factory=dict)
    """Set id to the version that is needed now. A version may have been stored before."""
    blocks: Mapping[str, str] = field(default_factory=dict)
    """Part id to digest, of wide blocks that are needed now."""
    class_parts: frozenset[str] = frozenset()
    """Narrow names that are needed now and were not before."""
    wide: WideHead | None = None
    """The head of the next generation; None when no wide part changed."""
    changed_slots: int = 0
    """Mask of the wide parts that changed, and blocks of which a set did: VENs that have one of
    these slots hold another document than before."""
    targets: Mapping[str, Target | None] = field(default_factory=dict)
    """Workload id to its new target, of each VEN whose target changed; None: it has none now."""
    tightened: frozenset[str] = frozenset()
    """Of the VENs in ``targets``, those that may lose access: told first. In doubt they are."""
    tightened_slots: int = 0
    """Of the changed slots, those whose VENs may lose access."""
    retired: frozenset[str] = frozenset()
    """What nobody needs any more once the targets are written: narrow names, and version names of
    sets and blocks."""
    statistics: Statistics = Statistics()
