"""How many VENs are in which state: what a dashboard shows of a fleet."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import tail
from pce.objects.workload_shown import Host
from pce.usecases.caller import Caller
from pce.usecases.read_hosts import every_host, hosts_by_id
from pce.usecases.stores import Stores


def count_vens(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """Counts over the VENs under ``vens`` (objects with an href), or over all.

    ``total``, ``online``, and counts by ``status``, ``health`` (``healthy``, ``warning``,
    ``error``), ``version``, ``os_platform`` and ``condition``. Reads all VENs, workloads and
    presence, or those that are named. Raises :class:`Invalid`.
    """
    wanted = _ids(body)
    hosts = every_host(caller, stores) if wanted is None else hosts_by_id(caller, wanted, stores)
    vens = [
        _counted(host, host.ven)
        for host in hosts
        if host.ven is not None and not host.ven.get("deleted")
    ]
    return {
        "total": len(vens),
        "online": sum(ven["online"] for ven in vens),
        **{
            name: Counter(ven[name] for ven in vens)
            for name in ("status", "health", "version", "os_platform")
        },
        "condition": Counter(condition for ven in vens for condition in ven["conditions"]),
    }


def _counted(host: Host, ven: Mapping[str, Any]) -> dict[str, Any]:
    conditions = host.conditions()
    return {
        "online": bool(host.workload.get("online")),
        "status": host.status,
        "health": _health(conditions),
        "version": ven.get("version") or "unknown",
        "os_platform": ven.get("os_platform") or "unknown",
        "conditions": [each["latest_event"]["notification_type"] for each in conditions],
    }


def _health(conditions: Iterable[Mapping[str, Any]]) -> str:
    severities = {condition["latest_event"]["severity"] for condition in conditions}
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
