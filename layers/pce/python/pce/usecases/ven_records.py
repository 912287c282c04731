"""The two documents that describe a paired machine, read and changed together.

A VEN and its workload share one UUID; ``workloads`` holds what policy and people see, ``vens`` what
is known of the agent.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pce.errors import NotFound, Problem
from pce.events.journal import HttpAction, Journal, ResourceChange, ven_actor
from pce.identifiers import OrgId, workload_href
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.usecases.stores import Stores, journal

if TYPE_CHECKING:
    # For its type alone: a hot function imports it when something special happens.
    from pce.store.objects import Stored


@dataclass(frozen=True)
class VenRecords:
    """A VEN's documents as they were read."""

    org_id: OrgId
    ven_id: uuid.UUID
    workload: "Stored"
    ven: "Stored"

    @classmethod
    def read(
        cls, stores: Stores, org_id: OrgId, ven_id: uuid.UUID, *, unpaired: bool = False
    ) -> "VenRecords":
        """Both documents, read strongly in one request. Raises :class:`NotFound` when there are
        none, and when the VEN was unpaired, unless those are wanted too."""
        found = stores.objects.get_together(org_id, ("workloads", "vens"), str(ven_id))
        if len(found) < 2 or (found[0].document.get("deleted") and not unpaired):
            raise NotFound(
                Problem(
                    "workload_not_found",
                    f"the workload of VEN {ven_id} was removed; uninstall the VEN or pair it again",
                )
            )
        return cls(org_id, ven_id, *found)

    def journal(self, stores: Stores, now: float, action: HttpAction | None = None) -> Journal:
        """A journal in which the VEN acts."""
        ven = self.ven.document
        actor = ven_actor(
            self.org_id, self.ven_id, ven.get("hostname") or "", ven.get("agent_id", 0)
        )
        return journal(stores, self.org_id, actor, now, action)

    def resource(self) -> dict[str, Any]:
        """The short form of the workload that events carry."""
        workload = self.workload.document
        return {
            "href": workload_href(self.org_id, self.ven_id),
            "name": workload.get("name"),
            "hostname": workload.get("hostname"),
        }

    def changed(
        self, workload: Mapping[str, Any] | None = None, ven: Mapping[str, Any] | None = None
    ) -> tuple[tuple[Put, ...], list[ResourceChange]]:
        """Puts for new values of attributes, and the workload's change as events show it."""
        puts: list[Put] = []
        changes: list[ResourceChange] = []
        before = self.workload.document
        different = {k: v for k, v in (workload or {}).items() if before.get(k) != v}
        if different:
            puts.append(
                Put("workloads", self.workload.id, {**before, **different}, self.workload.rev)
            )
            shown = {k: {"before": before.get(k), "after": v} for k, v in different.items()}
            changes.append(ResourceChange("workload", self.resource(), "update", shown))
        if ven and any(self.ven.document.get(k) != v for k, v in ven.items()):
            puts.append(Put("vens", self.ven.id, {**self.ven.document, **ven}, self.ven.rev))
        return tuple(puts), changes

    def change(
        self,
        puts: Sequence[Put],
        events: Sequence[Mapping[str, Any]],
        presence: PresenceChange | None = None,
        policy_reason: str = "",
    ) -> Change:
        """A change of this VEN's records; ``policy_reason`` when its policy or its peers' may
        change."""
        hrefs = (workload_href(self.org_id, self.ven_id),)
        return Change(
            self.org_id,
            puts=tuple(puts),
            events=tuple(events),
            presence=(presence,) if presence else (),
            policy_changes=(PolicyChange(policy_reason, hrefs),) if policy_reason else (),
        )


VEN_ACTION_ENDPOINT = "FILTERED"
"""What events show instead of the path of a VEN's call."""


def ven_action(method: str, status: int, source_ip: str) -> HttpAction:
    """The HTTP call of a VEN, as events show it."""
    return HttpAction(VEN_ACTION_ENDPOINT, method, status, source_ip)
