"""Delete a container cluster, with the profiles in it."""

from pce.objects.container_cluster import CONTAINER_CLUSTERS
from pce.objects.container_workload_profile import CONTAINER_WORKLOAD_PROFILES
from pce.usecases.caller import Caller
from pce.usecases.delete_object import deletion
from pce.usecases.stores import Stores
from pce.usecases.write_object import commit_edits, find, until_settled

DELETED_TOGETHER = 90
"""Profiles in one transaction of at most 100 items."""


def delete_container_cluster(caller: Caller, id: str, stores: Stores) -> None:
    """Delete it, the cluster last: what a failure leaves over can be deleted again.

    Raises :class:`NotFound`. Cost: reads all profiles of the org.
    """
    until_settled(lambda: _delete(caller, id, stores))


def _delete(caller: Caller, id: str, stores: Stores) -> None:
    cluster = find(caller, CONTAINER_CLUSTERS, id, stores)
    under = f"{cluster.document['href']}/"
    edits = [
        deletion(caller, CONTAINER_WORKLOAD_PROFILES, stored)
        for stored in stores.objects.all_of(caller.org_id, CONTAINER_WORKLOAD_PROFILES.name)
        if stored.document["href"].startswith(under)
    ]
    edits.append(deletion(caller, CONTAINER_CLUSTERS, cluster))
    for at in range(0, len(edits), DELETED_TOGETHER):
        batch = edits[at : at + DELETED_TOGETHER]
        commit_edits(caller, batch, "container_cluster.delete", 204, stores)
