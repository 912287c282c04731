"""What is stored of an org's policy, and how a VEN's document is put together from it.

- A **class part** is everything of a document that few VENs share. It is named by its content: the
  **narrow name**.
- A **wide part** is what very many VENs share, so that a change of it is written once: the members
  of a set, or a **block**, which is all lines that the workloads of one selector get. Which version
  of each is current stands in the org's **wide head**.
- A **set version** is the members of one set, named by its id and their digest.

All but the head is immutable and named by what it holds. Writing a part twice, late, or in a race
therefore changes nothing, and an **etag** says for ever which parts a document came from.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from pce.policy.repeats import without_repeats
from ven_protocol.messages import EnforcementMode, VisibilityLevel
from ven_protocol.policy import Firewall, PolicyDocument, Rule


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what is stored: immutable, defaults left out."""


class ClassPart(Part, frozen=True, kw_only=True):
    """The narrow part of a document: all of it but the wide parts."""

    mode: EnforcementMode
    visibility: VisibilityLevel
    firewall: Firewall = Firewall()
    lines: list[Rule] = []
    """Sorted by id, one per id. Without repeats, but for a part that uses blocks: there a repeat
    may become another line once the blocks' peers are added."""
    sets: dict[str, str] = {}
    """Set id to digest, of every set that the lines mention and that is not wide."""
    names: dict[str, list[str]] = {}
    """Set id to domain names, of sets that the lines mention."""
    not_enforced: list[str] = []
    blocks: list[str] = []
    """Part ids of wide blocks, sorted."""


class Block(Part, frozen=True, kw_only=True):
    """What the workloads of one selector get from all rules in which it is a side."""

    lines: list[Rule] = []
    """Sorted by id, one per id."""
    names: dict[str, list[str]] = {}
    """Set id to domain names, of sets that the lines mention."""


class WidePart(msgspec.Struct, frozen=True, array_like=True):
    """Which version of a wide part is current."""

    slot: int
    """Its bit in the masks of wide parts; its own for as long as it is wide."""
    generation: int
    """That in which it last changed; of a block also that in which one of its sets did."""
    digest: str
    """:func:`set_digest` or :func:`block_digest`."""


class WideHead(Part, frozen=True, kw_only=True):
    """The wide parts of an org at one moment."""

    generation: int = 0
    """One more with every change."""
    parts: dict[str, WidePart] = {}
    """Set id, or :func:`block_id`, to the current version. Every set that a block mentions is
    here."""
    leaving: list[str] = []
    """Part ids, sorted, of those that are wide no longer. They stay for this generation: until it
    is complete, VENs are still to hold class parts that use them."""


class Target(NamedTuple):
    """What a VEN is to hold: presence attributes ``te`` and ``ws``."""

    name: str
    """Narrow name of its class part."""
    slots: int
    """Mask of the wide parts that the class part names."""
    static: bool = False
    """It waits until a person has it applied; a VEN that has no policy gets it at once."""


_JSON = msgspec.json.Encoder(order="sorted")


def _short(data: bytes) -> str:
    """128 bits of BLAKE2b, in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def block_id(set_id: str) -> str:
    """The part id of the block of the selector whose set this is."""
    return "b" + set_id


def is_block(part_id: str) -> bool:
    """Is this the part id of a block, not of a set?"""
    return part_id == block_id(part_id[1:])


def line_digest(line: Rule) -> str:
    """Digest of what a line says, its id left aside."""
    says = (line.direction, line.action, line.peers, line.services, line.stateless)
    return _short(_JSON.encode(says))


def content_digest(
    lines: Iterable[tuple[str, str]],
    sets: Iterable[tuple[str, str]],
    names: Mapping[str, list[str]],
    blocks: Iterable[str],
) -> str:
    """Digest of what a class part has beside its kind: lines (id, digest) and sets (id, digest) in
    order, names, blocks. Whoever knows the lines' digests need not make the lines."""
    return _short(_JSON.encode((list(lines), list(sets), names, list(blocks))))


def name_of(part: ClassPart, content: str) -> str:
    """The narrow name of a class part of this kind and content; the part's own is not looked at."""
    return _short(
        _JSON.encode((part.mode, part.visibility, part.firewall, part.not_enforced, content))
    )


def narrow_name(part: ClassPart) -> str:
    """The name of a class part: 128 bits in hex, equal for equal content only."""
    lines = ((line.id, line_digest(line)) for line in part.lines)
    return name_of(part, content_digest(lines, sorted(part.sets.items()), part.names, part.blocks))


def block_digest(block: Block) -> str:
    """The digest of a block: 128 bits in hex."""
    return _short(_JSON.encode(block))


def member_hash(member: str) -> int:
    """What one member adds to its set's sum: 256 bits."""
    return int.from_bytes(hashlib.blake2b(member.encode(), digest_size=32).digest(), "big")


