"""The engine against the full recompute, over many more random estates than the tests have time
for. A difference is a bug: its figure names the seed to begin with."""

import importlib
from random import Random

from bench.figure import Figure
from pce.policy.change import EstateChange, changed, difference, everything
from pce.policy.estate import Estate
from pce.policy.incremental.engine import Engine
from pce.policy.recompute import recompute

random_facts = importlib.import_module("tests.property.policy_estates")  # tests are not typed

ESTATES = 1000
CHANGES = 5
WIDE_FROM = (1, 2, 3, 1000)
"""VENs, in turn."""


def measure() -> list[Figure]:
    """Apply random changes one by one, and back again all in one."""
    differing = [seed for seed in range(ESTATES) if not _equal(seed)]
    where = f"; first at seed {differing[0]}" if differing else ""
    name = f"engine = full recompute: {ESTATES} estates x {CHANGES} changes, differing{where}"
    return [Figure(name, len(differing), "", 0, not differing)]


def _equal(seed: int) -> bool:
    random = Random(seed)
    first: Estate = random_facts.random_estate(random)
    estate = first
    engine = Engine(wide_from=WIDE_FROM[seed % len(WIDE_FROM)])
    engine.apply(everything(estate))
    if not _same(engine, estate):
        return False
    for _ in range(CHANGES):
        change: EstateChange = random_facts.random_change(random, estate)
        engine.apply(change)
        estate = changed(estate, change)
        if not _same(engine, estate):
            return False
    engine.apply(difference(estate, first))
    return _same(engine, first)


def _same(engine: Engine, estate: Estate) -> bool:
    recomputed = recompute(estate)
    documents = {id: engine.document(id) for id in engine.targets()}
    return documents == recomputed.documents and engine.problems() == recomputed.problems
