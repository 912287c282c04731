"""The product's fan-out over a bad network: while the file that ``SWARM_DISTURB`` names exists, one
bolt in ten is lost, comes late or comes twice."""

import os
import random
import runpy
import threading
from collections.abc import Sequence
from pathlib import Path

from pce.runtime.wiring import wiring
from pce.store.bolts import BoltSender, Outcome

DISTURBED = 0.1
LATEST_S = 8.0

PRODUCT = Path(__file__).resolve().parents[3] / "functions" / "bolts_fan_out" / "handler.py"


class BadSender(BoltSender):
    """Loses, delays and repeats what it should send, and says that all was well."""

    def send(self, posts: Sequence[tuple[str, bytes]]) -> list[Outcome]:
        if not Path(os.environ["SWARM_DISTURB"]).exists():
            return super().send(posts)
        good = []
        for post in posts:
            if random.random() >= DISTURBED:
                good.append(post)
                continue
            match random.choice(("lost", "late", "repeated")):
                case "late":
                    timer = threading.Timer(random.uniform(0, LATEST_S), super().send, [[post]])
                    timer.daemon = True
                    timer.start()
                case "repeated":
                    good += [post, post]
        super().send(good)
        return ["sent"] * len(posts)


wiring().__dict__["bolts"] = BadSender(wiring().environment.bolts_management)
handler = runpy.run_path(str(PRODUCT))["handler"]
