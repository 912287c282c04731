"""What the endpoints of users, roles and permissions do."""

from collections.abc import Mapping
from typing import Any

from pce.access.addresses import forwarded_hops
from pce.errors import NotFound, Problem
from pce.identifiers import tail
from pce.objects.auth_security_principal import AUTH_SECURITY_PRINCIPALS
from pce.objects.permission import PERMISSIONS
from pce.objects.product import PRODUCT_VERSION
from pce.objects.role import roles
from pce.objects.service_account import SERVICE_ACCOUNTS
from pce.runtime.api_call import Call, created, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import (
    grant_permission,
    log_in,
    manage_api_keys,
    manage_service_accounts,
    manage_users,
    restrict_access,
)
from pce.usecases.write_object import find

# Logging in


def get_login_token(call: Call) -> Reply:
    """POST login_users/authenticate."""
    return ok({"auth_token": log_in.new_login_token(call.caller, call.stores)})


def log_in_user(call: Call) -> Reply:
    """GET users/login: with a log-in token a new session, with an API key who that is."""
    if call.identity.auth_username:
        said = log_in.who_am_i(call.caller, call.identity.auth_username, call.stores)
    else:
        said = log_in.open_session(call.caller, call.stores)
    return ok({**said, "product_version": PRODUCT_VERSION})


def log_out_user(call: Call) -> Reply:
    """PUT users/{id}/logout: ends the session whose credentials were sent."""
    log_in.log_out(call.caller, call.identity.auth_username, call.stores)
    return no_content()


def accept_invitation(call: Call) -> Reply:
    """POST login_users/accept_invitation: the first password."""
    password = call.body.get("password")
    manage_users.set_password(call.caller, password, "user.accept_invitation", call.stores)
    return no_content()


def change_password(call: Call) -> Reply:
    """PUT login_users/users/{id}/password: a new password by the old one."""
    body = call.body if isinstance(call.body, Mapping) else {}
    password = body.get("new_password", body.get("password"))
    manage_users.set_password(call.caller, password, "user.update_password", call.stores)
    return no_content()


# Users and their keys


def list_users(call: Call) -> Reply:
    """GET users."""
    return whole(call, manage_users.list_users(call.caller, call.stores))


def get_user(call: Call) -> Reply:
    """GET users/{id}."""
    return ok(manage_users.get_user(call.caller, call.id, call.stores))


def create_user(call: Call) -> Reply:
    """POST users: 201 with the invitation to set a password, which is shown only here."""
    user, invitation = manage_users.create_user(call.caller, call.body, call.stores)
    [shown] = manage_users.shown_users(call.caller, [user], call.stores)
    return created({**shown, "invitation": invitation})


def update_user(call: Call) -> Reply:
    """PUT users/{id}."""
    manage_users.update_user(call.caller, call.id, call.body, call.stores)
    return no_content()


def delete_user(call: Call) -> Reply:
    """DELETE users/{id}."""
    manage_users.delete_user(call.caller, call.id, call.stores)
    return no_content()


def reinvite_user(call: Call) -> Reply:
    """PUT users/{id}/local_profile/reinvite: a new invitation, which is shown only here."""
    invitation = manage_users.reinvite_user(call.caller, call.id, call.stores)
    return ok({"invitation": invitation})


def _user(call: Call) -> dict[str, Any]:
    return manage_users.find_user(call.caller, call.id, call.stores)


def list_api_keys(call: Call) -> Reply:
    """GET users/{id}/api_keys."""
    href = _user(call)["href"]
    return whole(call, manage_api_keys.list_api_keys(call.caller, href, call.stores))


def get_api_key(call: Call) -> Reply:
    """GET users/{id}/api_keys/{key}."""
    return ok(_key(call, _user(call)["href"]))


def create_api_key(call: Call) -> Reply:
    """POST users/{id}/api_keys: the only answer with the secret."""
    return created(manage_api_keys.create_api_key(call.caller, _user(call), call.body, call.stores))


def delete_api_key(call: Call) -> Reply:
    """DELETE users/{id}/api_keys/{key}."""
    key = _key(call, _user(call)["href"])
    manage_api_keys.delete_api_key(call.caller, key, call.stores)
    return no_content()


