"""Show objects with the names of what they refer to, as clients expect them in references."""

from collections.abc import Iterable
from typing import Any

from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.container_workload_profile import with_label_values
from pce.objects.discovered_virtual_server import DISCOVERED_VIRTUAL_SERVERS
from pce.objects.hrefs import item_id
from pce.objects.network_device import NETWORK_DEVICES, with_endpoints
from pce.objects.network_endpoint import NETWORK_ENDPOINTS
from pce.objects.network_enforcement_node import with_devices
from pce.objects.shown import Document, referred_to, with_names
from pce.objects.virtual_server import VIRTUAL_SERVERS
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

Shown = list[dict[str, Any]]


def with_names_of_references(
    caller: Caller, collection: Collection, shown: Shown, stores: Stores
) -> Shown:
    """The same objects; references carry key and value, or name, of what they refer to.

    Cost: a batch read per kind of reference; nothing for collections that show hrefs alone.
    """
    match collection.name:
        case "label_groups":
            return _named_groups(caller, _labelled(caller, shown, stores), stores)
        case "virtual_services":
            return _labelled(caller, shown, stores)
        case "virtual_servers":
            return _discovered(caller, _labelled(caller, shown, stores), stores)
        case "discovered_virtual_servers":
            return _managed(caller, shown, stores)
        case "network_enforcement_nodes":
            inside = _hrefs_inside(caller, NETWORK_DEVICES.name, collection.kind, stores)
            return [with_devices(node, inside.get(node["href"], [])) for node in shown]
        case "network_devices":
            inside = _hrefs_inside(caller, NETWORK_ENDPOINTS.name, collection.kind, stores)
            return [with_endpoints(device, inside.get(device["href"], [])) for device in shown]
        case "service_bindings":
            return _named_workloads(caller, shown, stores)
        case "container_workload_profiles":
            hrefs = [label["href"] for p in shown for label in p["assign_labels"]]
            hrefs += [
                label["href"]
                for profile in shown
                for entry in profile["labels"]
                for label in (entry.get("assignment"), *entry.get("restriction", ()))
                if label
            ]
            labels = by_href(caller, "labels", hrefs, stores)
            return [with_label_values(profile, labels) for profile in shown]
        case _:
            return shown


def by_href(
    caller: Caller, collection: str, hrefs: Iterable[str], stores: Stores
) -> dict[str, Document]:
    """Objects without policy versions by href; those that do not exist are left out."""
    ids = [item_id(tail(href)) for href in hrefs]
    found = stores.objects.get_many(caller.org_id, collection, ids)
    return {stored.document["href"]: stored.document for stored in found.values()}


def _labelled(caller: Caller, shown: Shown, stores: Stores) -> Shown:
    labels = by_href(caller, "labels", referred_to(shown, "labels"), stores)
    return [with_names(document, "labels", labels) for document in shown]


def _discovered(caller: Caller, shown: Shown, stores: Stores) -> Shown:
    """Virtual servers with what their load balancers have."""
    hrefs = [server["discovered_virtual_server"]["href"] for server in shown]
    found = by_href(caller, DISCOVERED_VIRTUAL_SERVERS.name, dict.fromkeys(hrefs), stores)
    servers = []
    for server, href in zip(shown, hrefs, strict=True):
        known = DISCOVERED_VIRTUAL_SERVERS.shown(found[href]) if href in found else {}
        names = ("name", "vip_address", "vip_port", "vip_proto")
        brief = {name: known[name] for name in names if name in known}
        servers.append(
            {
                **server,
                "discovered_virtual_server": {"href": href, **brief},
                "dvs_name": known.get("name"),
                "dvs_identifier": known.get("dvs_identifier"),
            }
        )
    return servers


def _managed(caller: Caller, shown: Shown, stores: Stores) -> Shown:
    """Discovered virtual servers with the draft that is made of each. Reads the drafts."""
    head = stores.policy_versions.head(caller.org_id)
    drafts = stores.policy_versions.drafts(caller.org_id, VIRTUAL_SERVERS.name, head)
    made = {
        found.draft.document["discovered_virtual_server"]["href"]: {
            "href": found.draft.document["href"],
            "name": found.draft.document["name"],
        }
        for found in drafts
        if not found.draft.document.get("deleted_at")
    }
    return [{**found, "virtual_server": made.get(found["href"])} for found in shown]


def _hrefs_inside(
    caller: Caller, collection: str, holder: str, stores: Stores
) -> dict[str, list[str]]:
    """Hrefs of a collection's objects, by the href of what they lie in. Reads all of them."""
    inside: dict[str, list[str]] = {}
    for stored in stores.objects.all_of(caller.org_id, collection):
        inside.setdefault(stored.document[holder]["href"], []).append(stored.document["href"])
    return inside


def _named_groups(caller: Caller, shown: Shown, stores: Stores) -> Shown:
    hrefs = referred_to(shown, "sub_groups")
    ids = [item_id(tail(href)) for href in hrefs]
    groups = stores.objects.get_many(caller.org_id, "draft#label_groups", ids)
    named = {
        href: {"name": groups[tail(href)].document["name"]}
        for href in hrefs
        if tail(href) in groups
    }
    return [with_names(group, "sub_groups", named) for group in shown]


def _named_workloads(caller: Caller, shown: Shown, stores: Stores) -> Shown:
    """Bindings stay when their workload goes: it shows as deleted."""
    hrefs = [binding["workload"]["href"] for binding in shown if binding.get("workload")]
    workloads = by_href(caller, "workloads", hrefs, stores)
    return [
        {**binding, "workload": _workload(binding["workload"]["href"], workloads)}
        if binding.get("workload")
        else binding
        for binding in shown
    ]


def _workload(href: str, workloads: dict[str, Document]) -> dict[str, Any]:
    found = workloads.get(href, {"deleted": True})
    return {
        "href": href,
        "name": found.get("name"),
        "hostname": found.get("hostname"),
        "deleted": bool(found.get("deleted")),
    }
