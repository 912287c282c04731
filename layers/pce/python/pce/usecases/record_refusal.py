"""Write down that a request was refused: as an event, or as part of a number."""

from contextlib import suppress
from dataclasses import replace

from pce.errors import PceError
from pce.events.journal import HttpAction, JsonObject, Notification
from pce.events.refusals import EACH_UP_TO, is_recorded
from pce.identifiers import OrgId
from pce.objects.limits import TOKEN as HARD_LIMIT
from pce.store.change import Change
from pce.usecases.stores import Stores, journal

COUNTED_TOGETHER = 10
"""Refusals of one process and minute that are counted in one write, once each is no event."""


def record_refusal(
    org_id: OrgId,
    actor: JsonObject,
    action: HttpAction,
    event_type: str,
    error: PceError,
    stores: Stores,
    now: float,
) -> None:
    """One event of status ``failure`` with the errors that were answered, unless the minute had
    enough of its kind (``events/refusals.py``). Never fails: the refusal itself must be answered.

    Cost: two writes, and a tenth of one when there are many.
    """
    kind = event_type if event_type.startswith("request.") else "refused"
    name = f"{kind}#{org_id}"
    many = stores.tallies.known(name, now) >= EACH_UP_TO
    counted = stores.tallies.add(name, now, COUNTED_TOGETHER if many else 1)
    if not counted.is_shared or not is_recorded(counted.before, counted.after):
        return
    problems = [{"token": p.token, "message": p.message[:MAX_MESSAGE]} for p in error.problems]
    action = replace(action, errors=tuple(problems[:MAX_PROBLEMS]))
    event = journal(stores, org_id, actor, now, action).event(
        event_type,
        severity="err",
        status="failure",
        notifications=_notifications(event_type, action, error, counted.after),
    )
    with suppress(PceError):
        stores.objects.commit(Change(org_id, events=(event,)))


MAX_PROBLEMS = 10
MAX_MESSAGE = 500
"""Problems that an event quotes, and characters of each."""


def _notifications(
    event_type: str, action: HttpAction, error: PceError, number: int
) -> list[Notification]:
    told = []
    if event_type.startswith("request."):
        info = {
            "api_endpoint": action.endpoint,
            "api_method": action.method,
            "src_ip": action.source_ip,
        }
        told.append(Notification(event_type, info))
    if error.problems[0].token == HARD_LIMIT:
        told.append(Notification("hard_limit.exceeded", {"message": error.problems[0].message}))
    if number > EACH_UP_TO:
        told.append(Notification("request.refused_many", {"refused_in_this_minute": number}))
    return told
