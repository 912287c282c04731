"""Application groups with their members counted, and with what scanners found on them."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pce.errors import NotFound, Problem
from pce.identifiers import org_href
from pce.objects.app_group import Members, groups, node
from pce.objects.collection import Collection
from pce.objects.virtual_server import VIRTUAL_SERVERS
from pce.objects.virtual_service import VIRTUAL_SERVICES
from pce.objects.vulnerability_summary import summary as summary_of_findings
from pce.objects.workload import ENFORCEMENT_MODES, VISIBILITY_LEVELS, WORKLOADS
from pce.usecases.caller import Caller
from pce.usecases.find_workloads import workload_facts
from pce.usecases.read_containers import all_containers
from pce.usecases.read_vulnerabilities import findings_of_workloads
from pce.usecases.stores import Stores

Document = Mapping[str, Any]


def summary(caller: Caller, stores: Stores) -> dict[str, Any]:
    """All groups and their labels. Reads the index of workloads, or else all of them; container
    workloads, and the drafts of virtual services and virtual servers."""
    labels = _labels(caller, stores)
    found = {
        "workloads": groups(_workloads(caller, stores), labels),
        "container_workloads": groups(
            (each.document for each in all_containers(caller.org_id, stores)), labels
        ),
        **{
            collection.name: groups(_drafts(caller, collection, stores), labels)
            for collection in (VIRTUAL_SERVICES, VIRTUAL_SERVERS)
        },
    }
    nodes = [
        node(
            id,
            org_href(caller.org_id),
            Members(**{what: by_id.get(id, []) for what, by_id in found.items()}),
        )
        for id in sorted({id for by_id in found.values() for id in by_id})
    ]
    used = {str(label) for one in nodes for label in one["label_ids"]}
    shown = {
        id: {"label": {name: label[name] for name in ("href", "key", "value")}}
        for href, label in labels.items()
        if (id := href.rpartition("/")[2]) in used
    }
    return {
        "nodes": nodes,
        "labels": shown,
        "mode_key": list(ENFORCEMENT_MODES),
        "visibility_level_key": list(VISIBILITY_LEVELS),
        "signature": hashlib.sha256(msgspec.json.encode(nodes)).hexdigest(),
        "updated_at": caller.at,
        "version": 1,
        "cached": False,
    }


def risk_summary(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """Each group with the summary of what scanners found on its workloads."""
    found = findings_of_workloads(caller, stores)
    by_id = groups(_workloads(caller, stores), _labels(caller, stores))
    return [_risk(caller, id, members, found) for id, members in sorted(by_id.items())]


def risk_details(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One group, with what was found. Raises :class:`NotFound` for a group without workloads."""
    members = groups(_workloads(caller, stores), _labels(caller, stores)).get(id)
    if members is None:
        raise NotFound(Problem("app_group_not_found", f"no workload is in the app group {id}"))
    found = findings_of_workloads(caller, stores)
    findings = [one for member in members for one in found.get(str(member["href"]), ())]
    return {**_risk(caller, id, members, found), "detected_vulnerabilities": findings}


def org_risk(caller: Caller, stores: Stores) -> dict[str, Any]:
    """What scanners found in the org, all workloads together."""
    found = findings_of_workloads(caller, stores)
    everything = [one for of_workload in found.values() for one in of_workload]
    return {
        "num_workloads_with_vulnerabilities": len(found),
        "vulnerability_summary": summary_of_findings(everything),
        "generated_at": caller.at,
    }


def _risk(
    caller: Caller, id: str, members: list[Document], found: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    findings = [one for member in members for one in found.get(str(member["href"]), ())]
    return {
        "href": f"{org_href(caller.org_id)}/app_groups/{id}",
        "num_workloads": len(members),
        "vulnerability_summary": summary_of_findings(findings),
    }


def _workloads(caller: Caller, stores: Stores) -> list[Document]:
    known = workload_facts(caller.org_id, stores)
    if known is not None:
        return list(known.values())
    stored = stores.objects.all_of(caller.org_id, WORKLOADS.name)
    return [s.document for s in stored if not s.document.get("deleted")]


def _drafts(caller: Caller, collection: Collection, stores: Stores) -> Iterator[Document]:
    head = stores.policy_versions.head(caller.org_id)
    for found in stores.policy_versions.drafts(caller.org_id, collection.name, head):
        if not found.draft.document.get("deleted_at"):
            yield found.draft.document


def _labels(caller: Caller, stores: Stores) -> dict[str, Document]:
    stored = stores.objects.all_of(caller.org_id, "labels")
    return {s.document["href"]: s.document for s in stored if not s.document.get("deleted")}
