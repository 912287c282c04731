"""Read the facts that policy follows from: all of an org's, or those that changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pce.identifiers import OrgId, tail
from pce.objects.container_workload import COLLECTION
from pce.objects.hrefs import parse_href
from pce.policy.change import EstateChange, everything
from pce.policy.estate import Workload
from pce.policy.estate_from_documents import (
    Surroundings,
    bound_workloads,
    discovered_of,
    estate_from_documents,
    firewall_settings_of,
    ip_list_of,
    label_group_of,
    label_keys_of,
    port_overrides_of,
    service_of,
    virtual_server_of,
    virtual_service_of,
    workload_of,
)
from pce.policy.rules_from_documents import boundary_of, rule_set_of
from pce.usecases.read_containers import HOSTS, all_containers, join_containers
from pce.usecases.report_containers import REPORTS
from pce.usecases.stores import Stores
from pce.usecases.warm_engines import Known

Document = Mapping[str, Any]

_ACT_AT_ONCE = (
    *(*HOSTS, "labels", "service_bindings", "discovered_virtual_servers"),
    *("virtual_services", "sec_policy"),
)
"""Collections whose hrefs stand in the change log: of ``virtual_services`` those of bindings that
came or went, of ``sec_policy`` those of versions that were provisioned."""


@dataclass(frozen=True)
class Read:
    """Facts, and what they were made of."""

    change: EstateChange
    known: Known
    workloads: Mapping[str, Document | None] = field(default_factory=dict)
    """Documents of workloads, by id; None: there is none any more."""
    labels: Mapping[str, Document | None] = field(default_factory=dict)


def read_estate(org_id: OrgId, stores: Stores) -> Read:
    """All facts of an org. Cost: one query per MB of workloads and labels, and one request per 100
    provisioned objects."""
    objects, versions = stores.objects, stores.policy_versions

    def all_of(collection: str) -> list[dict[str, Any]]:
        documents = (stored.document for stored in objects.all_of(org_id, collection))
        return [document for document in documents if not document.get("deleted")]

    head = versions.head(org_id)
    active = versions.documents(org_id, head.manifest, head.manifest)
    bindings, labels, hosts = all_of("service_bindings"), all_of("labels"), all_of("workloads")
    discovered = all_of("discovered_virtual_servers")
    containers = [each.document for each in all_containers(org_id, stores)]
    estate = estate_from_documents([*hosts, *containers], labels, active, bindings, discovered)
    known = Known(
        label_keys_of(labels),
        bound_workloads(bindings),
        port_overrides_of(bindings),
        discovered_of(discovered),
        head.manifest,
    )
    return Read(everything(estate), known, _by_id([*hosts, *containers]), _by_id(labels))


def read_changes(org_id: OrgId, hrefs: Iterable[str], known: Known, stores: Stores) -> Read | None:
    """The facts of the objects that these hrefs of the change log name, as they are now.

    None when that takes reading everything: an href of an unknown kind, or a label that is gone (it
    may still be in documents). Cost: one request per 100 objects; all bindings, and all discovered
    virtual servers, when one changed.
    """
    named: dict[str, set[str]] = {}
    for href in hrefs:
        parsed = parse_href(href)
        if parsed is None or parsed.collection not in _ACT_AT_ONCE:
            return None
        named.setdefault(parsed.collection, set()).add(parsed.item_id)
    change = EstateChange()
    labels = _documents(org_id, "labels", named.get("labels", ()), stores)
    if any(document is None and id in known.label_keys for id, document in labels.items()):
        return None
    new_keys = label_keys_of(document for document in labels.values() if document)
    label_keys = {**known.label_keys, **new_keys}
    change = change.then(EstateChange(label_keys=new_keys))

    bound, port_overrides = known.bound, known.port_overrides
    if named.keys() & {"service_bindings", "virtual_services"}:
        bindings = [s.document for s in stores.objects.all_of(org_id, "service_bindings")]
        bound, port_overrides = bound_workloads(bindings), port_overrides_of(bindings)
        rebound = {
            id for id in bound.keys() | known.bound.keys() if bound.get(id) != known.bound.get(id)
        }
        for collection in HOSTS:
            named.setdefault(collection, set()).update(rebound)
    discovered = known.discovered
    if "discovered_virtual_servers" in named:
        found = stores.objects.all_of(org_id, "discovered_virtual_servers")
        discovered = discovered_of(stored.document for stored in found)
    now = Known(label_keys, bound, port_overrides, discovered, known.manifest)
    if "sec_policy" in named or now != replace(known, label_keys=label_keys, bound=bound):
        now, provisioned = _provisioned(org_id, now, known, stores)
        change = change.then(provisioned)

    hosts = _documents(org_id, "workloads", named.get("workloads", ()), stores)
    containers = _containers(org_id, named.get("container_workloads", set()), hosts, stores)
    around = Surroundings(label_keys, bound)
    # A bound id was asked for in both collections; the one that has it counts.
    facts: dict[str, Workload | None] = dict.fromkeys([*hosts, *containers])
    for document in (*hosts.values(), *containers.values()):
        if document is not None:
            facts[tail(document["href"])] = workload_of(document, around)
    return Read(change.then(EstateChange(workloads=facts)), now, {**hosts, **containers}, labels)


def _containers(
    org_id: OrgId, named: set[str], hosts: Mapping[str, Document | None], stores: Stores
) -> dict[str, Document | None]:
    """Container workloads by id: those that are named, and all of the hosts that changed, whose
    fate they share; None for those that do not exist or are not managed."""
    hosts_of_some = [id for id, host in hosts.items() if not host or host.get("container_cluster")]
    reports = stores.objects.get_many(org_id, REPORTS, hosts_of_some)
    ids = named.union(*(report.document["ids"] for report in reports.values()))
    documents: dict[str, Document | None] = dict.fromkeys(sorted(ids))
    found = stores.objects.get_many(org_id, COLLECTION, list(documents))
    for each in join_containers(org_id, (s.document for s in found.values()), stores):
        documents[tail(each.stored["href"])] = each.document
    return documents


def _documents(
    org_id: OrgId, collection: str, ids: Iterable[str], stores: Stores
) -> dict[str, dict[str, Any] | None]:
    """Documents by their own id; None for those that do not exist (any more)."""
    ids = sorted(ids)
    if not ids:
        return {}
    found = stores.objects.get_many(org_id, collection, ids)
    documents: dict[str, dict[str, Any] | None] = {}
    for id in ids:
        document = found[id].document if id in found else None
        own_id = tail(document["href"]) if document else id.lstrip("0") or id
        documents[own_id] = None if document is None or document.get("deleted") else document
    return documents


def _provisioned(
    org_id: OrgId, now: Known, before: Known, stores: Stores
) -> tuple[Known, EstateChange]:
    """What differs between the active policy version and the one that was active before."""
    manifest = stores.policy_versions.head(org_id).manifest
    differing: dict[str, dict[str, str | None]] = {}
    for collection in manifest.keys() | before.manifest.keys():
        new, old = manifest.get(collection, {}), before.manifest.get(collection, {})
        differing[collection] = {
            id: new.get(id) for id in new.keys() | old.keys() if new.get(id) != old.get(id)
        }
    if now.port_overrides != before.port_overrides:
        virtual_services = manifest.get("virtual_services", {})
        differing.setdefault("virtual_services", {}).update(virtual_services)
    if now.discovered != before.discovered:
        virtual_servers = manifest.get("virtual_servers", {})
        differing.setdefault("virtual_servers", {}).update(virtual_servers)
    revisions = {
        collection: {id: revision for id, revision in ids.items() if revision}
        for collection, ids in differing.items()
    }
    documents = stores.policy_versions.documents(org_id, revisions, revisions)
    gone: dict[str, dict[str, None]] = {
        collection: dict.fromkeys(id for id, revision in ids.items() if not revision)
        for collection, ids in differing.items()
    }

    def facts(collection: str, make: Any) -> dict[str, Any]:
        made = {tail(d["href"]): make(d) for d in documents.get(collection, ())}
        return {**gone.get(collection, {}), **made}

    def virtual_service(document: Document) -> Any:
        return virtual_service_of(document, now.label_keys, now.port_overrides)

    def virtual_server(document: Document) -> Any:
        return virtual_server_of(document, now.label_keys, now.discovered)

    boundaries = facts("enforcement_boundaries", boundary_of)
    settings = documents.get("firewall_settings", [])
    change = EstateChange(
        label_groups=facts("label_groups", label_group_of),
        ip_lists=facts("ip_lists", ip_list_of),
        services=facts("services", service_of),
        rule_sets=facts("rule_sets", rule_set_of),
        boundaries={
            boundary.id if boundary else f"enforcement_boundaries/{id}": boundary
            for id, boundary in boundaries.items()
        },
        virtual_services={
            **facts("virtual_services", virtual_service),
            **facts("virtual_servers", virtual_server),
        },
        firewall=firewall_settings_of(settings) if differing.get("firewall_settings") else None,
    )
    return replace(now, manifest=manifest), change


def _by_id(documents: Iterable[Document]) -> dict[str, Document | None]:
    return {tail(document["href"]): document for document in documents}
