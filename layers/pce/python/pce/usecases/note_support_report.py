"""What becomes of a support report that somebody asked for, noted in the request."""

import uuid
from typing import Literal

from pce.errors import Conflict
from pce.presence.actions import entries
from pce.presence.record import Presence
from pce.store.change import Change, Put
from pce.usecases.stores import Stores

REQUESTS = "support_bundle_requests"
REPORTS = "support_reports"
KEPT_S = 30 * 86_400
"""As long as the reports themselves are kept in the bucket (``infra/stacks/data.py``)."""

State = Literal["requested", "uploading", "done", "failed"]

ATTEMPTS = 10
"""The VENs of one request, at most 20, come at about the same time."""


def note_report(
    before: Presence,
    action_id: str,
    stores: Stores,
    status: State,
    report_href: str | None = None,
    message: str | None = None,
) -> bool:
    """Note it for the VEN whose pending action this is; whether that is done, or needless because
    nobody asked. ``report_href`` None: as it was."""
    ids = [
        str(uuid.UUID(each.nonce))
        for each in entries(before.actions)
        if each.id == action_id and each.kind == "support_report"
    ]
    for id in ids:
        return _note(before, id, stores, status, report_href, message)
    return True


def _note(
    before: Presence,
    id: str,
    stores: Stores,
    status: State,
    report_href: str | None,
    message: str | None,
) -> bool:
    ven_id = str(before.ven_id)
    for _ in range(ATTEMPTS):
        stored = stores.objects.get(before.org_id, REQUESTS, id)
        if stored is None or ven_id not in stored.document["reports"]:
            return True  # withdrawn
        known = stored.document["reports"][ven_id]
        noted = {**known, "status": status, "message": message}
        if report_href is not None:
            noted["support_report"] = {"href": report_href}
        reports = {**stored.document["reports"], ven_id: noted}
        document = {**stored.document, "reports": reports}
        put = Put(REQUESTS, id, document, stored.rev, ttl=document["kept_until"])
        try:
            stores.objects.commit(Change(before.org_id, puts=(put,)))
        except Conflict:
            continue
        return True
    return False
