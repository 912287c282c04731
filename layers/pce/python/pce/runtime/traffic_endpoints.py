"""What the endpoints of observed traffic do: queries, and flows that people upload."""

from pce.errors import Invalid, Problem
from pce.flows.query import validate_query
from pce.objects.filters import boolean
from pce.runtime.api_call import (
    MAX_BODY_BYTES,
    MAX_INFLATED_BYTES,
    Call,
    created,
    gzipped,
    no_content,
    ok,
    whole,
)
from pce.runtime.http import Reply, inflated_body, json_reply
from pce.store.flows import RETENTION_S
from pce.usecases import query_traffic
from pce.usecases.import_flows import import_flows
from pce.usecases.read_rollups import traffic_map
from pce.usecases.run_traffic_query import find_flows


def upload_flows(call: Call) -> Reply:
    """POST agents/bulk_traffic_flows: lines of text, whatever the content type says."""
    body = inflated_body(call.request, MAX_BODY_BYTES, MAX_INFLATED_BYTES)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Invalid(Problem("malformed_body", f"the body is not UTF-8: {error}")) from error
    return created(import_flows(call.caller, text, call.stores))


def analyze_traffic(call: Call) -> Reply:
    """POST traffic_flows/traffic_analysis_queries: the records at once, as older clients ask."""
    query = validate_query(call.body)
    query_traffic.refuse_too_long(call.caller, query, call.stores)
    _, records = find_flows(call.caller.org_id, query, call.stores, call.caller.now_s)
    return ok(records)


def get_database_metrics(call: Call) -> Reply:
    """GET traffic_flows/database_metrics: how much of the past there are flows of."""
    hours = call.stores.flows.hours(call.caller.org_id)
    return ok(
        {
            "hours_with_flows": len(hours),
            "oldest_flows_at": f"{hours[0]}:00:00Z" if hours else None,
            "newest_flows_at": f"{hours[-1]}:00:00Z" if hours else None,
            "retention_days": RETENTION_S // 86_400,
        }
    )


def get_traffic_map(call: Call) -> Reply:
    """GET traffic_flows/map: who talks to whom by labels, from the hourly rollups."""
    return ok(traffic_map(call.caller, call.query, call.stores))


def start_traffic_query(call: Call) -> Reply:
    """POST traffic_flows/async_queries: 202 with the query, whose status is ``queued``."""
    return json_reply(202, query_traffic.start_query(call.caller, call.body, call.stores))


def list_traffic_queries(call: Call) -> Reply:
    """GET traffic_flows/async_queries."""
    return whole(call, query_traffic.list_queries(call.caller, call.stores))


def get_traffic_query(call: Call) -> Reply:
    """GET traffic_flows/async_queries/{id}."""
    return ok(query_traffic.get_query(call.caller, call.id, call.stores))


def cancel_traffic_query(call: Call) -> Reply:
    """PUT traffic_flows/async_queries/{id}: cancellation."""
    query_traffic.cancel_query(call.caller, call.id, call.stores)
    return no_content()


def update_traffic_rules(call: Call) -> Reply:
    """PUT traffic_flows/async_queries/{id}/update_rules: draft decisions; 202, they come later."""
    query_traffic.update_rules(call.caller, call.id, call.query, call.stores)
    return json_reply(202)


def delete_traffic_query(call: Call) -> Reply:
    """DELETE traffic_flows/async_queries/{id}."""
    query_traffic.delete_query(call.caller, call.id, call.stores)
    return no_content()


def download_traffic(call: Call) -> Reply:
    """GET traffic_flows/async_queries/{id}/download: JSON for clients that name it in Accept, CSV
    for all others, and for those that ask for the columns of a CSV."""
    name = "include_draft_policy_in_csv"
    draft = boolean(call.query.get(name, ""), name)
    if not draft and "application/json" in call.request.headers.get("accept", ""):
        body = query_traffic.read_result(call.caller, call.id, "json", call.stores)
        return gzipped(body, call, "application/json")
    form: query_traffic.ResultForm = "draft.csv" if draft else "csv"
    body = query_traffic.read_result(call.caller, call.id, form, call.stores)
    return gzipped(body, call, "text/csv")
