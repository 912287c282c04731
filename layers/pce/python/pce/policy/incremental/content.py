"""What a class has of a document beside its kind: the narrow lines and sets, and the wide parts."""

from functools import cached_property, lru_cache
from operator import attrgetter

import msgspec

from pce.policy.incremental.audience import Audience, HostClass, Line
from pce.policy.kinds import Kind
from pce.policy.parts import ClassPart, Target, content_digest, line_digest, name_of


class Content(msgspec.Struct, frozen=True, dict=True):
    """Content of the class parts of one class."""

    lines: tuple[Line, ...]
    sets: tuple[Audience, ...]
    """Narrow sets that the lines mention, sorted by id."""
    named: tuple[Audience, ...]
    """Sets that the lines mention and that have domain names."""
    blocks: tuple[str, ...]
    slots: int

    @classmethod
    def of_class(cls, host_class: HostClass) -> "Content":
        """What the VENs of this class have in any mode but ``idle``."""
        narrow: list[Audience] = []
        wide: list[Audience] = []
        for audience in host_class.audiences:
            if audience.lines:
                (narrow if audience.block_slot is None else wide).append(audience)
        lines = _merged(narrow)
        if not wide:
            lines = _without_repeats(lines)
        mentioned = set[Audience]().union(*[line.peers for line in lines])
        slots = 0
        for audience in wide:
            slots |= 1 << (audience.block_slot or 0)
        sets: list[Audience] = []
        for audience in sorted(mentioned, key=_set_id):
            if audience.set_slot is None:
                sets.append(audience)
            else:
                slots |= 1 << audience.set_slot
        return cls(
            lines=tuple(lines),
            sets=tuple(sets),
            named=tuple(sorted([each for each in mentioned if each.names], key=_set_id)),
            blocks=tuple(sorted([audience.block_id for audience in wide])),
            slots=slots,
        )

    @cached_property
    def digest(self) -> str:
        """It makes no lines: their digests do."""
        return content_digest(
            [(line.id, line.digest) for line in self.lines],
            [(audience.set_id, audience.digest) for audience in self.sets],
            self._names(),
            self.blocks,
        )

    def target(self, kind: Kind) -> Target:
        """Name and slots of the class part of this kind."""
        name = name_of(_without_content(kind), self.digest)
        return Target(name, self.slots, kind.firewall.updates == "static")

    def class_part(self, kind: Kind) -> ClassPart:
        """The class part of this kind."""
        return msgspec.structs.replace(
            _without_content(kind),
            lines=[line.rule for line in self.lines],
            sets={audience.set_id: audience.digest for audience in self.sets},
            names=self._names(),
            blocks=list(self.blocks),
        )

    def _names(self) -> dict[str, list[str]]:
        return {audience.set_id: audience.names for audience in self.named}


@lru_cache(maxsize=64)
def _without_content(kind: Kind) -> ClassPart:
    """What a class part has of its kind; there are few kinds."""
    return ClassPart(
        mode=kind.mode,
        visibility=kind.visibility,
        firewall=kind.firewall,
        not_enforced=list(kind.not_enforced),
    )


_set_id = attrgetter("set_id")
NOTHING = Content((), (), (), (), 0)
"""What VENs in mode ``idle`` have."""


@lru_cache(maxsize=64)
def nothing(kind: Kind) -> Target:
    """Name and slots of the class part of VENs in mode ``idle``."""
    return NOTHING.target(kind)


def _merged(audiences: list[Audience]) -> list[Line]:
    """The lines of all of them, sorted by id; those of one id become one with all their peers."""
    if len(audiences) == 1:
        return audiences[0].in_order()
    by_id: dict[str, Line] = {}
    for audience in audiences:
        for id, line in audience.lines.items():
            other = by_id.get(id)
            by_id[id] = line if other is None else _united(line, other)
    return [by_id[id] for id in sorted(by_id)]


def _united(one: Line, other: Line) -> Line:
    peers = {peer.set_id: peer for peer in (*one.peers, *other.peers)}
    rule = msgspec.structs.replace(one.rule, peers=sorted(peers))
    return Line(rule, line_digest(rule), tuple(peers.values()))


def _without_repeats(lines: list[Line]) -> list[Line]:
    """Of lines that say the same the first."""
    unique: dict[str, Line] = {}
    for line in lines:
        unique.setdefault(line.digest, line)
    return list(unique.values())
