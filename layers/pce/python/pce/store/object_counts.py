"""How many objects an org has of a collection, counted now and then and remembered."""

import threading

from pce.identifiers import OrgId
from pce.store.objects import ObjectStore

FAR_S = 600
NEAR_S = 60
"""Seconds that a count is believed: while it is far from the limit, and near it. What this process
adds meanwhile counts at once, what others add does not: a limit may be passed by what they create
in a minute, and is kept from then on."""


class ObjectCounts:
    """Counts by org and collection. Threads may share it."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._counts: dict[tuple[OrgId, str], tuple[int, float]] = {}
        self._lock = threading.Lock()

    def of(self, org_id: OrgId, stored_in: str, near: int, now: float) -> int:
        """Objects that exist, deleted ones that stay readable not counted; ``near`` is where exact
        counting begins to matter.

        Cost: a query per MB, at most once a minute, once in ten minutes below half of ``near``.
        """
        key = (org_id, stored_in)
        with self._lock:
            number, until = self._counts.get(key, (0, 0.0))
        if now < until:
            return number
        number = self._objects.count(org_id, stored_in)
        if number >= near:
            stored = self._objects.all_of(org_id, stored_in)
            number = sum(not one.document.get("deleted") for one in stored)
        believed_s = FAR_S if number < near // 2 else NEAR_S
        with self._lock:
            self._counts[key] = (number, now + believed_s)
        return number

    def added(self, org_id: OrgId, stored_in: str, more: int) -> None:
        """This process is about to create so many."""
        with self._lock:
            number, until = self._counts.get((org_id, stored_in), (0, 0.0))
            self._counts[org_id, stored_in] = (number + more, until)
