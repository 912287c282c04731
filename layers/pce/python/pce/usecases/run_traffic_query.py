"""Run one traffic query over the stored flows and leave its result in the archive."""

import gzip
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from pce.errors import Conflict, PceError
from pce.flows.admission import MAX_WINDOW_S
from pce.flows.answer import Answer, Flow, run_query
from pce.flows.query import Query, validate_query
from pce.flows.records import WorkloadFacts, csv_text, record
from pce.identifiers import OrgId
from pce.objects.traffic_query import completed, drafts_decided
from pce.store.change import Change, Put
from pce.store.objects import Stored
from pce.timestamps import rfc3339
from pce.usecases.decide_drafts import decide_drafts
from pce.usecases.find_virtual_servers import virtual_servers_by_vip
from pce.usecases.flow_resolver import FlowResolver
from pce.usecases.query_traffic import QUERIES, result_key
from pce.usecases.read_containers import workloads_by_id
from pce.usecases.stores import Stores


def run_traffic_query(
    org_id: OrgId, query_id: str, stores: Stores, clock: Callable[[], float]
) -> None:
    """Bring a query to an end, or the draft decisions that it waits for. Safe to repeat: a query
    that is done or deleted is left alone.

    A query that cannot be answered becomes ``failed``, so that clients stop polling; what is
    unexpected is raised after that, and a repeat may still complete it.
    """
    stored = stores.objects.get(org_id, QUERIES, query_id)
    if stored is None or stored.document["status"] == "cancelled":
        return
    run, failed = _answered, _failed
    if stored.document["status"] == "completed":
        if stored.document["rules"] != "queued":
            return
        run, failed = decide_drafts, _undecided
    try:
        document = run(org_id, query_id, stored.document, stores, clock)
    except PceError as error:
        _finish(org_id, stored, failed(stored.document, str(error), clock), stores)
    except Exception as error:
        message = f"our fault: {type(error).__name__}"
        _finish(org_id, stored, failed(stored.document, message, clock), stores)
        raise
    else:
        _finish(org_id, stored, document, stores)


def _answered(
    org_id: OrgId,
    query_id: str,
    document: Mapping[str, Any],
    stores: Stores,
    clock: Callable[[], float],
) -> dict[str, Any]:
    query = validate_query(document["query_parameters"])
    answer, records = find_flows(org_id, query, stores, int(clock()))
    for form, body in (
        ("json", msgspec.json.encode(records)),
        ("csv", csv_text(records).encode()),
    ):
        key = result_key(org_id, query_id, form)  # type: ignore[arg-type]  # from the tuple above
        stores.archive.put(key, gzip.compress(body, compresslevel=3), "application/gzip")
    return completed(
        document,
        stores.pce_fqdn,
        len(records),
        answer.matches,
        whole=answer.complete,
        now=int(clock()),
    )


def find_flows(
    org_id: OrgId, query: Query, stores: Stores, now: int
) -> tuple[Answer, list[dict[str, Any]]]:
    """What a query finds at ``now`` (epoch seconds), and its records as clients read them.

    Cost: the batches of the hours that the query spans; a batch read per 100 workloads found; the
    virtual servers.
    """
    start = query.start if query.start is not None else 0
    end = now if query.end is None else query.end + MAX_WINDOW_S
    batches = stores.flows.batches(org_id, start, min(end, now + MAX_WINDOW_S))
    answer = run_query(query, batches, FlowResolver(org_id, stores))
    facts = _facts(org_id, answer.flows, stores)
    servers = virtual_servers_by_vip(org_id, stores)
    return answer, [record(flow, org_id, facts, servers) for flow in answer.flows]


def _facts(org_id: OrgId, flows: Iterable[Flow], stores: Stores) -> WorkloadFacts:
    """Names, systems and modes of the workloads, as they are now."""
    ids = {str(end.workload.id) for flow in flows for end in (flow.src, flow.dst) if end.workload}
    known = {
        uuid.UUID(id): {
            name: document.get(name) for name in ("name", "os_type", "enforcement_mode")
        }
        for id, document in workloads_by_id(org_id, ids, stores).items()
    }
    return lambda id: known.get(id, {})


def _failed(document: Mapping[str, Any], why: str, clock: Callable[[], float]) -> dict[str, Any]:
    return {**document, "status": "failed", "message": why, "updated_at": rfc3339(clock())}


def _undecided(document: Mapping[str, Any], why: str, clock: Callable[[], float]) -> dict[str, Any]:
    return drafts_decided(document, int(clock()), why)


def _finish(org_id: OrgId, stored: Stored, document: Mapping[str, Any], stores: Stores) -> None:
    put = Put(QUERIES, stored.id, document, stored.rev, ttl=document["kept_until"])
    try:
        stores.objects.commit(Change(org_id, puts=(put,)))
    except Conflict:
        return  # cancelled or deleted meanwhile, or another worker was faster
