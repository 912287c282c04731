"""What the endpoints of container clusters and of service bindings do."""

from typing import Any

from pce.identifiers import tail
from pce.objects.container_cluster import CONTAINER_CLUSTERS
from pce.objects.container_workload_profile import CONTAINER_WORKLOAD_PROFILES
from pce.runtime.api_call import Call, created, listed, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import read_objects
from pce.usecases.bind_service import bind_service
from pce.usecases.create_container_cluster import create_container_cluster
from pce.usecases.create_object import create_object
from pce.usecases.delete_container_cluster import delete_container_cluster
from pce.usecases.delete_object import delete_object
from pce.usecases.read_objects import Page
from pce.usecases.show_containers import (
    clusters_with_hosts,
    get_container,
    list_containers,
    service_backends,
)
from pce.usecases.update_object import update_object
from pce.usecases.write_object import not_found


def create_cluster(call: Call) -> Reply:
    """POST container_clusters: 201 with the token, which is shown only here."""
    cluster, token = create_container_cluster(call.caller, call.body, call.stores)
    return created({**CONTAINER_CLUSTERS.shown(cluster), "container_cluster_token": token})


def list_clusters(call: Call) -> Reply:
    """GET container_clusters."""

    def page(limit: int | None) -> Page:
        found = read_objects.list_objects(
            call.caller, CONTAINER_CLUSTERS, call.query, call.stores, limit
        )
        return Page(clusters_with_hosts(call.caller, found.documents, call.stores), found.total)

    return listed(call, page)


def get_cluster(call: Call) -> Reply:
    """GET container_clusters/{id}."""
    cluster = read_objects.get_object(call.caller, CONTAINER_CLUSTERS, call.id, {}, call.stores)
    return ok(clusters_with_hosts(call.caller, [cluster], call.stores)[0])


def list_container_workloads(call: Call) -> Reply:
    """GET container_workloads."""
    return listed(call, lambda limit: list_containers(call.caller, call.query, call.stores, limit))


def get_container_workload(call: Call) -> Reply:
    """GET container_workloads/{id}."""
    return ok(get_container(call.caller, call.id, call.stores))


def delete_cluster(call: Call) -> Reply:
    """DELETE container_clusters/{id}."""
    delete_container_cluster(call.caller, call.id, call.stores)
    return no_content()


def _cluster_href(call: Call) -> str:
    """The cluster in the path. Raises :class:`NotFound` when there is none."""
    cluster = read_objects.get_object(
        call.caller, CONTAINER_CLUSTERS, call.path["cluster"], {}, call.stores
    )
    return str(cluster["href"])


def list_profiles(call: Call) -> Reply:
    """GET the profiles of a cluster."""
    under = _cluster_href(call)
    return listed(
        call,
        lambda limit: read_objects.list_objects(
            call.caller, CONTAINER_WORKLOAD_PROFILES, call.query, call.stores, limit, under
        ),
    )


def create_profile(call: Call) -> Reply:
    """POST a profile into a cluster."""
    profile = create_object(
        call.caller, CONTAINER_WORKLOAD_PROFILES, call.body, call.stores, _cluster_href(call)
    )
    return created(_profile(call, tail(profile["href"])))


def _profile(call: Call, id: str) -> dict[str, Any]:
    """A profile of the cluster in the path. Raises :class:`NotFound` for one of another."""
    profile = read_objects.get_object(call.caller, CONTAINER_WORKLOAD_PROFILES, id, {}, call.stores)
    if not profile["href"].startswith(f"{_cluster_href(call)}/"):
        raise not_found(CONTAINER_WORKLOAD_PROFILES, id)
    return profile


def get_profile(call: Call) -> Reply:
    """GET one profile."""
    return ok(_profile(call, call.id))


def update_profile(call: Call) -> Reply:
    """PUT one profile."""
    _profile(call, call.id)
    update_object(call.caller, CONTAINER_WORKLOAD_PROFILES, call.id, call.body, call.stores)
    return no_content()


def delete_profile(call: Call) -> Reply:
    """DELETE one profile."""
    _profile(call, call.id)
    delete_object(call.caller, CONTAINER_WORKLOAD_PROFILES, call.id, call.stores)
    return no_content()


def list_service_backends(call: Call) -> Reply:
    """GET what runs the virtual services of a cluster."""
    return whole(call, service_backends(call.caller, _cluster_href(call), call.stores))


def create_bindings(call: Call) -> Reply:
    """POST service_bindings: 201 with one result per entry; entries that failed have no href."""
    return created(bind_service(call.caller, call.body, call.stores))
