"""Roles as clients see them: they are the same in every organization, and cannot be changed."""

from typing import Any

from pce.access.roles import ROLES, SCOPED
from pce.identifiers import OrgId, org_href


def role_href(org_id: OrgId, name: str) -> str:
    """``/orgs/1/roles/owner``."""
    return f"{org_href(org_id)}/roles/{name}"


def roles(org_id: OrgId) -> list[dict[str, Any]]:
    """All roles."""
    return [
        {
            "href": role_href(org_id, name),
            "name": name,
            "display_name": name.replace("_", " ").capitalize(),
            "description": description,
            "scoped": name in SCOPED,
        }
        for name, description in ROLES.items()
    ]
