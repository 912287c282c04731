"""The incremental engine on an org of 100,000 workloads and 20,000 rules: built, and changed."""

import gc
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.figure import Figure
from bench.policy_estate import APPS, LOCATIONS, ROLES, SEED, apart, large_estate
from pce.policy.change import EstateChange, changed, everything
from pce.policy.estate import Estate, Workload
from pce.policy.incremental.effect import Effect
from pce.policy.incremental.engine import Engine
from pce.policy.incremental.work import Work
from ven_protocol.policy import Service

CHANGES = 200
"""Of each kind; wide ones a tenth."""
PRESENCE_ROW = 200
"""Bytes of a presence row, which is written for each VEN whose target changes."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one change."""

    seconds: float
    """Of CPU, for all of it."""
    to_affected: float
    """Seconds of CPU until the classes were known whose class part has to be made."""
    affected: int
    changed: int
    vens: int
    """VENs whose target changed."""
    waves: int
    """VENs that hear of it because a wide part of theirs changed."""
    items: int
    size: int

    @classmethod
    def of(cls, effect: Effect, engine: Engine, seconds: float, to_affected: float) -> "Cost":
        """What an effect has the store write: sets, blocks, class parts, the head, targets."""
        sizes = [len(msgspec.json.encode(engine.class_part(id))) for id in effect.class_parts]
        sizes += [len(msgspec.json.encode(engine.block(id))) for id in effect.blocks]
        for change in effect.sets.values():
            written = change.added + change.removed
            if change.former is None:
                written = ()  # whole; there is none before it to say a difference from
            sizes.append(100 + sum(len(member) + 3 for member in written))
        if effect.wide is not None:
            sizes += [len(msgspec.json.encode(effect.wide))] * 2  # the head, and its generation
        sizes += [PRESENCE_ROW] * len(effect.targets)
        return cls(
            seconds=seconds,
            to_affected=to_affected,
            affected=effect.statistics.classes_affected,
            changed=effect.statistics.classes_changed,
            vens=len(effect.targets),
            waves=_waves(effect, engine),
            items=len(sizes),
            size=sum(sizes),
        )


def _waves(effect: Effect, engine: Engine) -> int:
    slots = effect.changed_slots
    if not slots:
        return 0
    return sum(bool(target.slots & slots) for target in engine.targets().values())


class Org:
    """An engine and the estate that it holds."""

    def __init__(self, estate: Estate) -> None:
        self.random = random.Random(SEED)
        self.estate = estate
        self.workloads = {workload.id: workload for workload in estate.workloads}
        self.ids = list(self.workloads)
        self.rule_sets = {rule_set.id: rule_set for rule_set in estate.rule_sets}
        self.engine = Engine()
        self.all_changes = EstateChange()
        self.affected_at = 0.0
        rename = self.engine._class_parts.rename

        def noted(work: Work) -> None:
            self.affected_at = time.process_time()
            rename(work)

        self.engine._class_parts.rename = noted  # type: ignore[method-assign]

    def apply(self, change: EstateChange) -> Cost:
        start = time.process_time()
        effect = self.engine.apply(change)
        seconds = time.process_time() - start
        self.all_changes = self.all_changes.then(change)
        self.workloads.update({id: w for id, w in change.workloads.items() if w is not None})
        self.rule_sets.update({id: r for id, r in change.rule_sets.items() if r is not None})
        return Cost.of(effect, self.engine, seconds, self.affected_at - start)

    def address(self) -> EstateChange:
        old = self._ordinary()
        return _put(replace(old, addresses=(self._fresh("172.16"),)))

    def label(self) -> EstateChange:
        old = self._ordinary()
        return _put(replace(old, labels={**old.labels, "role": self._label("role", ROLES)}))

    def add(self) -> EstateChange:
        old = self._ordinary()
        labels = {**old.labels, "loc": self._label("loc", LOCATIONS)}
        name = f"new{self.random.random()}"
        return _put(replace(old, id=name, labels=labels, addresses=(self._fresh("172.18"),)))

    def delete(self) -> EstateChange:
        return EstateChange(workloads={self._ordinary().id: None})

    def rule(self) -> EstateChange:
        """Another port of one rule."""
        old = self.rule_sets[str(self.random.randrange(len(self.rule_sets) - 1))]
        port = Service(proto=6, port=self.random.randrange(1024, 65536))
        rules = (replace(old.rules[0], services=(port,)), *old.rules[1:])
        return EstateChange(rule_sets={old.id: replace(old, rules=rules)})

    def wide_rule(self) -> EstateChange:
        """Another port of the rule that lets monitoring reach everybody."""
        old = self.rule_sets["everywhere"]
        port = Service(proto=6, port=self.random.randrange(1024, 65536))
        rules = (replace(old.rules[0], services=(port,)), *old.rules[1:])
        return EstateChange(rule_sets={old.id: replace(old, rules=rules)})

    def wide_address(self) -> EstateChange:
        """Another address of a host that monitors everybody."""
        old = self._ordinary(lambda workload: workload.labels["app"] == f"app{APPS - 1}")
        return _put(replace(old, addresses=(self._fresh("172.17"),)))

    def _ordinary(self, wanted: Callable[[Workload], bool] = lambda workload: True) -> Workload:
        while True:
            workload = self.workloads[self.random.choice(self.ids)]
            if wanted(workload):
                return workload

    def _fresh(self, prefix: str) -> str:
        return f"{prefix}.{self.random.randrange(256)}.{self.random.randrange(256)}"

    def _label(self, key: str, count: int) -> str:
        return f"{key}{self.random.randrange(count)}"


