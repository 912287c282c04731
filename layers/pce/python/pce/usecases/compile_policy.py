"""Bring an org's stored policy up to date with its facts, and tell every VEN whose policy changed.

The change log says what to look at, never what happened: the objects that it names are read as they
are now. So a compile may run twice, late, side by side with another, or be killed after any single
write. In this order:

1. take a number, read the change log, read the objects that it names; the engine says what differs
2. put sets, blocks and class parts (named by their content; nobody names them yet)
3. name each VEN's new target, unless a later compile has
4. replace the wide head, unless another compile has. A target that came with it holds from now on:
   no VEN ever sees the narrow part of one state with the wide parts of another
5. queue bolts
6. is this still the latest compile? If not, what it did may be older than what the later one read:
   it fails, and is repeated from scratch
7. let expire what nobody needs any more, bring the address directory up to date
8. leave word of what was looked at, drain the change log

A warm engine (``warm_engines``) knows what is stored, if no other compile was since its last. If
others were and left word, it reads again what they looked at, and compares what it says with every
presence row: what they stored may have been undone since. A fresh one reads the whole org, and
compares likewise.
"""

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pce.errors import Conflict, Problem, Unavailable
from pce.identifiers import OrgId
from pce.policy.incremental.effect import Statistics
from pce.policy.incremental.engine import Engine
from pce.policy.parts import WideHead, etag_of
from pce.store.objects import ChangeLogEntry
from pce.usecases.announce_policy import NewTarget, WideChange, announce_policy
from pce.usecases.read_estate import Read, read_changes, read_estate
from pce.usecases.side_by_side import side_by_side
from pce.usecases.store_policy import (
    Difference,
    StoredPolicy,
    of_effect,
    of_store,
    store_policy,
)
from pce.usecases.stores import Stores
from pce.usecases.warm_engines import WarmEngine


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one compile did, for its log line and metrics."""

    org_id: OrgId
    changes: int = 0
    reasons: tuple[str, ...] = ()
    """Of the changes, sorted, without repeats."""
    lag_s: float = 0.0
    """Age of the oldest change when its effects were all written."""
    fresh: bool = False
    """Everything was read anew."""
    workloads: int = 0
    statistics: Statistics = field(default_factory=Statistics)
    bytes: int = 0
    """Of the parts written, compressed."""
    retargeted: int = 0
    bolts: int = 0
    problems: int = 0


class Overtaken(Conflict):
    """Another compile of the org began meanwhile; what this one did has to be compared with it."""

    def __init__(self, org_id: OrgId, number: int) -> None:
        message = f"compile {number} of org {org_id} was overtaken by another; it is repeated"
        super().__init__(Problem("compile_overtaken", message))


class OutOfTime(Unavailable):
    """There were more presence rows to write than time; the repetition writes the others."""

    def __init__(self, org_id: OrgId, left: int) -> None:
        message = f"org {org_id}: {left} presence rows are left for the next attempt"
        super().__init__(Problem("compile_out_of_time", message))


def compile_policy(
    org_id: OrgId,
    stores: Stores,
    clock: Callable[[], float],
    *,
    afresh: bool = False,
    until: float = math.inf,
) -> Compiled:
    """Bring an org's stored policy up to date.

    ``afresh``: an earlier compile of the org may not have ended, so nothing in memory counts. Does
    nothing when the change log is empty, unless afresh. ``until``: it begins no write of a presence
    row later than that (by ``clock``). Raises :class:`Overtaken`, :class:`OutOfTime`; whatever it
    raises, the change log still holds what is to be done.

    Cost: what the change touches. Of a fresh engine: reads the whole org, and writes only what
    differs from what is stored.
    """
    log = stores.objects.change_log(org_id)
    warm = stores.engines.take(org_id)
    if not log and not afresh:
        if warm is not None:
            stores.engines.put(org_id, warm)
        return Compiled(org_id)
    number = stores.policies.begin_compile(org_id, int(clock()))
    hrefs = {href for entry in log for href in entry.hrefs} if all(e.hrefs for e in log) else None
    step = None
    if warm is not None and hrefs is not None and not afresh:
        step = _step(org_id, warm, number, hrefs, stores)
    step = step or _fresh_step(org_id, stores)
    reached, announced, stored = _write(org_id, step, number, log, stores, clock, until)
    if not stores.policies.is_latest_compile(org_id, number):
        raise _overtaken(org_id, number, stores, clock)
    now = int(clock())
    stored.retire(org_id, number, now, stores)
    if step.fresh:
        hosts = [document for document in step.read.workloads.values() if document]
        stores.directory.save(org_id, hosts, [d for d in step.read.labels.values() if d])
    else:
        stores.directory.update(org_id, step.read.workloads, step.read.labels)
    stores.policies.record_compiled(org_id, number, hrefs, now)
    stores.objects.drain_change_log(org_id, (entry.id for entry in log))
    stores.engines.put(org_id, WarmEngine(step.engine, step.read.known, number))
    return Compiled(
        org_id=org_id,
        changes=len(log),
        reasons=tuple(sorted({entry.reason for entry in log})),
        lag_s=clock() - log[0].epoch_ms / 1000 if log else 0.0,
        fresh=step.fresh,
        workloads=step.engine.workloads,
        statistics=step.difference.effect.statistics,
        bytes=stored.bytes,
        retargeted=reached,
        bolts=announced,
        problems=len(step.engine.problems()),
    )


def _overtaken(org_id: OrgId, number: int, stores: Stores, clock: Callable[[], float]) -> Overtaken:
    """The error, once a number is taken that nobody will end: should the repetition never come, the
    next compile reads the whole org all the same, and the sweep sees to it that there is one."""
    stores.policies.begin_compile(org_id, int(clock()))
    return Overtaken(org_id, number)


@dataclass(frozen=True)
class _Step:
    """What was read, and what follows from it."""

    read: Read
    engine: Engine
    before: WideHead
    """The stored wide head."""
    difference: Difference
    fresh: bool


def _fresh_step(org_id: OrgId, stores: Stores) -> _Step:
    read = read_estate(org_id, stores)
    before = stores.policies.wide_head(org_id)
    engine = Engine(before)
    effect = engine.apply(read.change)
    difference = of_store(org_id, engine, before, effect, stores)
    return _Step(read, engine, before, difference, fresh=True)


def _step(
    org_id: OrgId, warm: WarmEngine, number: int, hrefs: set[str], stores: Stores
) -> _Step | None:
    """What follows for a warm engine; None when it must be made anew: a compile since its last
    looked at everything, replaced the wide head, or has not ended."""
    missed = stores.policies.compiled_between(org_id, warm.compiled, number)
    if missed is None:
        return None
    alone = number == warm.compiled + 1
    before = warm.engine.head
    if not alone and stores.policies.wide_head(org_id) != before:
        return None
    read = read_changes(org_id, hrefs | missed, warm.known, stores)
    if read is None:
        return None
    effect = warm.engine.apply(read.change)
    if alone:
        difference = of_effect(warm.engine, effect)
    else:
        whole = replace(effect, sets=warm.engine.sets(), targets=warm.engine.targets())
        difference = of_store(org_id, warm.engine, before, whole, stores)
    return _Step(read, warm.engine, before, difference, fresh=False)


def _write(
    org_id: OrgId,
    step: _Step,
    number: int,
    log: Sequence[ChangeLogEntry],
    stores: Stores,
    clock: Callable[[], float],
    until: float,
) -> tuple[int, int, StoredPolicy]:
    """Steps 2 to 5; the numbers of VENs and of bolts, and what was stored."""
    now = clock()
    stored = store_policy(org_id, step.engine, step.difference, number, stores)
    reached = _retarget(org_id, step, number, stores, clock, until)
    head = step.difference.effect.wide
    in_time = clock() < until
    policies = stores.policies
    if head and in_time and not policies.replace_wide_head(org_id, step.before, head, int(now)):
        raise _overtaken(org_id, number, stores, clock)
    reason = log[-1].reason if log else ""
    waves = _waves(step.difference) if in_time else []
    announced = announce_policy(org_id, reached, waves, reason, stores, clock())
    if not in_time:
        raise OutOfTime(org_id, len(step.difference.targets) - len(reached))
    return len(reached), announced.queued, stored


def _retarget(
    org_id: OrgId,
    step: _Step,
    number: int,
    stores: Stores,
    clock: Callable[[], float],
    until: float,
) -> list[NewTarget]:
    """Name the new targets, those that tighten first; those that were written."""
    difference, head = step.difference, step.engine.head
    wide_since = difference.effect.wide.generation if difference.effect.wide else 0

    def write(id: str) -> NewTarget | None:
        now = clock()
        if now >= until:
            return None
        target = difference.targets[id]
        before = stores.presence.set_target(
            org_id, uuid.UUID(id), target, number, int(now), wide_since
        )
        if before is None:
            return None
        before = replace(before, static=target.static)
        if wide_since and target.slots:
            # The fetch that a bolt leads to may come before the wide head, and bring nothing.
            before = replace(before, bolt_at=None)
        etag = etag_of(target.name, target.slots, head)
        return NewTarget(before, etag, id in difference.tightened)

    order = sorted(difference.targets, key=lambda id: id not in difference.tightened)
    return [target for target in side_by_side(write, order) if target]


def _waves(difference: Difference) -> list[WideChange]:
    effect = difference.effect
    if effect.wide is None:
        return []
    generation, tightened = effect.wide.generation, difference.tightened_slots
    return [
        WideChange(generation, tightened, tightens=True),
        WideChange(generation, effect.changed_slots & ~tightened, tightens=False),
    ]
