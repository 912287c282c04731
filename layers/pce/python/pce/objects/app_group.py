"""Application groups: the workloads that share application, environment and location. They are not
stored: whoever has these labels is in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pce.identifiers import tail
from pce.objects.workload import ENFORCEMENT_MODES, VISIBILITY_LEVELS

KEYS = ("app", "env", "loc")
"""Dimensions that make a group; a workload without an application is in none."""

Document = Mapping[str, Any]


def groups(
    workloads: Iterable[Document], labels: Mapping[str, Document]
) -> dict[str, list[Document]]:
    """Id of each group (``1x4x7``: the ids of its labels, in the order of :data:`KEYS`) to its
    workloads. ``labels`` by href."""
    found: dict[str, list[Document]] = defaultdict(list)
    for workload in workloads:
        of_key = {
            labels[label["href"]]["key"]: tail(label["href"])
            for label in workload.get("labels") or ()
            if label["href"] in labels
        }
        if "app" in of_key:
            found["x".join(of_key[key] for key in KEYS if key in of_key)].append(workload)
    return dict(found)


def node(id: str, org_href: str, workloads: Iterable[Document]) -> dict[str, Any]:
    """One group of the summary: counts by enforcement mode and visibility level, in the order in
    which the summary names them."""
    members = list(workloads)
    modes = [workload["enforcement_mode"] for workload in members]
    levels = [workload["visibility_level"] for workload in members]
    return {
        "type": "app_group",
        "href": f"{org_href}/app_groups/{id}",
        "label_ids": [int(label) for label in id.split("x")],
        "num_workloads": len(members),
        "num_container_workloads": 0,
        "num_virtual_services": 0,
        "num_virtual_servers": 0,
        "mode": [modes.count(mode) for mode in ENFORCEMENT_MODES],
        "container_workload_mode": [0 for _ in ENFORCEMENT_MODES],
        "visibility_level": [levels.count(level) for level in VISIBILITY_LEVELS],
        "caps": {"workloads": ["read"]},
    }
