"""What one change has touched so far: the notes that the steps of ``Engine.apply`` hand on."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pce.policy.incremental.audience import Audience, Fact, HostClass
from pce.policy.parts import Target


@dataclass
class Work:
    """Notes of one change."""

    fresh: dict[Fact, None] = field(default_factory=dict)
    """Facts that some selector asks about and none did before."""
    born: set[Audience] = field(default_factory=set)
    relined: dict[Audience, bool] = field(default_factory=dict)
    """Audiences whose lines, or names in them, changed; may their VENs lose access?"""
    resized: set[HostClass] = field(default_factory=set)
    """Classes whose workloads changed."""
    was_member: dict[Audience, dict[str, bool]] = field(default_factory=dict)
    """Was the address a member before, of each that may have come or gone?"""
    weighed: set[Audience] = field(default_factory=set)
    """Audiences whose width or VENs changed."""
    resets: dict[Audience, tuple[list[str], list[str]]] = field(default_factory=dict)
    """Members added and removed, of sets that changed."""
    alarmed: set[Audience] = field(default_factory=set)
    """Of those sets, the ones whose change may take access away."""
    affected: dict[HostClass, bool] = field(default_factory=dict)
    """Classes whose class part must be made anew; may their VENs lose access?"""
    was_target: dict[str, Target | None] = field(default_factory=dict)
    """Targets before, of VENs whose target may have changed."""
    tightened: set[str] = field(default_factory=set)
    """VENs that may lose access, if their target changed."""
    was_named: dict[str, bool] = field(default_factory=dict)
    """Narrow names that were taken up or given up; were they in use before?"""
    blocks: dict[str, str] = field(default_factory=dict)
    """Part id to digest of the wide blocks to store."""
    retired: set[str] = field(default_factory=set)
    """Version names of sets and blocks that nobody needs any more."""
    parts_made: int = 0
    """Class parts of affected classes."""
    parts_changed: int = 0

    def affect(self, classes: Iterable[HostClass], *, tightens: bool = False) -> None:
        """Have the class parts of these classes made anew."""
        for host_class in classes:
            self.affected[host_class] = tightens or self.affected.get(host_class, False)

    def reline(self, audience: Audience, *, tightens: bool) -> None:
        """Note that the lines of an audience changed."""
        self.relined[audience] = tightens or self.relined.get(audience, False)

    def reset(self, audience: Audience, added: list[str], removed: list[str]) -> None:
        """Note that members of a set came or went, if any did."""
        if added or removed:
            self.resets[audience] = (added, removed)
            if (removed and audience.allows) or (added and audience.denies):
                self.alarmed.add(audience)
