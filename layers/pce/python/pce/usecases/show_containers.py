"""Container workloads, and clusters with their hosts, as the management API shows them."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from pce.errors import NotFound, Problem
from pce.identifiers import tail
from pce.objects.container_cluster import CONTAINER_CLUSTERS, with_hosts
from pce.objects.container_workload import COLLECTION, FILTERS, backend, shown
from pce.objects.filters import first_matching
from pce.objects.service_binding import SERVICE_BINDINGS
from pce.objects.shown import referred_to, with_names
from pce.objects.workload import WORKLOADS
from pce.timestamps import rfc3339
from pce.usecases.caller import Caller
from pce.usecases.current_etag import current_etag
from pce.usecases.find_workloads import workload_facts
from pce.usecases.name_references import by_href
from pce.usecases.read_containers import Joined, all_containers, join_containers
from pce.usecases.read_objects import Page, Query
from pce.usecases.stores import Stores


def list_containers(caller: Caller, query: Query, stores: Stores, limit: int | None) -> Page:
    """GET container_workloads: those that match. Reads all, their hosts and their profiles;
    presence of those that are shown."""
    joined = {str(each.stored["href"]): each for each in all_containers(caller.org_id, stores)}
    # Nothing is filtered by what is not known yet: the cluster's name, and the state of policy.
    known = (
        shown(each.stored, each.document, each.stored["container_cluster"], each.profile, ("", ""))
        for each in joined.values()
    )
    page, total = first_matching(known, FILTERS, ("name",), query, limit)
    return Page(_shown(caller, [joined[each["href"]] for each in page], stores), total)


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


def service_backends(caller: Caller, cluster_href: str, stores: Stores) -> list[dict[str, Any]]:
    """What runs the virtual services of one cluster: its pods that are bound to one, by the name of
    the service and then their own. Reads all bindings of the org, and the pods that they name."""
    bindings = [
        stored.document
        for stored in stores.objects.all_of(caller.org_id, SERVICE_BINDINGS.name)
        if stored.document.get("container_workload")
    ]
    named = {binding["container_workload"]["href"] for binding in bindings}
    pods = by_href(caller, COLLECTION, named, stores)
    ids = sorted({tail(binding["virtual_service"]["href"]) for binding in bindings})
    services = stores.objects.get_many(caller.org_id, "draft#virtual_services", ids)
    found = []
    for binding in bindings:
        pod = pods.get(binding["container_workload"]["href"])
        service = services.get(tail(binding["virtual_service"]["href"]))
        if pod and pod["container_cluster"]["href"] == cluster_href:
            found.append(backend(pod, binding, service.document if service else {}))
    return sorted(found, key=lambda each: (each["virtual_service"]["name"] or "", each["name"]))


def clusters_with_hosts(
    caller: Caller, clusters: list[dict[str, Any]], stores: Stores
) -> list[dict[str, Any]]:
    """The clusters with their nodes, and when one of them was heard last. Reads the index of
    workloads (or all, without one), the container hosts, and the presence row of each."""
    if not clusters:
        return clusters
    hosts: dict[str, dict[uuid.UUID, Mapping[str, Any]]] = {c["href"]: {} for c in clusters}
    for document in _container_hosts(caller, stores):
        href = (document.get("container_cluster") or {}).get("href")
        if href in hosts and not document.get("deleted"):
            hosts[href][uuid.UUID(tail(document["href"]))] = document
    shown = []
    for cluster in clusters:
        of_cluster = hosts[cluster["href"]]
        rows = stores.presence.get_many(caller.org_id, list(of_cluster)).values()
        heard = max((rfc3339(row.last_heartbeat) for row in rows), default=None)
        shown.append(with_hosts(cluster, of_cluster.values(), heard))
    return shown


def _container_hosts(caller: Caller, stores: Stores) -> Iterator[Mapping[str, Any]]:
    """The workloads that are container hosts, and maybe others."""
    known = workload_facts(caller.org_id, stores)
    if known is None:
        stored = stores.objects.one_by_one(caller.org_id, WORKLOADS.name)
        return (each.document for each in stored)
    # What changed since the last compile is known as its document.
    ids = [
        id
        for id, facts in known.items()
        if facts.get("container_host") or facts.get("container_cluster")
    ]
    read = stores.objects.get_many(caller.org_id, WORKLOADS.name, ids)
    return (each.document for each in read.values())
