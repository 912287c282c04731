"""Which parts are wide, and the wide head.

Here, and only here, the way matters by which the facts came to be: a part becomes wide beyond a
number of VENs and stays so until it has less than half of it, its slot is whichever was free, and
generations count up. Documents do not depend on it.
"""

from pce.policy.incremental.audience import Audience
from pce.policy.incremental.work import Work
from pce.policy.parts import WideHead, WidePart, block_digest, is_block, version_name


class WideParts:
    """The wide parts of one org."""

    def __init__(self, head: WideHead, wide_from: int) -> None:
        self.head = head
        self._from = wide_from
        self._parts: dict[str, Audience] = {}
        """Part id to the audience whose set or block it is."""

    def introduce(self, audience: Audience) -> None:
        """A new audience whose parts are in the head goes on as wide, with its slots."""
        for part_id in (audience.set_id, audience.block_id):
            part = self.head.parts.get(part_id)
            if part is not None and part_id not in self.head.leaving:
                self._set_slot(audience, part_id, part.slot)

    def audience_of(self, part_id: str) -> Audience:
        """Whose block or set a wide part is; KeyError when it is not wide."""
        return self._parts[part_id]

    def turn(self, work: Work) -> None:
        """Decide anew what is wide, of what changed; affects the classes where that changes.

        A block that is wide has wide sets only: else a change of one would reach its VENs narrowly.
        """
        turned: set[Audience] = set()
        for audience in work.weighed.union(work.relined):
            wide = bool(audience.lines) and self._is_wide(audience.vens, audience.block_slot)
            if self._turn(audience, audience.block_id, wide):
                work.affect(audience.classes)
                turned.update(audience.mentions)
        for audience in work.weighed | turned:
            wide = self._is_wide(audience.width, audience.set_slot) or any(
                other.block_slot is not None for other in audience.mentioned_by
            )
            if self._turn(audience, audience.set_id, wide):
                for other in audience.mentioned_by:
                    if other.block_slot is None:
                        work.affect(other.classes)

    def next_head(self, work: Work) -> tuple[WideHead | None, int, int]:
        """The head after a change (None: as it was), the mask of slots whose content changed, and
        of those that may take access away. Cost: the number of wide parts and their mentions."""
        before = self.head.parts
        digests = {part_id: self._digest(part_id, work) for part_id in self._parts}
        changed = {
            part_id
            for part_id, digest in digests.items()
            if part_id not in before or before[part_id].digest != digest
        }
        leaving = before.keys() - digests.keys() - set(self.head.leaving)
        if not changed and not leaving:
            return None, 0, 0
        work.blocks.update((id, digests[id]) for id in changed if self._is_block(id))
        touched = changed | {
            part_id
            for part_id, audience in self._parts.items()
            if self._is_block(part_id) and any(peer.set_id in changed for peer in audience.mentions)
        }
        work.retired.update(
            version_name(part_id, before[part_id].digest)
            for part_id in self.head.leaving
            if is_block(part_id) and part_id not in digests
        )
        generation = self.head.generation + 1
        parts: dict[str, WidePart] = {}
        for part_id, digest in digests.items():
            since = generation if part_id in touched else before[part_id].generation
            parts[part_id] = WidePart(self._slot(part_id), since, digest)
        for part_id in leaving:
            parts[part_id] = WidePart(before[part_id].slot, generation, before[part_id].digest)
        self.head = WideHead(generation=generation, parts=parts, leaving=sorted(leaving))
        slots = tightened = 0
        # Of what became wide just now every VEN has a new target anyway.
        for part_id in touched & before.keys():
            slots |= 1 << parts[part_id].slot
            if self._tightens(part_id, work):
                tightened |= 1 << parts[part_id].slot
        return self.head, slots, tightened

    def _is_wide(self, vens: int, slot: int | None) -> bool:
        return vens > self._from or (slot is not None and vens * 2 >= self._from)

    def _is_block(self, part_id: str) -> bool:
        return part_id != self._parts[part_id].set_id

    def _turn(self, audience: Audience, part_id: str, wide: bool) -> bool:
        """Make a part wide or narrow; was it the other before?"""
        if wide is (part_id in self._parts):
            return False
        self._set_slot(audience, part_id, self._free_slot(part_id) if wide else None)
        return True

    def _free_slot(self, part_id: str) -> int:
        if part_id in self.head.parts:
            return self.head.parts[part_id].slot
        taken = {part.slot for part in self.head.parts.values()}
        taken.update(map(self._slot, self._parts))
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def _slot(self, part_id: str) -> int:
        audience = self._parts[part_id]
        slot = audience.block_slot if self._is_block(part_id) else audience.set_slot
        if slot is None:
            raise RuntimeError(f"wide part {part_id} has no slot")
        return slot

    def _set_slot(self, audience: Audience, part_id: str, slot: int | None) -> None:
        if part_id == audience.set_id:
            audience.set_slot = slot
        else:
            audience.block_slot = slot
            audience.block_digest = ""  # nobody keeps it up to date while the block is narrow
        if slot is None:
            del self._parts[part_id]
        else:
            self._parts[part_id] = audience

    def _digest(self, part_id: str, work: Work) -> str:
        audience = self._parts[part_id]
        if not self._is_block(part_id):
            return audience.digest
        if audience in work.relined or not audience.block_digest:
            former, audience.block_digest = audience.block_digest, block_digest(audience.block())
            if former not in ("", audience.block_digest):
                work.retired.add(version_name(part_id, former))
        return audience.block_digest

    def _tightens(self, part_id: str, work: Work) -> bool:
        audience = self._parts[part_id]
        if not self._is_block(part_id):
            return audience in work.alarmed
        return work.relined.get(audience, False) or not work.alarmed.isdisjoint(audience.mentions)
