"""Engines that a compile worker keeps in memory, so that a change costs what it changes."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from pce.identifiers import OrgId
from pce.objects.policy_version import Manifest
from pce.policy.estate import PortOverride
from pce.policy.estate_from_documents import Discovered
from pce.policy.incremental.engine import Engine

MAX_WORKLOADS = 150_000
"""Of all engines together: the largest org and many small ones. 256 MiB for 100,000 workloads."""
MIN_WORKLOADS = 100
"""What an empty org counts: its factory objects take memory too."""


@dataclass(frozen=True)
class Known:
    """What must be remembered of an org to make facts of single documents."""

    label_keys: Mapping[str, str]
    bound: Mapping[str, frozenset[str]]
    port_overrides: Mapping[str, tuple[PortOverride, ...]]
    discovered: Mapping[str, Discovered]
    """Discovered virtual servers by id."""
    manifest: Manifest


@dataclass
class WarmEngine:
    """An org as one compile left it."""

    engine: Engine
    known: Known
    compiled: int
    """Number of that compile."""


class WarmEngines:
    """The engines of one process, the least recently used forgotten first.

    An engine is taken out while it works and put back when all that it said is written: whatever
    fails in between, the next compile of the org reads everything anew.
    """

    def __init__(self) -> None:
        self._engines: OrderedDict[OrgId, WarmEngine] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, org_id: OrgId) -> WarmEngine | None:
        """The org's engine, which is not kept any more."""
        with self._lock:
            return self._engines.pop(org_id, None)

    def put(self, org_id: OrgId, engine: WarmEngine) -> None:
        """Keep an engine, if need be in place of others."""
        with self._lock:
            self._engines[org_id] = engine
            # The last one stays, however large: better than to read it again each time.
            while len(self._engines) > 1 and self._size() > MAX_WORKLOADS:
                self._engines.popitem(last=False)

    def _size(self) -> int:
        return sum(MIN_WORKLOADS + warm.engine.workloads for warm in self._engines.values())
