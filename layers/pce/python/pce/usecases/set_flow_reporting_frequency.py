"""Have VENs post their flows now, and every minute for a while: somebody waits for traffic to show.

How often, how long and why is said in ``ven_protocol.limits`` (``FREQUENT_FLOWS_...``); it ends by
itself, and with the VEN's process.
"""

from collections.abc import Sequence
from typing import Any

from pce.events.journal import Notification
from pce.usecases.ask_vens import ask_vens
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import Target

EVENT = "workloads.set_flow_reporting_frequency"


def set_flow_reporting_frequency(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"workloads": [{"href"}, ...]}`` -> ``{"errors": [{"token", "message", "hrefs"}, ...]}``.

    Asked again, they begin the while anew.
    """
    return ask_vens(caller, body, "report_flows", EVENT, _named, stores)


def _named(batch: Sequence[Target]) -> Notification:
    return Notification(EVENT, {"workloads": [t.workload.document["href"] for t in batch]})
