"""Have VENs post their flows now, and every minute for a while: somebody waits for traffic to show.

How often, how long and why is said in ``ven_protocol.limits`` (``FREQUENT_FLOWS_...``); it ends by
itself, and with the VEN's process.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from pce.events.journal import Notification
from pce.presence.actions import entry, with_action
from pce.presence.record import Presence
from pce.store.change import Change, PresenceChange
from pce.usecases.announce_actions import announce_actions
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import Target, on_each

EVENT = "workloads.set_flow_reporting_frequency"


def set_flow_reporting_frequency(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"workloads": [{"href"}, ...]}`` -> ``{"errors": [{"token", "message", "hrefs"}, ...]}``.

    VENs with a bolt connection hear of it at once, others with their next heartbeat; asked again,
    they begin the while anew. An event for each ``TOGETHER`` VENs.
    """
    told: list[Presence] = []

    def ask(batch: Sequence[Target]) -> None:
        rows = [target.row for target in batch if target.row is not None]
        named = [target.workload.document["href"] for target in batch]
        event = caller.journal(stores, 200).event(
            EVENT,
            changes=[target.changed for target in batch],
            notifications=[Notification(EVENT, {"workloads": named})],
        )
        presence = tuple(
            PresenceChange(
                row.ven_id,
                actions=with_action(row.actions, entry("report_flows", "", secrets.token_hex(4))),
            )
            for row in rows
        )
        stores.objects.commit(Change(caller.org_id, presence=presence, events=(event,)))
        told.extend(rows)

    result = on_each(caller, body, stores, ask)
    announce_actions(caller.org_id, told, "report_flows", stores, caller.now)
    return result
