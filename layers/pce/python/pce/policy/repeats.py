"""Lines that say the same. A room of its own: what serves policies loads nothing more."""

from collections.abc import Iterable

from ven_protocol.policy import Rule


def without_repeats(lines: Iterable[Rule]) -> list[Rule]:
    """Sorted by id; of rules that say the same only the first."""
    unique: dict[tuple[object, ...], Rule] = {}
    for line in sorted(lines, key=lambda line: line.id):
        says = (line.direction, line.action, *line.peers, *line.services, line.stateless)
        unique.setdefault(says, line)
    return list(unique.values())
