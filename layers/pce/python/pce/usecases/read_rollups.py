"""The traffic map: who talks to whom, by labels, from the hourly rollups."""

from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.flows.rollup import REST, Edge, End, Sums, together, unpack_rollup
from pce.flows.selection import DECISIONS
from pce.identifiers import OrgId
from pce.objects.filters import MalformedParameter, time_of, whole_number
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

HOUR_S = 3_600
DEFAULT_SPAN_S = 86_400
LONGEST_SPAN_S = 31 * 86_400
"""Of one call: up to 24,000 rollups, some tens of MB in a large org."""
DEFAULT_EDGES = 500
MAX_EDGES = 5_000
"""Of one answer: 2 MB."""

_DIRECTIONS = {"I": "inbound", "O": "outbound"}


def traffic_map(caller: Caller, query: Mapping[str, str], stores: Stores) -> dict[str, Any]:
    """Edges of the hours from ``start_date`` to ``end_date`` (whole hours; the last day without
    them), those with most connections first, at most ``max_results``.

    Raises :class:`Invalid` for dates that make no sense. One query per MB of rollups.
    """
    end = _time(query, "end_date", caller.now_s)
    start = _time(query, "start_date", end - DEFAULT_SPAN_S)
    if not start <= end <= start + LONGEST_SPAN_S:
        message = f"end_date must lie after start_date, by {LONGEST_SPAN_S // 86_400} days at most"
        raise Invalid(Problem("invalid_date_range", message, "end_date"))
    limit = _limit(query)
    stored = stores.rollups.between(caller.org_id, start, end)
    found = together(unpack_rollup(one.body) for one in stored)
    rest = found.pop(REST, None)
    ranked = sorted(found.items(), key=lambda row: -row[1].connections)
    return {
        "edges": [_edge(caller.org_id, edge, sums) for edge, sums in ranked[:limit]],
        "total_edges": len(ranked),
        "other_connections": rest.connections if rest else 0,
    }


def _time(query: Mapping[str, str], name: str, default: int) -> int:
    return int(time_of(query[name], name).timestamp()) if query.get(name) else default


def _limit(query: Mapping[str, str]) -> int:
    if not query.get("max_results"):
        return DEFAULT_EDGES
    limit = whole_number(query["max_results"], "max_results")
    if not 0 < limit <= MAX_EDGES:
        raise MalformedParameter("max_results", query["max_results"], f"1 to {MAX_EDGES}")
    return limit


def _edge(org_id: OrgId, edge: Edge, sums: Sums) -> dict[str, Any]:
    return {
        "src": _end(org_id, edge.src),
        "dst": _end(org_id, edge.dst),
        "service": {"proto": edge.proto, **({"port": edge.port} if edge.port else {})},
        "policy_decision": DECISIONS[edge.pd],
        "flow_direction": _DIRECTIONS[edge.dir],
        "num_connections": sums.connections,
        "dst_dbi": sums.dbi,
        "dst_dbo": sums.dbo,
    }


def _end(org_id: OrgId, end: End) -> dict[str, Any]:
    """Labels of the workloads; ``unknown`` for addresses that were nobody's."""
    if end is None:
        return {"unknown": True}
    return {
        "labels": [
            {"href": f"/orgs/{org_id}/labels/{label.id}", "key": label.key, "value": label.value}
            for label in end
        ]
    }
