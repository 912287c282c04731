"""Create a container cluster: with its default profile, and the token of its agents."""

import secrets
from typing import Any

from pce.errors import Invalid
from pce.objects.container_cluster import CONTAINER_CLUSTERS, token_hash
from pce.objects.container_workload_profile import CONTAINER_WORKLOAD_PROFILES, DEFAULT_NAME
from pce.store.objects import ClaimTaken
from pce.usecases.caller import Caller
from pce.usecases.create_object import creation, identified
from pce.usecases.stores import Stores
from pce.usecases.write_object import commit_edits, not_unique


def create_container_cluster(
    caller: Caller, body: Any, stores: Stores
) -> tuple[dict[str, Any], str]:
    """The new cluster as it is stored, and its token, which is never shown again.

    Raises :class:`Invalid` with everything that is wrong, a taken name included.
    """
    token = f"{caller.org_id}_{secrets.token_hex(32)}"
    document = CONTAINER_CLUSTERS.new_document(body) | {"token_hash": token_hash(token)}
    cluster = identified(caller, CONTAINER_CLUSTERS, document, stores)
    profile = CONTAINER_WORKLOAD_PROFILES.new_document({"name": DEFAULT_NAME})
    profile = identified(
        caller,
        CONTAINER_WORKLOAD_PROFILES,
        {**profile, "is_default": True},
        stores,
        under=cluster["href"],
    )
    edits = [
        creation(CONTAINER_CLUSTERS, cluster),
        creation(CONTAINER_WORKLOAD_PROFILES, profile),
    ]
    try:
        commit_edits(caller, edits, "container_cluster.create", 201, stores)
    except ClaimTaken as error:
        raise Invalid(not_unique(CONTAINER_CLUSTERS)) from error
    return cluster, token
