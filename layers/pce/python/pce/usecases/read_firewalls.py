"""What the active firewall settings mean for workloads that are shown."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.identifiers import OrgId, tail
from pce.objects.firewall_settings import SCOPED
from pce.objects.hrefs import item_id
from pce.objects.policy_version import references
from pce.policy.estate_from_documents import Surroundings, estate_from_documents, workload_of
from pce.policy.kinds import Kinds
from pce.usecases.stores import Stores
from ven_protocol.policy import Firewall

Document = Mapping[str, Any]


def read_firewalls(
    org_id: OrgId, workloads: Iterable[Document], stores: Stores
) -> dict[str, Firewall]:
    """Each workload's firewall by the settings in force, by href; none where no setting tells
    workloads apart, since all then have the same.

    Cost: one read of the active version's head, and of its settings when they are new to this
    process; with scopes also of the label groups, and one per 100 labels of the workloads.
    """
    head = stores.policy_versions.head(org_id)
    settings = stores.policy_versions.documents(org_id, head.manifest, ["firewall_settings"])
    if not any(document.get(name) for document in settings["firewall_settings"] for name in SCOPED):
        return {}
    workloads = list(workloads)
    groups = stores.policy_versions.documents(org_id, head.manifest, ["label_groups"])
    active = {**settings, **groups}
    named = {item_id(tail(href)) for href in references([active, workloads]) if "/labels/" in href}
    labels = [s.document for s in stores.objects.get_many(org_id, "labels", sorted(named)).values()]
    estate = estate_from_documents([], labels, active)
    kinds = Kinds.of_estate(estate, lambda where, what: None)
    around = Surroundings(estate.label_keys, {})
    return {w["href"]: kinds.of(workload_of(w, around)).firewall for w in workloads}
