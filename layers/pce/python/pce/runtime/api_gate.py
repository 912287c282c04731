"""The way into the management API: who calls, and whether they may."""

import re
from collections.abc import Mapping
from dataclasses import replace

from pce.access.addresses import forwarded_hops
from pce.access.roles import Grant, Right
from pce.errors import NotAllowed, PceError, Problem, Unauthenticated
from pce.events.journal import SYSTEM, HttpAction
from pce.identifiers import OrgId
from pce.objects.user import is_username
from pce.runtime.api_call import Call, api_path, json_value
from pce.runtime.http import STATUS, Request, status_of
from pce.usecases.authenticate import (
    Identity,
    authenticate,
    basic_credentials,
    require_org,
)
from pce.usecases.caller import Caller
from pce.usecases.check_password import (
    identity_by_invitation,
    identity_by_password,
    require_fresh_password,
)
from pce.usecases.limit_requests import count_request, refuse_when_known
from pce.usecases.log_in import identity_of_token
from pce.usecases.record_refusal import record_refusal
from pce.usecases.restrict_access import address_of, require_allowed
from pce.usecases.stores import Stores


def admit(
    request: Request, path: Mapping[str, str], right: Right, stores: Stores, now: float
) -> Call:
    """The call with its caller authenticated, the org in its path checked to be theirs, and the
    grants by which they may use the endpoint.

    Raises :class:`Unauthenticated`, :class:`NotAllowed` and :class:`TooManyRequests`.
    """
    # The journal sets the status: it is known when the change is written.
    action = HttpAction(request.path, request.method, 0, request.source_ip)
    hops = forwarded_hops(request.headers.get("x-forwarded-for", ""))
    try:
        identity = _identity(request, stores, now)
    except Unauthenticated as error:
        address = address_of(request.source_ip, hops, error.org_id, stores)
        refused = replace(action, status=STATUS[Unauthenticated], source_ip=address)
        org_id, kind = OrgId(error.org_id), "request.authentication_failed"
        record_refusal(org_id, SYSTEM, refused, kind, error, stores, now)
        raise
    count_request(identity.auth_username or identity.href, stores, now)
    address = address_of(request.source_ip, hops, identity.org_id, stores)
    action = replace(action, source_ip=address)
    caller = Caller(identity.org_id, identity.href, identity.name, now, (), action)
    try:
        require_allowed(identity, address, stores)
        if "org" in path:
            require_org(identity, path["org"])
        grants = _grants(identity, request, path, right)
    except Unauthenticated as error:
        record_failure(caller, "request.authentication_failed", error, stores)
        raise
    except NotAllowed as error:
        record_not_allowed(caller, error, stores)
        raise
    return Call(
        request, path, replace(caller, grants=grants, held=identity.grants), identity, stores
    )


def record_not_allowed(caller: Caller, error: NotAllowed, stores: Stores) -> None:
    """Write down that a caller wanted more than their roles give."""
    record_failure(caller, "request.authorization_failed", error, stores)


def record_failure(caller: Caller, event_type: str, error: PceError, stores: Stores) -> None:
    """Write down that a caller's request was refused."""
    if caller.action is not None:
        action = replace(caller.action, status=status_of(error))
        actor = caller.actor
        record_refusal(caller.org_id, actor, action, event_type, error, stores, caller.now)


def _grants(
    identity: Identity, request: Request, path: Mapping[str, str], right: Right
) -> tuple[Grant, ...]:
    grants = right.used_by(identity.grants)
    is_self = right.self_too and identity.href == f"/users/{path.get('id')}"
    if not (grants or is_self or right.anybody):
        roles = ", ".join(sorted({grant.role for grant in identity.grants})) or "no role"
        needed = ", ".join(sorted(right.roles)) or "the user whom the path names"
        message = (
            f"{identity.name} has {roles}; {request.method} {api_path(request.path)} needs one of:"
            f" {needed}"
        )
        raise NotAllowed(Problem("forbidden", message))
    return grants


def _identity(request: Request, stores: Stores, now: float) -> Identity:
    path = api_path(request.path)
    authorization = request.headers.get("authorization", "")
    log_in_token = re.fullmatch(r"Token token=(\S{1,256})", authorization)
    if log_in_token and path == "/users/login":
        return identity_of_token(log_in_token[1], stores, int(now))
    if path == "/login_users/accept_invitation":
        name, token = _texts(request, "username", "token")
        return identity_by_invitation(name, token, stores, now)
    if path.startswith("/login_users/"):
        return _by_password(path, request, stores, now)
    return _by_key(authorization, stores, now)


def _by_key(authorization: str, stores: Stores, now: float) -> Identity:
    refuse_when_known(basic_credentials(authorization)[0], stores, now)
    return authenticate(authorization, stores, int(now))


def _by_password(path: str, request: Request, stores: Stores, now: float) -> Identity:
    """Name and password as Basic credentials, or in the body. For a log-in an API key serves too;
    for a new password only the old one, lest a key that was stolen become the account."""
    authorization = request.headers.get("authorization", "")
    if authorization:
        username, password = basic_credentials(authorization)
    else:
        username, password = _texts(request, "username", "password")
    if path == "/login_users/authenticate":
        if not is_username(username):
            return authenticate(authorization, stores, int(now))
        identity = identity_by_password(username, password, stores, now)
        require_fresh_password(identity, stores, now)
        return identity
    return identity_by_password(username, password, stores, now)


def _texts(request: Request, *names: str) -> list[str]:
    """Texts in the body that stand for credentials; raises :class:`Unauthenticated` without."""
    body = json_value(request)
    texts = [body.get(name) if isinstance(body, Mapping) else None for name in names]
    found = [text for text in texts if isinstance(text, str)]
    if len(found) < len(names):
        message = f"send {' and '.join(names)} in the body"
        raise Unauthenticated(Problem("authentication_failed", message))
    return found
