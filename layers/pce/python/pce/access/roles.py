"""Roles and what they are granted on. Pure.

The names are the last part of a role's href, ``/orgs/1/roles/owner``, as clients know them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

OWNER = "owner"
ADMIN = "admin"
VIEWER = "read_only"
OBJECT_PROVISIONER = "global_object_provisioner"
RULESET_MANAGER = "ruleset_manager"
LIMITED_RULESET_MANAGER = "limited_ruleset_manager"
RULESET_PROVISIONER = "ruleset_provisioner"
RULESET_VIEWER = "ruleset_viewer"
WORKLOAD_MANAGER = "workload_manager"

ROLES: Mapping[str, str] = {
    OWNER: "Everything, users and settings of the organization included.",
    ADMIN: "Everything but users, permissions and settings of the organization.",
    VIEWER: "Reads everything, changes nothing.",
    OBJECT_PROVISIONER: "Provisions IP lists, services, label groups and firewall settings, and"
    " edits the last; edits nothing else.",
    RULESET_MANAGER: "Edits the rule sets whose scopes lie inside the permission's scope.",
    LIMITED_RULESET_MANAGER: "As a ruleset manager, but for rules whose both sides are labels or"
    " workloads within the scope: no IP lists, label groups, user groups, virtual services, custom"
    " iptables rules, nor consumers from outside.",
    RULESET_PROVISIONER: "Provisions the rule sets whose scopes lie inside the permission's scope.",
    RULESET_VIEWER: "Reads the rule sets whose scopes lie inside the permission's scope, and what"
    " rules are made of; reads and changes nothing else.",
    WORKLOAD_MANAGER: "Edits, pairs and unpairs the workloads whose labels lie inside the"
    " permission's scope, and the pairing profiles that give such labels.",
}
"""Every role, with what it is for."""

SCOPED = (
    RULESET_MANAGER,
    LIMITED_RULESET_MANAGER,
    RULESET_PROVISIONER,
    RULESET_VIEWER,
    WORKLOAD_MANAGER,
)
"""Roles whose permissions may name a scope; the others hold for the whole organization."""

_CONCERNS = {
    OBJECT_PROVISIONER: ("ip_lists", "services", "label_groups", "firewall_settings"),
    RULESET_MANAGER: ("rule_sets",),
    LIMITED_RULESET_MANAGER: ("rule_sets",),
    RULESET_PROVISIONER: ("rule_sets",),
    RULESET_VIEWER: ("rule_sets",),
    WORKLOAD_MANAGER: ("workloads", "vens", "pairing_profiles"),
}
"""Collections to which a role is limited, in endpoints that write several. None, if not listed."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that somebody has, and where."""

    role: str
    scope: tuple[str, ...] = ()
    """Hrefs of labels and label groups that must all be met; empty: the whole organization."""

    @property
    def is_scoped(self) -> bool:
        """Whether it holds for a part of the organization only."""
        return bool(self.scope)

    def concerns(self, collection: str) -> bool:
        """Whether the role has to do with objects of this collection at all."""
        return collection in _CONCERNS.get(self.role, (collection,))


EVERYTHING = (Grant(OWNER),)
"""What the PCE itself may do."""


@dataclass(frozen=True, slots=True)
class Right:
    """Who may use an endpoint."""

    roles: frozenset[str]
    self_too: bool = False
    """Whether also the user whom the path names, whatever roles they have."""
    anybody: bool = False
    """Whether everybody with good credentials, roles or not."""

    def used_by(self, grants: Iterable[Grant]) -> tuple[Grant, ...]:
        """The grants by which somebody may use it; empty: none may."""
        return tuple(grant for grant in grants if grant.role in self.roles)


def grant_of(permission: Mapping[str, object]) -> Grant:
    """The grant in a permission as it is stored: ``role`` and ``scope`` with hrefs."""
    role, scope = permission["role"], permission.get("scope") or ()
    assert isinstance(role, Mapping) and isinstance(scope, Sequence)  # noqa: S101
    return Grant(str(role["href"]).rsplit("/", 1)[-1], tuple(entry_href(entry) for entry in scope))


def entry_href(entry: Mapping[str, Mapping[str, str]]) -> str:
    """The href of a scope's entry, which names a label or a label group."""
    return (entry.get("label") or entry["label_group"])["href"]
