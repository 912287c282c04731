"""Who uses an object: what must be known before it is deleted, and what ``usage=true`` shows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from pce.errors import Invalid, Problem
from pce.objects.catalogue import COLLECTIONS, PROVISIONED
from pce.objects.collection import Collection
from pce.objects.hrefs import DRAFT, in_version
from pce.objects.policy_version import references
from pce.usecases.caller import Caller
from pce.usecases.find_workloads import labels_by_workload
from pce.usecases.stores import Stores

MAX_USERS_NAMED = 5
"""Hrefs in the message of a refused deletion; more would not be read."""

USAGES = (
    "virtual_server",
    "label_group",
    "ruleset",
    "rule",
    "static_policy_scopes",
    "pairing_profile",
    "permission",
    "workload",
    "container_workload",
    "firewall_coexistence_scope",
    "containers_inherit_host_policy_scopes",
    "container_workload_profile",
    "blocked_connection_reject_scope",
    "enforcement_boundary",
    "loopback_interfaces_in_policy_scopes",
    "virtual_service",
    "ip_forwarding_enabled_scopes",
    "rule_hit_count_enabled_scopes",
    "label_mapping_rule",
)
"""Every kind of use that clients know; each is shown, most of them false."""


HOLDERS = {
    "discovered_virtual_servers": (),
    "slbs": ("discovered_virtual_servers",),
    "network_enforcement_nodes": ("slbs", "discovered_virtual_servers", "network_devices"),
    "network_devices": ("network_endpoints",),
}
"""What stands between policy and networks, to the collections without drafts that refer to it."""
_BEHIND_POLICY = ("slbs", "network_enforcement_nodes", "network_devices")
"""Of these, those that no policy object refers to."""


class Users:
    """Who uses the objects of a collection, read once for any number of them."""

    def __init__(self, caller: Caller, collection: Collection, stores: Stores) -> None:
        self._caller = caller
        self._collection = collection
        self._stores = stores

    def refuse_if_any(self, href: str) -> None:
        """Raise :class:`Invalid` naming who uses the object.

        Labels act at once, so what is active counts too; of provisioned objects only the drafts
        do, since deleting and no longer using can be provisioned together. Cost: reads the org's
        policy, for a label the index of workloads, and for a virtual service the bindings.
        """
        users = self._by_href.get(href)
        if users:
            rest = len(users) - MAX_USERS_NAMED
            more = f" and {rest} more" if rest > 0 else ""
            named = ", ".join(users[:MAX_USERS_NAMED])
            message = f"{href} is used by {named}{more}; remove it there first"
            raise Invalid(Problem(f"{self._collection.kind}_in_use", message))

    @cached_property
    def _by_href(self) -> Mapping[str, list[str]]:
        """Used object (in draft form) to its users."""
        users: dict[str, list[str]] = defaultdict(list)
        name = self._collection.name
        for holders in HOLDERS.get(name, ()):
            for stored in self._stores.objects.all_of(self._caller.org_id, holders):
                for href in references(stored.document):
                    users[href].append(str(stored.document["href"]))
        if name in _BEHIND_POLICY:
            return users
        everything = name in ("labels", "security_principals", "discovered_virtual_servers")
        for user, _, used in _uses(self._caller, self._stores, everything=everything):
            for href in used:
                users[href].append(user)
        if self._collection.name == "virtual_services":
            for stored in self._stores.objects.all_of(self._caller.org_id, "service_bindings"):
                bound = in_version(stored.document["virtual_service"], DRAFT)["href"]
                users[bound].append(str(stored.document["href"]))
        return users


def usage_by_href(caller: Caller, stores: Stores) -> Mapping[str, dict[str, bool]]:
    """What each used object is used for, by href; objects that nobody uses are absent."""
    usage: dict[str, dict[str, bool]] = defaultdict(lambda: dict.fromkeys(USAGES, False))
    for _, kind, hrefs in _uses(caller, stores, everything=True):
        for href in hrefs:
            usage[href][kind] = True
    return usage


def used_in_drafts(caller: Caller, stores: Stores) -> set[str]:
    """Hrefs of everything that a draft refers to. Reads all drafts."""
    return {href for _, _, hrefs in _uses(caller, stores, everything=False) for href in hrefs}


def _uses(
    caller: Caller, stores: Stores, *, everything: bool
) -> Iterator[tuple[str, str, set[str]]]:
    """Who (href) uses as what (kind) which objects (hrefs in draft form)."""
    head = stores.policy_versions.head(caller.org_id)
    for collection in PROVISIONED:
        for stored in stores.policy_versions.drafts(caller.org_id, collection.name, head):
            if not stored.draft.document.get("deleted_at"):
                yield from _uses_of(collection.name, stored.draft.document)
    if not everything:
        return
    for name, documents in stores.policy_versions.active(caller.org_id, head).items():
        for document in documents:
            yield from _uses_of(name, in_version(document, DRAFT), "active")
    for workload, labels in labels_by_workload(caller.org_id, stores):
        yield workload, "workload", labels
    for name, kind in _UNVERSIONED:
        for holder in stores.objects.all_of(caller.org_id, name):
            if not holder.document.get("deleted"):
                yield holder.document["href"], kind, references(_using(holder.document, name))
    settings = stores.objects.get(caller.org_id, "settings", "workloads")
    if settings is not None:
        yield caller.path("settings", "workloads"), "permission", references(settings.document)


def _using(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The document without what it names and does not use: labels to which a profile restricts
    may go, there is one less to choose then."""
    if name != "container_workload_profiles":
        return document
    assigned = [{"assignment": entry.get("assignment")} for entry in document["labels"]]
    return {**document, "labels": assigned}


_UNVERSIONED = (
    ("pairing_profiles", "pairing_profile"),
    ("container_workload_profiles", "container_workload_profile"),
    ("permissions", "permission"),
)
"""Collections without drafts that refer to labels, beside workloads, and what their use is
called."""


def _uses_of(
    name: str, document: Mapping[str, Any], version: str = DRAFT
) -> Iterator[tuple[str, str, set[str]]]:
    href = str(in_version({"href": document["href"]}, version)["href"])
    if name == "firewall_settings":
        for scopes, value in document.items():
            if isinstance(value, list):
                yield href, _SETTINGS_USAGE.get(scopes, scopes), references(value)
        return
    if name == "rule_sets":
        yield href, "ruleset", references({"scopes": document.get("scopes") or []})
        yield href, "rule", references({k: v for k, v in document.items() if k != "scopes"})
        return
    yield href, COLLECTIONS[name].kind, references(document)


_SETTINGS_USAGE = {
    "firewall_coexistence": "firewall_coexistence_scope",
    "blocked_connection_reject_scopes": "blocked_connection_reject_scope",
}
"""Attributes of the firewall settings whose usage has another name."""
