"""What a sweep of 100,000 VENs costs: CPU of the decision, and read units of the table."""

import math
import random
import time
import uuid

from bench.figure import Figure
from pce.identifiers import OrgId
from pce.presence.record import Presence
from pce.presence.sweep import SweepClock, sweep
from pce.presence.timers import Timers

VENS = 100_000
NOW = 1_800_000_000
ROW_BYTES = 200
"""The largest that a row may be; ``tests/integration/test_presence_store.py`` holds it there."""


def rows(count: int = VENS) -> list[Presence]:
    """A fleet in which one VEN in a hundred is silent for one reason or another."""
    rng = random.Random(1)
    return [
        Presence(
            OrgId(1 + number % 4),
            uuid.UUID(int=rng.getrandbits(128)),
            NOW - (rng.randrange(5000) if rng.random() < 0.01 else rng.randrange(300)),
        )
        for number in range(count)
    ]


def measure() -> list[Figure]:
    """CPU seconds of one decision over all rows, and the read units that the design allows."""
    fleet = rows()
    timers = Timers()
    best = math.inf
    decision = sweep(fleet, lambda row: timers, NOW, SweepClock(0, NOW))  # warms up
    for _ in range(3):
        began = time.process_time()
        decision = sweep(fleet, lambda row: timers, NOW, SweepClock(0, NOW))
        best = min(best, time.process_time() - began)
    if decision.seen != VENS or not decision.transitions:
        raise RuntimeError("the sweep did not look at every row")
    # One item counts its own bytes; a page is rounded up to 4 KB; eventually consistent is half.
    units = math.ceil(VENS * ROW_BYTES / 4096) / 2
    return [
        Figure("sweep of 100,000 VENs, CPU of the decision", best, "s", 2, best <= 2),
        Figure("sweep of 100,000 VENs, read units at 200 bytes", units, "RCU", 2500, units <= 2500),
    ]
