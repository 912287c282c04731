"""Hold a caller to the scopes of their roles.

The table of endpoints has let the caller in by ``caller.grants``. Whoever was let in by scoped
roles alone may write only what lies inside one of the scopes, before and after.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pce.access.limited_rules import is_limited_edit
from pce.access.roles import LIMITED_RULESET_MANAGER, RULESET_VIEWER, Grant
from pce.access.scopes import rule_set_is_inside, workload_is_inside
from pce.errors import NotAllowed, Problem
from pce.objects.collection import Collection
from pce.objects.label_group import LABEL_GROUPS, members
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

Document = Mapping[str, Any]


class ScopeCheck:
    """What one call may write. Label groups are read once, and only when a scope names one."""

    def __init__(self, caller: Caller, stores: Stores) -> None:
        self._caller = caller
        self._stores = stores

    def require(self, collection: Collection, *documents: Document) -> None:
        """Raise :class:`NotAllowed` unless all states of an object lie inside the scope of one
        role of the caller's that has to do with such objects."""
        if not any(self._covers(grant, collection, documents) for grant in self._caller.grants):
            message = f"{documents[0]['href']} lies outside the scopes of your roles"
            if any(grant.role == LIMITED_RULESET_MANAGER for grant in self._caller.grants):
                message += (
                    f", or is a rule that {LIMITED_RULESET_MANAGER} may not write: its sides may be"
                    " labels, workloads and all workloads, within the scopes of the rule set"
                )
            raise NotAllowed(Problem("outside_scope", message))

    def may_see(self, rule_set: Document) -> bool:
        """Whether a rule set is to be shown: ruleset viewers see those in their scopes."""
        return any(
            grant.role != RULESET_VIEWER or self.is_inside(grant, "rule_sets", (rule_set,))
            for grant in self._caller.grants
        )

    def _covers(self, grant: Grant, collection: Collection, documents: Sequence[Document]) -> bool:
        limited = grant.role == LIMITED_RULESET_MANAGER
        return (
            grant.concerns(collection.name)
            and self.is_inside(grant, collection.name, documents)
            and (not limited or is_limited_edit(documents))
        )

    def is_inside(self, grant: Grant, collection: str, documents: Sequence[Document]) -> bool:
        """Whether all states of an object lie inside the scope of a grant."""
        inside = _INSIDE.get(collection)
        return not grant.is_scoped or (
            inside is not None and all(inside(d, grant.scope, self._expand) for d in documents)
        )

    def _expand(self, href: str) -> frozenset[str]:
        """The labels that an entry of a scope stands for. A group counts as its draft says: who
        may edit groups may grant roles to nobody, but is an administrator."""
        if f"/{LABEL_GROUPS.name}/" not in href:
            return frozenset((href,))
        return frozenset(label["href"] for label in members(href, self._groups))

    @cached_property
    def _groups(self) -> Mapping[str, Document]:
        head = self._stores.policy_versions.head(self._caller.org_id)
        drafts = self._stores.policy_versions.drafts(self._caller.org_id, LABEL_GROUPS.name, head)
        return {str(found.draft.document["href"]): found.draft.document for found in drafts}


def _labelled(document: Document, scope: Any, expand: Any) -> bool:
    labels = {label["href"] for label in document.get("labels") or ()}
    return workload_is_inside(labels, scope, expand)


def _scoped(document: Document, scope: Any, expand: Any) -> bool:
    return rule_set_is_inside(document["scopes"], scope, expand)


_INSIDE: Mapping[str, Callable[[Document, Any, Any], bool]] = {
    "workloads": _labelled,
    "vens": _labelled,
    "pairing_profiles": _labelled,
    "rule_sets": _scoped,
}
"""Collections whose objects can lie inside a scope."""
