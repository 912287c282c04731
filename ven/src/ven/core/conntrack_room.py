"""How many connections the kernel may track: a baseline, doubled while the table fills up; pure.

A full table makes the kernel refuse new connections of anybody, so it grows before that: from
1,000,000 entries on it doubles whenever it is 80 % full, three times at most. An entry takes some
320 bytes, and only when it is used: 8,000,000 are 2.5 GB on a host that really has as many.
"""

BASELINE = 1_000_000
FULL = 0.8
DOUBLINGS = 3


def wanted_room(entries: int, room: int) -> int:
    """The size that the table should have, given what is in it and its size now; never less."""
    if room < BASELINE:
        return BASELINE
    largest = BASELINE << DOUBLINGS
    if entries >= FULL * room and room < largest:
        return min(2 * room, largest)
    return room
