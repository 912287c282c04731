"""How many VENs are in which state: what a dashboard shows of a fleet."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import tail
from pce.usecases.caller import Caller
from pce.usecases.read_hosts import list_vens
from pce.usecases.stores import Stores


def count_vens(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """Counts over the VENs under ``vens`` (objects with an href), or over all.

    ``total``, ``online``, and counts by ``status``, ``health`` (``healthy``, ``warning``,
    ``error``), ``version``, ``os_platform`` and ``condition``. Reads all VENs, workloads and
    presence. Raises :class:`Invalid`.
    """
    wanted = _ids(body)
    vens = [
        ven
        for ven in list_vens(caller, {}, stores, None).documents
        if wanted is None or tail(ven["href"]) in wanted
    ]
    return {
        "total": len(vens),
        "online": sum(bool(workload["online"]) for ven in vens for workload in ven["workloads"]),
        "status": Counter(ven["status"] for ven in vens),
        "health": Counter(_health(ven) for ven in vens),
        "version": Counter(ven.get("version") or "unknown" for ven in vens),
        "os_platform": Counter(ven.get("os_platform") or "unknown" for ven in vens),
        "condition": Counter(
            condition["latest_event"]["notification_type"]
            for ven in vens
            for condition in ven["conditions"]
        ),
    }


def _health(ven: Mapping[str, Any]) -> str:
    severities = {condition["latest_event"]["severity"] for condition in ven["conditions"]}
    if severities & {"err", "error"}:
        return "error"
    return "warning" if severities else "healthy"


def _ids(body: Any) -> set[str] | None:
    listed = body.get("vens") if isinstance(body, Mapping) else None
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(
        isinstance(each, Mapping) and isinstance(each.get("href"), str) for each in listed
    ):
        raise Invalid(
            Problem("invalid_attribute", "vens must be a list of objects with an href", "vens")
        )
    return {tail(each["href"]) for each in listed}