def _put(workload: Workload) -> EstateChange:
    return EstateChange(workloads={workload.id: workload})


def measure() -> list[Figure]:
    """Build the engine, change it, and build it again to compare."""
    estate = large_estate()
    org = Org(estate)
    first, seconds, memory = _build(org.engine, estate)
    size = f"{len(estate.workloads):,} workloads, {len(first.class_parts):,} class parts"
    figures = [
        Figure(f"engine, rebuild: {size}", seconds, "s CPU", 3.0, seconds <= 3.0),
        Figure("engine, rebuild: memory", memory, "MiB", 256.0, memory <= 256),
    ]
    for name, change, count, budget in (
        ("address", org.address, CHANGES, 1.0),
        ("label", org.label, CHANGES, 1.0),
        ("rule", org.rule, CHANGES, 1.0),
        ("add", org.add, CHANGES, 1.0),
        ("delete", org.delete, CHANGES, 1.0),
        ("wide rule", org.wide_rule, CHANGES // 10, None),
        ("wide address", org.wide_address, CHANGES // 10, None),
    ):
        figures += _figures(name, [org.apply(change()) for _ in range(count)], budget)
    figures += _of_process(_worst)
    again = Engine(org.engine.head)
    again.apply(everything(changed(estate, org.all_changes)))
    same = again.targets() == org.engine.targets()
    figures.append(Figure("engine, rebuilt after all changes: the same targets", same, "", 1, same))
    return figures


def _build(engine: Engine, estate: Estate) -> tuple[Effect, float, float]:
    """The effect, seconds of CPU, and MiB that the engine takes beside the facts."""
    gc.collect()
    before = _resident()
    start = time.process_time()
    effect = engine.apply(everything(estate))
    return effect, time.process_time() - start, _resident() - before


def _worst() -> list[Figure]:
    """The same where no two workloads are alike."""
    engine = Engine()
    _, seconds, memory = _build(engine, apart(large_estate()))
    return [
        Figure("engine, rebuild: each workload a class of its own", seconds, "s CPU", None, True),
        Figure("engine, rebuild: the same, memory", memory, "MiB", None, True),
    ]


def _of_process(measured: Callable[[], list[Figure]]) -> list[Figure]:
    """What a process of its own measures: its memory is its own too."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measured).result()


def _figures(name: str, costs: list[Cost], budget: float | None) -> Iterator[Figure]:
    def median(values: list[int]) -> str:
        return f"{statistics.median_low(values):,}"

    counts = ", ".join(
        (
            f"{median([c.affected for c in costs])} class parts made",
            f"{median([c.changed for c in costs])} changed",
            f"{median([c.vens for c in costs])} VENs",
            f"{median([c.waves for c in costs])} by wave",
            f"{median([c.items for c in costs])} writes",
            f"{median([c.size // 1024 for c in costs])} KiB",
        )
    )
    known = _milliseconds([cost.to_affected for cost in costs])
    done = _milliseconds([cost.seconds for cost in costs])
    yield Figure(
        f"{name}: to the affected set", known[0], "ms", budget, known[0] <= (budget or 1e9)
    )
    yield Figure(f"{name}: to the affected set, p99", known[1], "ms", None, True)
    yield Figure(f"{name}: {counts}", done[0], "ms", None, True)
    yield Figure(f"{name}: the same, p99", done[1], "ms", None, True)


def _milliseconds(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    times = sorted(1000 * each for each in seconds)
    return times[len(times) // 2], times[len(times) * 99 // 100]


def _resident() -> float:
    """MiB of this process in memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
