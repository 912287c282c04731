"""Container clusters: Kubernetes or OpenShift clusters, whose agents report what runs in them."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, Shape, Text
from pce.objects.filters import contains, equals


def _displayed(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The cluster with what its agents will have reported; they have not yet."""
    return {
        "pce_fqdn": None,
        "manager_type": None,
        "last_connected": None,
        "kubelink_version": None,
        "online": False,
        "nodes": [],
        "container_runtime": None,
        "errors": [],
        **cluster,
    }


CONTAINER_CLUSTERS = Collection(
    name="container_clusters",
    kind="container_cluster",
    shape=Shape({"name": Text(), "description": Text(MAX_TEXT), **EXTERNAL_DATA}, ("name",)),
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "delete"),
    display=_displayed,
    private=("token_hash",),
)


def with_hosts(
    shown: Mapping[str, Any], hosts: Iterable[Mapping[str, Any]], last_connected: str | None
) -> dict[str, Any]:
    """A cluster as it is shown, with its hosts (workloads) and when one of them was heard last.

    Pods get their addresses from networks that no VEN knows the prefix of: ``pod_subnet`` is null.
    """
    nodes = sorted(hosts, key=lambda host: str(host.get("hostname")))
    return {
        **shown,
        "online": any(host.get("online") for host in nodes),
        "nodes": [{"name": host.get("hostname"), "pod_subnet": None} for host in nodes],
        "last_connected": last_connected,
    }


def token_hash(token: str) -> str:
    """The form in which a cluster's token is kept. It is random, so no salt is needed; the token
    itself is shown once, when the cluster is created."""
    return hashlib.sha256(token.encode()).hexdigest()