def digest_of_sum(total: int) -> str:
    """The digest of a set whose members' hashes have this sum: 128 bits in hex.

    The sum is taken modulo 2^256, so that a member that comes or goes costs one addition and the
    way to a set does not matter. 256 bits, because whoever chooses addresses could make two sets
    of equal sum modulo 2^128 with a few thousand of them (Wagner's generalised birthday).
    """
    return _short((total % 2**256).to_bytes(32, "big"))


def set_digest(members: Iterable[str]) -> str:
    """The digest of a set of members without repeats, in any order. Linear."""
    return digest_of_sum(sum(map(member_hash, members)))


def version_name(part_id: str, digest: str) -> str:
    """The name under which one version of a set or block is stored."""
    return f"{part_id}@{digest}"


def wide_parts_of(part: ClassPart) -> list[str]:
    """Ids of the wide parts that a class part names itself: its blocks, and sets that its lines
    mention. Sets that only its blocks mention are found through the blocks."""
    mentioned = {set_id for line in part.lines for set_id in line.peers}
    return [*part.blocks, *sorted(mentioned - part.sets.keys())]


def slots_of(part: ClassPart, head: WideHead) -> int:
    """The mask of the wide parts that a class part names; 0 when there are none.

    KeyError: the head has no such part, so it is not the head that the class part was made with.
    """
    mask = 0
    for part_id in wide_parts_of(part):
        mask |= 1 << head.parts[part_id].slot
    return mask


def etag_of(name: str, slots: int, head: WideHead) -> str:
    """The etag of a VEN whose target is this class part and whose wide parts have these slots.

    ``<narrow name>``, or ``<narrow name>.<generation>`` with the highest generation among its wide
    parts: none of them changed between that and the head's. Linear in the parts of the head.
    """
    if not slots:
        return name
    used = (part.generation for part in head.parts.values() if slots >> part.slot & 1)
    return f"{name}.{max(used, default=0)}"


def split_etag(etag: str) -> tuple[str, int | None] | None:
    """Narrow name and generation of an etag (None: it uses no wide parts); None for any text that
    is no etag of ours."""
    name, dot, generation = etag.partition(".")
    if len(name) != 32 or not set(name) <= set("0123456789abcdef"):
        return None
    if not dot:
        return name, None
    if not (generation.isascii() and generation.isdecimal() and len(generation) <= 15):
        return None
    return name, int(generation)


def set_versions(part: ClassPart, blocks: Iterable[Block], head: WideHead) -> dict[str, str]:
    """Set id to digest of every set whose members :func:`assemble` needs.

    A set that is in the head and in the class part has just become wide or narrow: the version that
    the class part names counts. KeyError: the head has not all parts that are used.
    """
    mentioned = set(part.sets).union(wide_parts_of(part)).difference(part.blocks)
    for block in blocks:
        mentioned.update(set_id for line in block.lines for set_id in line.peers)
    return {
        set_id: part.sets[set_id] if set_id in part.sets else head.parts[set_id].digest
        for set_id in mentioned
    }


def assemble(
    part: ClassPart, blocks: Iterable[Block], members: Mapping[str, list[str]]
) -> PolicyDocument:
    """The document that a class part, its blocks and the members of its sets make.

    ``members``: set id to members, sorted as text; more sets than are needed do no harm. Equal to
    what the full recompute gives. KeyError: a set is missing. Linear in the lines, not in members.
    """
    blocks = list(blocks)
    lines = without_repeats(merged([part.lines, *(block.lines for block in blocks)]))
    mentioned = sorted({set_id for line in lines for set_id in line.peers})
    names = dict(part.names)
    for block in blocks:
        names.update(block.names)
    return PolicyDocument(
        mode=part.mode,
        visibility=part.visibility,
        firewall=part.firewall,
        sets={set_id: members[set_id] for set_id in mentioned},
        names={set_id: names[set_id] for set_id in mentioned if set_id in names},
        rules=lines,
        not_enforced=part.not_enforced,
    )


def merged(lines_of: Iterable[Iterable[Rule]]) -> list[Rule]:
    """Lines of several selectors as one host has them: those of one id become one that has all
    their peers. Not sorted.

    Lines of one id differ in nothing but peers, except while an edited rule is in one part and not
    yet in another: then both are kept, for neither's services are meant for the other's peers.
    """
    by_id: dict[tuple[object, ...], Rule] = {}
    for lines in lines_of:
        for line in lines:
            key = (line.id, line.direction, line.action, *line.services, line.stateless)
            other = by_id.get(key)
            if other is not None and other.peers != line.peers:
                peers = sorted({*other.peers, *line.peers})
                line = msgspec.structs.replace(line, peers=peers)
            by_id[key] = line
    return list(by_id.values())
