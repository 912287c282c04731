"""Read whether the host of an idle VEN is ready for policy."""

from typing import Any

from pce.objects.compatibility_report import compatibility_report
from pce.objects.workload import WORKLOADS
from pce.usecases.caller import Caller
from pce.usecases.read_hosts import get_ven
from pce.usecases.record_reports import COMPATIBILITY_REPORTS
from pce.usecases.stores import Stores
from pce.usecases.write_object import find


def read_compatibility(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """The report of one VEN; empty when it is not idle. Raises :class:`NotFound`."""
    ven = get_ven(caller, id, stores)
    workload = find(caller, WORKLOADS, id, stores).document
    stored = stores.objects.get(caller.org_id, COMPATIBILITY_REPORTS, id)
    return compatibility_report(ven, workload, stored.document["report"] if stored else None)
