"""Have workloads apply the policy that waits for a person: those in ``static_policy_scopes``."""

import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from pce.errors import PceError
from pce.events.journal import Notification
from pce.identifiers import tail
from pce.objects.hrefs import parse_href
from pce.objects.workload import WORKLOADS
from pce.store.change import Change
from pce.store.queues import BoltOrder
from pce.usecases.announce_policy import queue_bolts
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.current_etag import newest_etag
from pce.usecases.lightning import has_lightning
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import errors_by_cause, hrefs_in
from pce.usecases.write_object import find, not_found


def apply_staged_policy(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"workloads": [{"href"}, ...]}`` -> ``{"errors": [{"token", "message", "hrefs"}, ...]}``.

    Each VEN gets the policy that is newest when it fetches; what comes after that waits again. VENs
    without a bolt connection learn of it from their next heartbeat's reply. A workload for which
    nothing waits is left as it is. One read and one write a workload. Raises
    :class:`~pce.errors.Invalid` for a body that names none, or too many.
    """
    failed: dict[tuple[str, str], list[str]] = defaultdict(list)
    applied: list[str] = []
    bolts: list[BoltOrder] = []
    check = ScopeCheck(caller, stores)
    for href in hrefs_in(body, "workloads"):
        try:
            workload = _workload(caller, href, stores)
            check.require(WORKLOADS, workload)
        except PceError as error:
            failed[error.problems[0].token, error.problems[0].message].append(href)
            continue
        row = workload.get("ven") and stores.presence.ask_to_apply(
            caller.org_id, uuid.UUID(tail(href)), caller.now_s
        )
        if not row:
            message = "no policy waits for these workloads: none of static_policy_scopes means them"
            failed["policy_not_staged", message].append(href)
            continue
        applied.append(href)
        if row.wants_bolt(caller.now_s):
            etag = newest_etag(row, row.applied_etag, stores)
            bolts.append(BoltOrder(str(row.ven_id), row.connection_id, etag))
    if applied:
        said = Notification("workloads.apply_policy", {"workloads": applied})
        event = caller.journal(stores, 200).event("workloads.apply_policy", notifications=[said])
        stores.objects.commit(Change(caller.org_id, events=(event,)))
        if has_lightning(caller.org_id, stores):
            queue_bolts(caller.org_id, bolts, True, "apply_policy", stores, caller.now)
    return errors_by_cause(failed)


def _workload(caller: Caller, href: str, stores: Stores) -> Mapping[str, Any]:
    parsed = parse_href(href)
    if parsed is None or parsed.org_id != caller.org_id or parsed.collection != WORKLOADS.name:
        raise not_found(WORKLOADS, href)
    return find(caller, WORKLOADS, parsed.id, stores).document
