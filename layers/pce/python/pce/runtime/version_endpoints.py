"""What the endpoints of policy versions and of provisioning do."""

from collections.abc import Mapping
from typing import Any

from pce.errors import NotFound, Problem
from pce.runtime.api_call import Call, created, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import provision as provisioning
from pce.usecases import reset_drafts
from pce.usecases.list_modified_objects import list_modified_objects


def list_policy_versions(call: Call) -> Reply:
    """GET sec_policy: newest first, never empty."""
    return whole(call, call.stores.policy_versions.versions(call.caller.org_id))


def get_policy_version(call: Call) -> Reply:
    """GET sec_policy/{n}."""
    found = call.stores.policy_versions.version(call.caller.org_id, int(call.path["number"]))
    if found is None:
        message = f"there is no policy version {call.path['number']}"
        raise NotFound(Problem("sec_policy_not_found", message))
    return ok(found[0])


def provision(call: Call) -> Reply:
    """POST sec_policy."""
    return created(provisioning.provision(call.caller, call.body, call.stores))


def list_pending(call: Call) -> Reply:
    """GET sec_policy/pending: pending drafts by type."""
    return ok(_by_type(call, provisioning.pending(call.caller, call.stores)))


def _by_type(call: Call, drafts: list[Any]) -> dict[str, list[dict[str, Any]]]:
    by_type: dict[str, list[dict[str, Any]]] = {}
    entries = provisioning.shown_pending(call.caller, drafts, call.stores)
    for found, shown in zip(drafts, entries, strict=True):
        by_type.setdefault(found.draft.collection, []).append(shown)
    return by_type


def discard_pending(call: Call) -> Reply:
    """DELETE sec_policy/pending: all drafts back to what is active."""
    reset_drafts.revert(call.caller, None, call.stores)
    return no_content()


def revert(call: Call) -> Reply:
    """PUT sec_policy/delete: the named drafts back to what is active."""
    reset_drafts.revert(call.caller, _named(call), call.stores)
    return no_content()


def _named(call: Call) -> list[str]:
    """Hrefs of a body that is a list, a change subset, or an object that holds one."""
    body = call.body
    if isinstance(body, Mapping) and "change_subset" in body:
        body = body["change_subset"]
    return provisioning.subset_hrefs(body) or []


def find_dependencies(call: Call) -> Reply:
    """POST sec_policy/draft/dependencies: an object by type for a change subset, a list for a
    list, as the two kinds of clients expect."""
    needed = provisioning.dependencies(call.caller, _named(call), call.stores)
    if isinstance(call.body, list):
        return ok(provisioning.shown_pending(call.caller, needed, call.stores))
    return ok(_by_type(call, needed))


def restore(call: Call) -> Reply:
    """POST sec_policy/{n}/restore: drafts as they were in a version; 200 with what is pending."""
    pending = reset_drafts.restore(call.caller, int(call.path["number"]), call.stores)
    return ok(_by_type(call, pending))


def list_modified(call: Call) -> Reply:
    """GET sec_policy/{version}/modified_objects: what a version changed."""
    return whole(call, list_modified_objects(call.caller, call.version, call.stores))
