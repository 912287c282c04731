"""Traffic queries: accepted here, run by a worker (``run_traffic_query.py``), fetched here."""

import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pce.errors import Invalid, NotFound, Problem
from pce.flows.query import Query, validate_query
from pce.flows.selection import Selection
from pce.objects.filters import MalformedParameter, boolean, whole_number
from pce.objects.settings import ORG_SETTINGS
from pce.objects.traffic_query import FINAL, drafts_asked, new_query, shown
from pce.store.change import Change, Delete, Put
from pce.store.objects import Stored
from pce.timestamps import rfc3339
from pce.usecases.caller import Caller
from pce.usecases.flow_resolver import FlowResolver
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled

QUERIES = "traffic_queries"
DAY_S = 86_400

ResultForm = Literal["json", "csv", "draft.csv"]
"""``draft.csv`` has a column more, and exists once draft decisions were made."""


def start_query(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """Accept a query; its status is ``queued``. Raises :class:`Invalid` for what makes no sense,
    hrefs of unknown objects included."""
    if not isinstance(body, Mapping):
        raise Invalid(Problem("invalid_traffic_query", "the body must be an object"))
    asked = validate_query(body)
    refuse_too_long(caller, asked, stores)
    Selection(asked, FlowResolver(caller.org_id, stores))
    id = str(uuid.uuid4())
    href = caller.path("traffic_flows", "async_queries", id)
    query = new_query(href, body, caller.user_href, caller.now_s)
    put = Put(QUERIES, id, query, ttl=query["kept_until"])
    stores.objects.commit(Change(caller.org_id, puts=(put,)))
    stores.queues.run_traffic_query(caller.org_id, id)
    return shown(query)


def refuse_too_long(caller: Caller, asked: Query, stores: Stores) -> None:
    """Raise :class:`Invalid` for a query over more days than the org has said in ``settings``. As
    long as it has said nothing, whatever is kept may be asked for. One read."""
    stored = stores.objects.get(caller.org_id, "settings", ORG_SETTINGS.name)
    days = stored.document.get("max_explorer_query_timespan_days") if stored else None
    start, end = asked.start or 0, asked.end or caller.now_s
    if days and min(end, caller.now_s) - start > days * DAY_S:
        message = (
            f"the query spans more than the {days} days that the organization's settings allow"
        )
        raise Invalid(Problem("query_timespan_too_long", message, "start_date"))


def list_queries(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """The queries of the last day, newest first."""
    stored = [s.document for s in stores.objects.all_of(caller.org_id, QUERIES)]
    kept = [query for query in stored if query["kept_until"] > caller.now_s]
    return [shown(query) for query in sorted(kept, key=lambda q: q["created_at"], reverse=True)]


def get_query(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One query. Raises :class:`NotFound`."""
    return shown(_find(caller, id, stores).document)


def cancel_query(caller: Caller, id: str, stores: Stores) -> None:
    """Give up a query that is not done yet; one that is stays as it is."""

    def attempt() -> None:
        stored = _find(caller, id, stores)
        if stored.document["status"] in FINAL:
            return
        cancelled = {**stored.document, "status": "cancelled", "updated_at": rfc3339(caller.now)}
        put = Put(QUERIES, id, cancelled, stored.rev, ttl=cancelled["kept_until"])
        stores.objects.commit(Change(caller.org_id, puts=(put,)))

    until_settled(attempt)


def update_rules(caller: Caller, id: str, query: Mapping[str, str], stores: Stores) -> None:
    """Have the records of a completed query say what the draft policy would decide.

    The query's ``rules`` is ``queued`` until its worker is done. All records are decided, whatever
    ``offset`` and ``limit`` say. Raises :class:`Invalid` for a parameter that makes no sense or a
    query that is not completed.
    """
    boolean(query.get("label_based_rules", ""), "label_based_rules")
    for name in ("offset", "limit"):
        if query.get(name) and whole_number(query[name], name) < 0:
            raise MalformedParameter(name, query[name], "0 or more")

    def attempt() -> None:
        stored = _find(caller, id, stores)
        if stored.document["status"] != "completed":
            message = f"the query {id} is {stored.document['status']}; wait until it is completed"
            raise Invalid(Problem("traffic_query_not_completed", message))
        asked = drafts_asked(stored.document, caller.now_s)
        put = Put(QUERIES, id, asked, stored.rev, ttl=asked["kept_until"])
        stores.objects.commit(Change(caller.org_id, puts=(put,)))

    until_settled(attempt)
    stores.queues.run_traffic_query(caller.org_id, id)


def delete_query(caller: Caller, id: str, stores: Stores) -> None:
    """Delete a query; its result, which nobody can reach then, expires by itself."""

    def attempt() -> None:
        stored = _find(caller, id, stores)
        delete = Delete(QUERIES, id, stored.rev)
        stores.objects.commit(Change(caller.org_id, deletes=(delete,)))

    until_settled(attempt)


def read_result(caller: Caller, id: str, form: ResultForm, stores: Stores) -> bytes:
    """The gzip bytes of a query's result, without draft decisions while there are none.

    Raises :class:`NotFound` until it is completed.
    """
    stored = _find(caller, id, stores)
    body = None
    if form == "draft.csv" and stored.document["rules"] != "completed":
        form = "csv"
    if stored.document["status"] == "completed":
        body = stores.archive.get(result_key(caller.org_id, id, form))
    if body is None:
        status = stored.document["status"]
        message = f"the query {id} has no result; its status is {status}"
        raise NotFound(Problem("traffic_result_not_found", message))
    return body


def result_key(org_id: int, id: str, form: ResultForm) -> str:
    """Where a result lies in the archive."""
    return f"traffic_results/{org_id}/{id}.{form}.gz"


def _find(caller: Caller, id: str, stores: Stores) -> Stored:
    stored = stores.objects.get(caller.org_id, QUERIES, id)
    if stored is None or stored.document["kept_until"] <= caller.now_s:
        message = f"there is no traffic query {id}; queries are kept for a day"
        raise NotFound(Problem("traffic_query_not_found", message))
    return stored
