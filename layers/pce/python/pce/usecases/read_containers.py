"""Read container workloads, joined with the profile of their namespace and with their host."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pce.identifiers import OrgId, is_container_id, tail
from pce.objects.container_workload import COLLECTION, choices, managed
from pce.objects.container_workload_profile import CONTAINER_WORKLOAD_PROFILES
from pce.objects.hrefs import item_id
from pce.objects.label import LABELS
from pce.objects.workload import WORKLOADS
from pce.usecases.stores import Stores

Document = Mapping[str, Any]

HOSTS = (WORKLOADS.name, COLLECTION)
"""Collections whose objects have addresses and policy: hosts, and containers."""


@dataclass(frozen=True)
class Joined:
    """A managed container workload, and what it was joined from."""

    stored: Document
    profile: Document
    document: Document
    """As policy sees it."""


def join_containers(org_id: OrgId, stored: Iterable[Document], stores: Stores) -> list[Joined]:
    """Those of the stored container workloads that are managed. Batch reads of their profiles,
    their hosts, and the labels that pods may choose among."""
    containers = list(stored)
    profiles = _named(org_id, CONTAINER_WORKLOAD_PROFILES.name, containers, stores)
    hosts = _named(org_id, WORKLOADS.name, containers, stores)
    labels = stores.objects.get_many(
        org_id,
        LABELS.name,
        sorted({item_id(tail(href)) for each in profiles.values() for href in choices(each)}),
    )
    values = {str(s.document["href"]): str(s.document["value"]) for s in labels.values()}
    joined = []
    for container in containers:
        profile = profiles.get(tail(container["container_workload_profile"]["href"]))
        document = managed(container, profile, hosts.get(tail(container["ven"]["href"])), values)
        if profile and document:
            joined.append(Joined(container, profile, document))
    return joined


_REFERENCES = {
    CONTAINER_WORKLOAD_PROFILES.name: "container_workload_profile",
    WORKLOADS.name: "ven",  # a VEN and its workload share an id
}


def _named(
    org_id: OrgId, collection: str, containers: Iterable[Document], stores: Stores
) -> dict[str, Document]:
    ids = sorted({tail(each[_REFERENCES[collection]]["href"]) for each in containers})
    found = stores.objects.get_many(org_id, collection, ids)
    return {id: stored.document for id, stored in found.items()}


def all_containers(org_id: OrgId, stores: Stores) -> list[Joined]:
    """All managed container workloads of an org. One query per MB, and two batch reads."""
    stored = stores.objects.all_of(org_id, COLLECTION)
    return join_containers(org_id, (each.document for each in stored), stores)


def workloads_by_id(org_id: OrgId, ids: Iterable[str], stores: Stores) -> dict[str, dict[str, Any]]:
    """Workloads by id, deleted ones too, and container workloads that are managed; ids that do not
    exist are left out. A batch read per 100, and :func:`join_containers` where there are any."""
    wanted = sorted(set(ids))
    hosts = [id for id in wanted if not is_container_id(id)]
    found = stores.objects.get_many(org_id, WORKLOADS.name, hosts)
    known = {id: stored.document for id, stored in found.items()}
    if len(hosts) < len(wanted):
        ids = [id for id in wanted if is_container_id(id)]
        read = stores.objects.get_many(org_id, COLLECTION, ids)
        joined = join_containers(org_id, (stored.document for stored in read.values()), stores)
        known |= {tail(each.stored["href"]): dict(each.document) for each in joined}
    return known
