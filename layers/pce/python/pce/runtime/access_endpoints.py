"""What the endpoints of users, roles and permissions do."""

from pce.errors import NotFound, Problem
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS
from pce.objects.permission import PERMISSIONS
from pce.objects.role import roles
from pce.runtime.api_call import Call, created, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import grant_permission
from pce.usecases.delete_object import delete_object


def list_roles(call: Call) -> Reply:
    """GET roles."""
    return whole(call, roles(call.caller.org_id))


def get_role(call: Call) -> Reply:
    """GET roles/{name}."""
    for role in roles(call.caller.org_id):
        if role["name"] == call.id:
            return ok(role)
    raise NotFound(Problem("role_not_found", f"there is no role {call.id}"))


def create_permission(call: Call) -> Reply:
    """POST permissions."""
    document = grant_permission.create_permission(call.caller, call.body, call.stores)
    return created(PERMISSIONS.shown(document))


def update_permission(call: Call) -> Reply:
    """PUT permissions/{id}."""
    grant_permission.update_permission(call.caller, call.id, call.body, call.stores)
    return no_content()


def delete_permission(call: Call) -> Reply:
    """DELETE permissions/{id}."""
    grant_permission.delete_permission(call.caller, call.id, call.stores)
    return no_content()


def delete_principal(call: Call) -> Reply:
    """DELETE auth_security_principals/{id}."""
    grant_permission.refuse_principal_in_use(call.caller, call.id, call.stores)
    delete_object(call.caller, AUTH_SECURITY_PRINCIPALS, call.id, call.stores)
    return no_content()