def _key(call: Call, owner_href: str) -> dict[str, Any]:
    return manage_api_keys.get_api_key(call.caller, owner_href, call.path["key"], call.stores)


def list_all_api_keys(call: Call) -> Reply:
    """GET api_keys: of all users and service accounts."""
    return whole(call, manage_api_keys.list_all_api_keys(call.caller, call.stores))


def get_any_api_key(call: Call) -> Reply:
    """GET api_keys/{id}."""
    return ok(_any_key(call))


def delete_any_api_key(call: Call) -> Reply:
    """DELETE api_keys/{id}."""
    manage_api_keys.delete_api_key(call.caller, _any_key(call), call.stores)
    return no_content()


def _any_key(call: Call) -> dict[str, Any]:
    """The key in the path, whoever has it. Raises :class:`NotFound`."""
    for key in manage_api_keys.list_all_api_keys(call.caller, call.stores):
        if tail(key["href"]) == call.id:
            return key
    raise NotFound(Problem("api_key_not_found", f"there is no API key {call.id}"))


# Service accounts


def create_service_account(call: Call) -> Reply:
    """POST service_accounts: with ``api_key`` also a first key; the only answer with its secret."""
    document = manage_service_accounts.create_service_account(call.caller, call.body, call.stores)
    return created(SERVICE_ACCOUNTS.shown(document))


def update_service_account(call: Call) -> Reply:
    """PUT service_accounts/{id}."""
    restrict_access.update_account(call.caller, call.identity, call.id, call.body, call.stores)
    return no_content()


def delete_service_account(call: Call) -> Reply:
    """DELETE service_accounts/{id}."""
    manage_service_accounts.delete_service_account(call.caller, call.id, call.stores)
    return no_content()


def _account(call: Call) -> dict[str, Any]:
    return find(call.caller, SERVICE_ACCOUNTS, call.id, call.stores).document


def list_service_account_keys(call: Call) -> Reply:
    """GET service_accounts/{id}/api_keys."""
    href = _account(call)["href"]
    return whole(call, manage_api_keys.list_api_keys(call.caller, href, call.stores))


def create_service_account_key(call: Call) -> Reply:
    """POST service_accounts/{id}/api_keys: the only answer with the secret."""
    key = manage_api_keys.create_service_account_key(
        call.caller, _account(call), call.body, call.stores
    )
    return created(key)


def delete_service_account_key(call: Call) -> Reply:
    """DELETE service_accounts/{id}/api_keys/{key}."""
    key = _key(call, _account(call)["href"])
    manage_api_keys.delete_api_key(call.caller, key, call.stores)
    return no_content()


# Roles and permissions


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


def create_principal(call: Call) -> Reply:
    """POST auth_security_principals."""
    made = restrict_access.create_principal(call.caller, call.identity, call.body, call.stores)
    return created(AUTH_SECURITY_PRINCIPALS.shown(made))


def update_principal(call: Call) -> Reply:
    """PUT auth_security_principals/{id}."""
    restrict_access.update_principal(call.caller, call.identity, call.id, call.body, call.stores)
    return no_content()


def delete_principal(call: Call) -> Reply:
    """DELETE auth_security_principals/{id}."""
    grant_permission.refuse_principal_in_use(call.caller, call.id, call.stores)
    restrict_access.delete_principal(call.caller, call.id, call.stores)
    return no_content()


# Access restrictions


def update_restriction(call: Call) -> Reply:
    """PUT access_restrictions/{id}."""
    restrict_access.update_restriction(call.caller, call.identity, call.id, call.body, call.stores)
    return no_content()


def delete_restriction(call: Call) -> Reply:
    """DELETE access_restrictions/{id}."""
    restrict_access.delete_restriction(call.caller, call.id, call.stores)
    return no_content()


def set_trusted_proxies(call: Call) -> Reply:
    """PUT settings/trusted_proxy_ips."""
    hops = forwarded_hops(call.request.headers.get("x-forwarded-for", ""))
    restrict_access.set_trusted_proxies(
        call.caller, call.identity, call.request.source_ip, hops, call.body, call.stores
    )
    return no_content()
