"""The traffic collector settings of orgs, as the functions that store flows go by them."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pce.flows.drops import Drop, drops_of
from pce.identifiers import OrgId

if TYPE_CHECKING:
    from pce.store.objects import ObjectStore

MAX_AGE_S = 30
"""How long a function goes by settings without looking for newer ones; as with directories."""
MAX_ORGS = 1_000
"""Orgs whose settings are kept in memory: some kB each."""


class FlowDrops:
    """Reads settings, and keeps them for half a minute. ``clock`` counts seconds."""

    def __init__(self, objects: "ObjectStore", clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._clock = clock
        self._known: dict[OrgId, tuple[float, tuple[Drop, ...]]] = {}

    def of(self, org_id: OrgId) -> tuple[Drop, ...]:
        """What an org drops. One query in half a minute."""
        known = self._known.get(org_id)
        if known is not None and self._clock() - known[0] < MAX_AGE_S:
            return known[1]
        stored = self._objects.all_of(org_id, "traffic_collector")
        drops = drops_of(one.document for one in stored)
        if len(self._known) >= MAX_ORGS:
            self._known.clear()
        self._known[org_id] = (self._clock(), drops)
        return drops
