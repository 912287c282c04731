"""Permissions: a role for a principal, within a scope."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pce.access.roles import ROLES, SCOPED
from pce.errors import Problem
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.fields import INVALID, ListOf, Reference, Shape
from pce.objects.filters import refers_to
from pce.objects.hrefs import parse_href
from pce.objects.rule import LABELS_ONLY, Actor


@dataclass(frozen=True, slots=True)
class RoleReference:
    """``{"href": "/orgs/1/roles/owner"}``."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The href alone."""
        href = value.get("href") if isinstance(value, Mapping) else None
        parsed = parse_href(href) if isinstance(href, str) else None
        if parsed is None or parsed.collection != "roles" or parsed.id not in ROLES:
            message = f"{at}: must be an object with the href of one of {', '.join(ROLES)}"
            problems.append(Problem(INVALID, message, at))
            return None
        return {"href": href}


SCOPE = ListOf(Actor(LABELS_ONLY), max_entries=64)
"""Labels and label groups that must all be met; empty: the whole organization."""


def scope_problems(permission: Mapping[str, Any]) -> Iterable[Problem]:
    """Only some roles may be held to a part of the organization, and an exclusion is no part."""
    role = tail(permission["role"]["href"])
    if permission["scope"] and role not in SCOPED:
        yield Problem(
            "permission_scope_not_allowed",
            f"{role} holds for the whole organization; only {', '.join(SCOPED)} take a scope",
            "scope",
        )
    if any(entry.get("exclusion") for entry in permission["scope"]):
        message = "scope: name what is included; exclusions are for rule sets"
        yield Problem("permission_scope_not_allowed", message, "scope")


PERMISSIONS = Collection(
    name="permissions",
    kind="permission",
    shape=Shape(
        {
            "role": RoleReference(),
            "scope": SCOPE,
            "auth_security_principal": Reference("auth_security_principals"),
        },
        required=("role", "auth_security_principal"),
    ),
    unique=(),
    whole_check=scope_problems,
    filters={
        "role": refers_to("role"),
        "auth_security_principal": refers_to("auth_security_principal"),
    },
    searched=(),
    numbered=False,
    shown_in_events=("href", "role", "scope", "auth_security_principal"),
)

RESTRICTED = "access_restriction"


def grants_of(principal_type: str, name: str) -> str:
    """The object store's collection of what a principal was granted: looked up on each request,
    so it holds copies of its permissions, written together with them; and under
    :data:`RESTRICTED` which access restriction it has, if any."""
    return f"grants#{principal_type}:{name.lower()}"
