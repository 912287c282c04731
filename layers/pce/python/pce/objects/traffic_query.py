"""Traffic queries as clients see them while they run and when they are done."""

from collections.abc import Mapping
from typing import Any

from pce.timestamps import rfc3339

KEPT_S = 86_400
"""Seconds that a query and its result are kept: clients fetch within minutes."""
FINAL = ("completed", "failed", "cancelled")
"""States that a query does not leave; clients poll until they see one of them."""


def new_query(href: str, parameters: Mapping[str, Any], by: str, now: int) -> dict[str, Any]:
    """A query that waits for its worker. ``kept_until`` is epoch seconds, and not shown."""
    at = rfc3339(now)
    return {
        "href": href,
        "query_parameters": dict(parameters),
        "status": "queued",
        "result": None,
        "matches_count": None,
        "flows_count": None,
        "regions": [],
        "rules": None,
        "created_at": at,
        "created_by": {"href": by},
        "updated_at": at,
        "kept_until": now + KEPT_S,
    }


def completed(
    query: Mapping[str, Any], pce_fqdn: str, flows: int, matches: int, *, whole: bool, now: int
) -> dict[str, Any]:
    """The query with its result. ``whole`` False: reading stopped early, and more may match."""
    region = {
        "pce_fqdn": pce_fqdn,
        "responded": True,
        "flows_count": flows,
        "matches_count": matches,
    }
    return {
        **query,
        "status": "completed",
        "result": f"{query['href']}/download",
        "flows_count": flows,
        "matches_count": matches,
        "regions": [region],
        "truncated": not whole,
        "updated_at": rfc3339(now),
    }


def shown(query: Mapping[str, Any]) -> dict[str, Any]:
    """What clients see of a stored query."""
    return {name: value for name, value in query.items() if name != "kept_until"}


def drafts_asked(query: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The query whose draft decisions wait for the worker."""
    return {**query, "rules": "queued", "updated_at": rfc3339(now)}


def drafts_decided(
    query: Mapping[str, Any], now: int, failure: str | None = None
) -> dict[str, Any]:
    """The query whose records carry draft decisions; or why they do not."""
    state = {"rules": "completed"} if failure is None else {"rules": "failed", "message": failure}
    return {**query, **state, "updated_at": rfc3339(now)}
