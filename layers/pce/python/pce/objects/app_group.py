"""Application groups: what shares application, environment and location. They are not stored:
whoever has these labels is in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pce.identifiers import tail
from pce.objects.workload import ENFORCEMENT_MODES, VISIBILITY_LEVELS

KEYS = ("app", "env", "loc")
"""Dimensions that make a group; a workload without an application is in none."""

Document = Mapping[str, Any]


def groups(
    labelled: Iterable[Document], labels: Mapping[str, Document]
) -> dict[str, list[Document]]:
    """Id of each group (``1x4x7``: the ids of its labels, in the order of :data:`KEYS`) to those of
    the documents that are in it. ``labels`` by href."""
    found: dict[str, list[Document]] = defaultdict(list)
    for document in labelled:
        of_key = {
            labels[label["href"]]["key"]: tail(label["href"])
            for label in document.get("labels") or ()
            if label["href"] in labels
        }
        if "app" in of_key:
            found["x".join(of_key[key] for key in KEYS if key in of_key)].append(document)
    return dict(found)


@dataclass(frozen=True)
class Members:
    """Who is in a group."""

    workloads: Sequence[Document] = ()
    container_workloads: Sequence[Document] = ()
    virtual_services: Sequence[Document] = ()
    virtual_servers: Sequence[Document] = ()


def node(id: str, org_href: str, members: Members) -> dict[str, Any]:
    """One group of the summary: counts by enforcement mode and visibility level, in the order in
    which the summary names them."""
    modes = [workload["enforcement_mode"] for workload in members.workloads]
    levels = [workload["visibility_level"] for workload in members.workloads]
    of_containers = [container["enforcement_mode"] for container in members.container_workloads]
    return {
        "type": "app_group",
        "href": f"{org_href}/app_groups/{id}",
        "label_ids": [int(label) for label in id.split("x")],
        "num_workloads": len(members.workloads),
        "num_container_workloads": len(members.container_workloads),
        "num_virtual_services": len(members.virtual_services),
        "num_virtual_servers": len(members.virtual_servers),
        "mode": [modes.count(mode) for mode in ENFORCEMENT_MODES],
        "container_workload_mode": [of_containers.count(mode) for mode in ENFORCEMENT_MODES],
        "visibility_level": [levels.count(level) for level in VISIBILITY_LEVELS],
        "caps": {"workloads": ["read"]},
    }
