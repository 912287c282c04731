"""The class parts that VENs are to hold, by narrow name."""

from pce.policy.incremental.audience import HostClass
from pce.policy.incremental.content import NOTHING, Content, nothing
from pce.policy.incremental.work import Work
from pce.policy.kinds import Kind
from pce.policy.parts import ClassPart


class ClassParts:
    """Which classes and kinds have which narrow name. The parts themselves are made on demand:
    tens of thousands of them would fill the memory."""

    def __init__(self) -> None:
        self._named: dict[str, dict[tuple[HostClass, Kind], None]] = {}

    def class_part(self, name: str) -> ClassPart:
        """The class part of this narrow name; KeyError when no VEN is to hold it."""
        host_class, kind = next(iter(self._named[name]))
        content = NOTHING if kind.mode == "idle" else Content.of_class(host_class)
        return content.class_part(kind)

    def rename(self, work: Work) -> None:
        """Name the class parts of affected classes anew, and note whose target that changes."""
        made = changed = 0
        was_target = work.was_target
        for host_class, tightens in work.affected.items():
            if not host_class.targets.keys() <= host_class.members.keys():
                for gone in host_class.targets.keys() - host_class.members.keys():
                    self._give_up(host_class.targets.pop(gone).name, host_class, gone, work)
            content: Content | None = None
            for kind, ids in host_class.members.items():
                if kind is None:
                    continue
                made += 1
                if kind.mode == "idle":
                    target = nothing(kind)
                else:
                    content = content or Content.of_class(host_class)
                    target = content.target(kind)
                former = host_class.targets.get(kind)
                if former == target:
                    continue
                changed += 1
                if former is not None:
                    self._give_up(former.name, host_class, kind, work)
                self._take_up(target.name, host_class, kind, work)
                host_class.targets[kind] = target
                for id in ids:
                    was_target.setdefault(id, former)
                if tightens:
                    work.tightened |= ids
        work.parts_made, work.parts_changed = made, changed

    def taken_up(self, work: Work) -> frozenset[str]:
        """Names that are in use and were not before."""
        return frozenset(
            name for name, was in work.was_named.items() if not was and name in self._named
        )

    def given_up(self, work: Work) -> frozenset[str]:
        """Names that were in use and are not."""
        return frozenset(
            name for name, was in work.was_named.items() if was and name not in self._named
        )

    def _take_up(self, name: str, host_class: HostClass, kind: Kind, work: Work) -> None:
        work.was_named.setdefault(name, name in self._named)
        self._named.setdefault(name, {})[host_class, kind] = None

    def _give_up(self, name: str, host_class: HostClass, kind: Kind, work: Work) -> None:
        work.was_named.setdefault(name, True)
        del self._named[name][host_class, kind]
        if not self._named[name]:
            del self._named[name]
