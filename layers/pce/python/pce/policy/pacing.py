"""When bolts go out: a timetable that says how many bolts each second takes.

Every bolt makes three requests (the post, the fetch, the report that it was applied), and API
Gateway gives an account 10,000 a second for everything that it serves. So each org has a timetable
and the account has one. A batch of bolts is booked into the first second in which both have room,
and the queue holds it back until then.

Changes that take access away come before those that give some: each kind may fill a second only up
to its own share, so that a fleet's loosening change, booked minutes ahead, always leaves room. A
small tightening change is never held back as long as the last tenth of the account lasts.

A token bucket (GCRA) keeps one number instead of a row of them. It was not taken: a batch that must
wait for its org's rate would take its turn at the account's either too early, when it does not go
out yet, or at the cost of everybody who comes after it and need not wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HORIZON_S = 300
"""Seconds ahead that are booked: one heartbeat interval. What would come later is left to the
heartbeat, which says the same and is there before."""

PER_ORG = 2_000
"""Bolts a second for one org: 100,000 VENs hear of a change within 72 s."""

PER_ACCOUNT = 2_500
"""Bolts a second in all. They make 7,500 of the account's 10,000 requests a second; the rest is
for heartbeats (333 a second for 100,000 VENs), flows and the management API."""

Urgency = Literal["small_tightening", "tightening", "loosening"]

SHARES: dict[Urgency, float] = {"small_tightening": 1.0, "tightening": 0.9, "loosening": 0.7}
"""How much of a second each kind may fill, counting what is booked already."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """How many bolts are booked for the seconds from ``start`` (epoch seconds) on."""

    start: int = 0
    taken: tuple[int, ...] = ()

    def from_second(self, now: int) -> list[int]:
        """The bookings of ``now`` and the ``HORIZON_S`` seconds after it."""
        gone = now - self.start
        if gone >= 0:
            known = list(self.taken[gone:])
        else:  # another's clock is ahead of ours
            known = [0] * min(-gone, HORIZON_S + 1) + list(self.taken)
        return (known + [0] * (HORIZON_S + 1))[: HORIZON_S + 1]


@dataclass(frozen=True, slots=True)
class Booked:
    """A booking: both timetables with it, and how many seconds each batch waits, in order; None
    for those that found no room."""

    org: Timetable
    account: Timetable
    delays_s: tuple[int | None, ...]


def book(
    org: Timetable, account: Timetable, sizes: Sequence[int], urgency: Urgency, now: int
) -> Booked:
    """Book batches of ``sizes`` bolts, none before the one that it follows.

    In no second more than ``PER_ORG`` bolts of the org and ``PER_ACCOUNT`` in all are due, so in
    any t seconds at most rate * (t + 1). Cost: batches + HORIZON_S. ``now`` in epoch seconds.
    """
    of_org, of_all = org.from_second(now), account.from_second(now)
    most_of_org = int(PER_ORG * SHARES[urgency])
    most_of_all = int(PER_ACCOUNT * SHARES[urgency])
    delays: list[int | None] = []
    second = 0
    for size in sizes:
        while second <= HORIZON_S and (
            of_org[second] + size > most_of_org or of_all[second] + size > most_of_all
        ):
            second += 1
        if second > HORIZON_S:
            break
        of_org[second] += size
        of_all[second] += size
        delays.append(second)
    delays += [None] * (len(sizes) - len(delays))
    return Booked(_timetable(now, of_org), _timetable(now, of_all), tuple(delays))


def _timetable(start: int, taken: list[int]) -> Timetable:
    last = max((at for at, count in enumerate(taken) if count), default=-1)
    return Timetable(start, tuple(taken[: last + 1]))
