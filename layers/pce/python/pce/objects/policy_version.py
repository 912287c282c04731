"""Drafts, revisions and policy versions: what differs between them, decided. Pure.

Every state of a provisionable object has a name, its revision. A draft carries the revision that it
is in; a policy version is a manifest that says which revision of which object is provisioned. So
whether a draft differs from what is active is a comparison of two names, and provisioning never
writes to a draft.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pce.objects.hrefs import in_version
from pce.objects.rule import KINDS

UpdateType = Literal["create", "update", "delete"]
Manifest = Mapping[str, Mapping[str, str]]
"""Collection to object id to revision: everything that is provisioned in one policy version."""

REVISION = "revision"
"""Attribute of a stored draft that names the state it is in; clients never see it."""
NAMES_FREED = "names_freed"
"""Attribute of a stored draft that was deleted before it was ever provisioned, and holds none of
its names any more."""
_RULE_LISTS = (*KINDS.values(), "ip_tables_rules")


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft, and the revision of the same object that is active (None: never provisioned)."""

    collection: str
    id: str
    document: Mapping[str, Any]
    active_revision: str | None

    @property
    def update_type(self) -> UpdateType | None:
        """What provisioning this object would do; None when draft equals active."""
        if self.document.get("deleted_at"):
            return "delete"
        if self.active_revision is None:
            return "create"
        return None if self.active_revision == self.document[REVISION] else "update"

    @property
    def is_gone(self) -> bool:
        """A deleted draft of an object that is not provisioned (any more): it does not exist."""
        return bool(self.document.get("deleted_at")) and self.active_revision is None


def shown_draft(draft: Draft, active: Mapping[str, Any] | None) -> dict[str, Any]:
    """The draft as clients see it.

    ``active`` is its provisioned state, needed only for rule sets whose ``update_type`` is
    ``update``: it tells which of the rules differ.
    """
    update_type = draft.update_type
    hidden = (REVISION, NAMES_FREED)
    shown = {name: value for name, value in draft.document.items() if name not in hidden}
    shown["update_type"] = update_type
    for rules in _RULE_LISTS:
        if rules in shown:
            known = {rule["href"]: rule for rule in (active or {}).get(rules, ())}
            shown[rules] = [
                {**rule, "update_type": _rule_update_type(rule, known, update_type)}
                for rule in shown[rules]
                if not rule.get("deleted_at") or (update_type == "update" and rule["href"] in known)
            ]
    return shown


def _rule_update_type(
    rule: Mapping[str, Any], active: Mapping[str, Any], of_rule_set: UpdateType | None
) -> UpdateType | None:
    if of_rule_set != "update":
        return of_rule_set
    if rule.get("deleted_at"):
        return "delete"
    known = active.get(rule["href"])
    if known is None:
        return "create"
    return None if known == rule else "update"


def provisioned_form(draft: Mapping[str, Any]) -> dict[str, Any]:
    """What a draft becomes when it is provisioned: without the rules that are marked deleted."""
    form = {name: value for name, value in draft.items() if name != REVISION}
    for rules in _RULE_LISTS:
        if rules in form:
            form[rules] = [rule for rule in form[rules] if not rule.get("deleted_at")]
    return form


def shown_provisioned(document: Mapping[str, Any], version: str) -> dict[str, Any]:
    """A provisioned state as clients see it in ``active`` or a numbered version: read-only, and
    what it refers to lies in the same version."""
    shown: dict[str, Any] = in_version({**document, "caps": [], "update_type": None}, version)
    for rules in _RULE_LISTS:
        if rules in shown:
            shown[rules] = [{**rule, "update_type": None, "caps": []} for rule in shown[rules]]
    return shown


def references(value: Any) -> set[str]:
    """Every href that a document refers to: not its own, not its rules' own, not its authors'."""
    if isinstance(value, list | tuple):
        return {href for inner in value for href in references(inner)}
    if not isinstance(value, Mapping):
        return set()
    found: set[str] = set()
    for name, inner in value.items():
        if name == "href" or name in _AUTHORS:
            continue
        if isinstance(inner, Mapping) and isinstance(inner.get("href"), str):
            found.add(inner["href"])
        elif name in _RULE_LISTS:
            found |= {
                href for rule in inner if not rule.get("deleted_at") for href in references(rule)
            }
        elif isinstance(inner, list):
            found |= {
                entry["href"]
                for entry in inner
                if isinstance(entry, Mapping) and isinstance(entry.get("href"), str)
            } | references(inner)
        else:
            found |= references(inner)
    return found


_AUTHORS = ("created_by", "updated_by", "deleted_by")


def new_draft(document: Mapping[str, Any], revision: str) -> dict[str, Any]:
    """A draft in a new state."""
    return {"deleted_at": None, "deleted_by": None, **document, REVISION: revision}


def version_record(
    org_id: int,
    version: int,
    message: str,
    affected: int | None,
    counts: Mapping[str, int],
    at: str,
    by: Mapping[str, str],
) -> dict[str, Any]:
    """A policy version as clients see it. ``affected``: workloads whose policy it changed, at most;
    None: not counted. ``counts``: objects that it changed, by collection."""
    return {
        "href": f"/orgs/{org_id}/sec_policy/{version}",
        "version": version,
        "commit_message": message,
        "workloads_affected": affected,
        "object_counts": dict(counts),
        "created_at": at,
        "created_by": dict(by),
    }


def deleted_draft(
    document: Mapping[str, Any], at: str, by: Mapping[str, str], revision: str
) -> dict[str, Any]:
    """The draft of a provisioned object that is to be deleted; it keeps its names until then."""
    return new_draft({**document, "deleted_at": at, "deleted_by": dict(by)}, revision)


def freed_draft(
    document: Mapping[str, Any], at: str, by: Mapping[str, str], revision: str
) -> dict[str, Any]:
    """What stays of a deleted draft that was never provisioned, until the next provisioning.

    It is marked rather than removed, because a provisioning that read the draft a moment ago may be
    about to make it active; it then shows as a pending deletion. Its names are free at once.
    """
    return {**deleted_draft(document, at, by, revision), NAMES_FREED: True}
