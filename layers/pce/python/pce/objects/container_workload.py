"""Container workloads: pods or containers with a network of their own, reported by their host.

What is stored under a container workload's id is what its host said. Its labels, mode and
visibility are those of the profile of its namespace, its fate is that of its host: both are joined
when it is read (:func:`managed`), so that one write to a profile, or the host's going offline,
changes them all at once.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pce.identifiers import OrgId, ven_href, workload_href
from pce.objects.container_workload_profile import CONTAINER_WORKLOAD_PROFILES
from pce.objects.filters import MakeFilter, contains, equals, flag, has_address, has_labels
from pce.objects.workload import interface_shown
from ven_protocol.messages import ContainerWorkload

Document = Mapping[str, Any]

DEFAULT_NAMESPACE = "default"
"""Of containers whose runtime knows no namespaces; it is what Kubernetes calls it."""

COLLECTION = "container_workloads"
"""Where they are stored, and the last part of their path. Clients only read them."""

FILTERS: dict[str, MakeFilter] = {
    "name": contains("name"),
    "namespace": contains("namespace"),
    "labels": has_labels,
    "ip_address": has_address,
    "online": flag("online"),
    "enforcement_mode": equals("enforcement_mode"),
    "visibility_level": equals("visibility_level"),
    "container_cluster": equals("container_cluster"),
    "container_workload_profile": equals("container_workload_profile"),
    "ven": equals("ven"),
}
"""On container workloads as they are shown."""


def reported(
    org_id: OrgId,
    host_id: uuid.UUID,
    id: uuid.UUID,
    said: ContainerWorkload,
    cluster_href: str,
    profile_href: str,
) -> dict[str, Any]:
    """What is stored of one container workload."""
    return {
        "href": workload_href(org_id, id),
        "name": said.name,
        "hostname": said.name,
        "namespace": said.namespace or DEFAULT_NAMESPACE,
        "image": said.image,
        "interfaces": msgspec.to_builtins(said.interfaces),
        "wished_labels": dict(sorted(said.labels.items())),
        "ven": {"href": ven_href(org_id, host_id)},
        "container_cluster": {"href": cluster_href},
        "container_workload_profile": {"href": profile_href},
    }


def managed(
    stored: Document,
    profile: Document | None,
    host: Document | None,
    label_values: Mapping[str, str],
) -> Document | None:
    """A container workload as policy and people see it; None when there is none: its namespace is
    not managed, or its host was unpaired. ``label_values``: of the labels that the profile lets
    pods choose, by href."""
    if not profile or not profile.get("managed") or not host or host.get("deleted"):
        return None
    return {
        **{name: value for name, value in stored.items() if name not in _JOINED},
        "managed": True,
        "online": bool(host.get("online")),
        "labels": [{"href": href} for href in _labels(profile, stored, label_values)],
        "enforcement_mode": profile["enforcement_mode"],
        "visibility_level": profile["visibility_level"],
        "os_type": host.get("os_type"),
        "ven_version": host.get("ven_version"),
        "ven_type": host.get("ven_type"),
    }


_JOINED = ("container_cluster", "wished_labels")
"""``container_cluster`` stands in the documents of hosts; containers are no container hosts."""


def choices(profile: Document) -> Iterator[str]:
    """Hrefs of the labels that a profile lets pods choose among."""
    for entry in profile.get("labels") or ():
        yield from (label["href"] for label in entry.get("restriction") or ())


def _labels(profile: Document, stored: Document, label_values: Mapping[str, str]) -> Iterable[str]:
    """The labels that a profile assigns, and those of the pod's wishes that it lets it choose."""
    if not profile.get("labels"):
        return [label["href"] for label in profile.get("assign_labels") or ()]
    chosen = []
    for entry in profile["labels"]:
        wish = stored["wished_labels"].get(entry["key"])
        if entry.get("assignment"):
            chosen.append(entry["assignment"]["href"])
        allowed = [label["href"] for label in entry.get("restriction") or ()]
        chosen += [href for href in allowed if wish and label_values.get(href) == wish]
    return chosen


def new_profile(template: Document, namespace: str) -> dict[str, Any]:
    """The profile of a namespace that was not seen before: what the cluster's default profile says
    (without href and authorship)."""
    return {
        **{name: template.get(name) for name in CONTAINER_WORKLOAD_PROFILES.shape.fields},
        "name": None,
        "description": None,
        "visibility_level": template["visibility_level"],
        "namespace": namespace,
        "linked": True,
        "is_default": False,
    }


def shown(
    stored: Document,
    managed: Document,
    cluster: Document,
    profile: Document,
    etags: tuple[str, str],
) -> dict[str, Any]:
    """A managed container workload as clients see it; ``etags``: of the policy that it should hold,
    and that it holds."""
    wanted, held = etags
    return {
        **{name: value for name, value in managed.items() if name not in ("ven_type",)},
        "interfaces": [interface_shown(i, managed=True) for i in stored["interfaces"]],
        "container_cluster": {"href": cluster["href"], "name": cluster.get("name")},
        "container_workload_profile": {
            "href": profile["href"],
            "name": profile.get("name") or profile.get("namespace"),
        },
        "security_policy_sync_state": "applied" if wanted and wanted == held else "syncing",
        "caps": [],
    }


def backend(stored: Document, binding: Document, service: Document) -> dict[str, Any]:
    """A container workload that runs a virtual service, as an entry of ``service_backends``."""
    return {
        "name": stored["name"],
        "kind": "Pod",
        "namespace": stored["namespace"],
        "created_at": binding.get("created_at"),
        "updated_at": binding.get("updated_at"),
        "virtual_service": {
            "href": binding["virtual_service"]["href"],
            "name": service.get("name"),
        },
    }
