"""Who uses an object: what must be known before it is deleted, and what ``usage=true`` shows."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.objects.catalogue import PROVISIONED
from pce.objects.collection import Collection
from pce.objects.hrefs import DRAFT, in_version
from pce.objects.policy_version import references
from pce.usecases.caller import Caller
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


def refuse_if_used(caller: Caller, collection: Collection, href: str, stores: Stores) -> None:
    """Raise :class:`Invalid` naming who uses the object.

    Labels act at once, so what is active counts too; of provisioned objects only the drafts do,
    since deleting and no longer using can be provisioned together. Cost: reads the org's policy,
    and for a label its workloads.
    """
    labels = collection.name == "labels"
    users = [user for user, _, used in _uses(caller, stores, everything=labels) if href in used]
    if users:
        more = f" and {len(users) - MAX_USERS_NAMED} more" if len(users) > MAX_USERS_NAMED else ""
        named = ", ".join(users[:MAX_USERS_NAMED])
        message = f"{href} is used by {named}{more}; remove it there first"
        raise Invalid(Problem(f"{collection.kind}_in_use", message))


def usage_by_href(caller: Caller, stores: Stores) -> Mapping[str, dict[str, bool]]:
    """What each used object is used for, by href; objects that nobody uses are absent."""
    usage: dict[str, dict[str, bool]] = defaultdict(lambda: dict.fromkeys(USAGES, False))
    for _, kind, hrefs in _uses(caller, stores, everything=True):
        for href in hrefs:
            usage[href][kind] = True
    return usage


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
    for name, kind in (("workloads", "workload"), ("pairing_profiles", "pairing_profile")):
        for workload in stores.objects.all_of(caller.org_id, name):
            if not workload.document.get("deleted"):
                yield workload.document["href"], kind, references(workload.document)
    settings = stores.objects.get(caller.org_id, "settings", "workloads")
    if settings is not None:
        yield caller.path("settings", "workloads"), "permission", references(settings.document)


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
    kind = {"label_groups": "label_group", "enforcement_boundaries": "enforcement_boundary"}
    yield href, kind.get(name, name), references(document)


_SETTINGS_USAGE = {
    "firewall_coexistence": "firewall_coexistence_scope",
    "blocked_connection_reject_scopes": "blocked_connection_reject_scope",
}
"""Attributes of the firewall settings whose usage has another name."""
