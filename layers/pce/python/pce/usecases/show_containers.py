"""Container workloads, and clusters with their hosts, as the management API shows them."""

import uuid
from collections.abc import Mapping
from typing import Any

from pce.errors import NotFound, Problem
from pce.identifiers import tail
from pce.objects.container_cluster import CONTAINER_CLUSTERS, with_hosts
from pce.objects.container_workload import COLLECTION, FILTERS, shown
from pce.objects.filters import exact_first, matching
from pce.objects.shown import referred_to, with_names
from pce.objects.workload import WORKLOADS
from pce.timestamps import rfc3339
from pce.usecases.caller import Caller
from pce.usecases.current_etag import current_etag
from pce.usecases.name_references import by_href
from pce.usecases.read_containers import Joined, all_containers, join_containers
from pce.usecases.read_objects import Page, Query
from pce.usecases.stores import Stores


def list_containers(caller: Caller, query: Query, stores: Stores, limit: int | None) -> Page:
    """GET container_workloads: those that match. Reads all, their hosts, profiles and presence."""
    everything = _shown(caller, all_containers(caller.org_id, stores), stores)
    matched = exact_first(matching(everything, FILTERS, query), ("name",), query)
    return Page([dict(each) for each in matched[:limit]], len(matched))


def get_container(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One managed container workload. Raises :class:`NotFound`."""
    stored = stores.objects.get(caller.org_id, COLLECTION, id)
    joined = join_containers(caller.org_id, [stored.document] if stored else [], stores)
    for each in _shown(caller, joined, stores):
        return each
    raise NotFound(Problem("container_workload_not_found", f"there is no container_workload {id}"))


def _shown(caller: Caller, joined: list[Joined], stores: Stores) -> list[dict[str, Any]]:
    hrefs = {each.stored["container_cluster"]["href"] for each in joined}
    clusters = by_href(caller, CONTAINER_CLUSTERS.name, hrefs, stores)
    ids = [uuid.UUID(tail(each.stored["href"])) for each in joined]
    rows = stores.presence.get_many(caller.org_id, ids)
    documents = []
    for id, each in zip(ids, joined, strict=True):
        row = rows.get(id)
        held = row.applied_etag if row else ""
        etags = (current_etag(row, held, stores) if row else "", held)
        named: Mapping[str, Any] = each.stored["container_cluster"]
        cluster = clusters.get(named["href"], named)
        documents.append(shown(each.stored, each.document, cluster, each.profile, etags))
    labels = by_href(caller, "labels", referred_to(documents, "labels"), stores)
    return [with_names(document, "labels", labels) for document in documents]


def clusters_with_hosts(
    caller: Caller, clusters: list[dict[str, Any]], stores: Stores
) -> list[dict[str, Any]]:
    """The clusters with their nodes, and when one of them was heard last. Reads all workloads, and
    the presence row of each container host."""
    if not clusters:
        return clusters
    hosts: dict[str, dict[uuid.UUID, Mapping[str, Any]]] = {c["href"]: {} for c in clusters}
    for stored in stores.objects.all_of(caller.org_id, WORKLOADS.name):
        href = (stored.document.get("container_cluster") or {}).get("href")
        if href in hosts and not stored.document.get("deleted"):
            hosts[href][uuid.UUID(stored.id)] = stored.document
    shown = []
    for cluster in clusters:
        of_cluster = hosts[cluster["href"]]
        rows = stores.presence.get_many(caller.org_id, list(of_cluster)).values()
        heard = max((rfc3339(row.last_heartbeat) for row in rows), default=None)
        shown.append(with_hosts(cluster, of_cluster.values(), heard))
    return shown
