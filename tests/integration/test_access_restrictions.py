"""From where users and service accounts may call, and whose word on that is believed."""

from typing import Any

import pytest

from functions.org_create.handler import handler as org_create
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api, basic
from tests.fakes.people import member

HERE = "192.0.2.1"
"""From where ``tests.fakes.api`` calls."""


def _restriction(api: Api, *ips: str, **more: Any) -> dict[str, Any]:
    body = {"name": f"only {ips}", "ips": list(ips), **more}
    return api.post(f"{api.org}/access_restrictions", body)


def _principal(owner: Api, name: str) -> str:
    [found] = owner.get(f"{owner.org}/auth_security_principals", name=name)
    return str(found["href"])


def _restrict(owner: Api, who: Api, restriction: dict[str, Any] | None) -> None:
    reference = {"href": restriction["href"]} if restriction else None
    principal = _principal(owner, who.created["user"]["username"])
    owner.put(principal, {"access_restriction": reference})


def _refused(api: Api, **headers: str) -> bool:
    answer = api.call("GET", "/product_version", **headers)
    return (answer.status, answer.status == 401 and answer.tokens) == (401, ["address_not_allowed"])


def test_a_user_calls_from_where_they_may(api: Api, stores: Wiring) -> None:
    """From the next request on, whatever roles they have; a refusal is an event with the address.
    Changing or taking away the restriction holds at once, too."""
    bob = member(api, stores, "admin")
    assert not _refused(bob)
    elsewhere = _restriction(api, "203.0.113.0/24")
    _restrict(api, bob, elsewhere)
    assert _refused(bob)
    [event] = list(api.events("request.authentication_failed"))[:1]
    assert event["created_by"]["user"]["username"] == bob.created["user"]["username"]
    assert event["action"]["src_ip"] == HERE
    assert not _refused(api)
    api.put(elsewhere["href"], {"ips": ["203.0.113.0/24", HERE]})
    assert not _refused(bob)
    api.put(elsewhere["href"], {"ips": ["203.0.113.0/24"]})
    assert _refused(bob)
    used = api.call("DELETE", elsewhere["href"])
    assert (used.status, used.tokens) == (406, ["access_restriction_in_use"])
    _restrict(api, bob, None)
    assert not _refused(bob)
    api.delete(elsewhere["href"])


def test_keys_and_sessions_are_restricted_apart(api: Api, stores: Wiring) -> None:
    """A restriction names the kind of credentials that it is not for."""
    made = api.post("/users", {"username": "ann@example.com"})
    token, password = made["invitation"]["token"], "Correct-Horse-7"
    said = {"username": "ann@example.com", "token": token, "password": password}
    assert api.call("POST", "/login_users/accept_invitation", said, authorization="").status == 204
    by_password = {"authorization": basic("ann@example.com", password)}
    keys = _restriction(api, "203.0.113.9", enforcement_exclusions=["user_sessions"])
    principal = _principal(api, "ann@example.com")
    api.put(principal, {"access_restriction": {"href": keys["href"]}})
    answer = api.call("POST", "/login_users/authenticate", **by_password)
    assert answer.status == 200
    logged_in = api.call(
        "GET", "/users/login", authorization=f"Token token={answer.json['auth_token']}"
    ).json
    session = basic(logged_in["auth_username"], logged_in["session_token"])
    assert not _refused(api, authorization=session)
    both = {"enforcement_exclusions": ["api_keys"]}
    api.put(keys["href"], both)
    assert _refused(api, authorization=session)
    assert api.call("POST", "/login_users/authenticate", **by_password).status == 401
    nothing = {"enforcement_exclusions": ["api_keys", "user_sessions"]}
    assert api.call("PUT", keys["href"], nothing).status == 406


def test_a_service_account_is_restricted(api: Api) -> None:
    """By an attribute of its own; it may not lock itself out either."""
    elsewhere, here = _restriction(api, "203.0.113.9"), _restriction(api, f"{HERE}/32")
    owner = [{"role": {"href": f"{api.org}/roles/owner"}}]
    body = {"name": "script", "permissions": owner, "api_key": {}}
    account = api.post(f"{api.org}/service_accounts", body)
    key = basic(f"api_{account['api_key_id']}", account["api_key_secret"])
    assert not _refused(api, authorization=key)

    def restrict(restriction: dict[str, Any], authorization: str) -> int:
        body = {"access_restriction": {"href": restriction["href"]}}
        return api.call("PUT", account["href"], body, authorization=authorization).status

    assert restrict(elsewhere, key) == 406
    assert restrict(here, key) == 204
    assert restrict(elsewhere, api.auth) == 204
    assert _refused(api, authorization=key)


def test_nobody_locks_themselves_out(api: Api, stores: Wiring) -> None:
    """Not by a restriction given, changed, or read by other proxies; the operator helps who was
    locked out by somebody else."""
    here, elsewhere = _restriction(api, HERE), _restriction(api, "203.0.113.9")
    mine = _principal(api, api.get("/users")[0]["username"])
    locked = ["would_lock_out"]
    given = {"access_restriction": {"href": elsewhere["href"]}}
    assert api.call("PUT", mine, given).tokens == locked
    api.put(mine, {"access_restriction": {"href": here["href"]}})
    assert api.call("PUT", here["href"], {"ips": ["203.0.113.9"]}).tokens == locked
    proxies = f"{api.org}/settings/trusted_proxy_ips"
    trusted = {"trusted_proxy_ips": [HERE]}
    forwarded = {"x_forwarded_for": "203.0.113.9"}
    assert api.call("PUT", proxies, trusted, **forwarded).tokens == locked
    assert not _refused(api)
    other = member(api, stores, "owner")
    other.put(mine, given)
    assert _refused(api)
    org_create({"org_id": api.created["org_id"]}, None)
    assert not _refused(api)


def test_a_trusted_proxy_says_who_calls(api: Api, stores: Wiring) -> None:
    """Restrictions and events go by the client's address; a header of anybody else's changes
    nothing."""
    bob = member(api, stores, "admin")
    _restrict(api, bob, _restriction(api, "203.0.113.0/24"))
    assert _refused(bob, x_forwarded_for="203.0.113.9")
    api.put(f"{api.org}/settings/trusted_proxy_ips", {"trusted_proxy_ips": [{"ip": HERE}]})
    assert not _refused(bob, x_forwarded_for="203.0.113.9")
    assert not _refused(bob, x_forwarded_for=f"203.0.113.9, {HERE}")
    assert _refused(bob, x_forwarded_for="203.0.113.9, 198.51.100.7")
    assert _refused(bob)
    label = {"key": "role", "value": "proxied"}
    said = {"x_forwarded_for": f"6.6.6.6, 203.0.113.9, {HERE}"}
    assert bob.call("POST", f"{api.org}/labels", label, **said).status == 201
    [event] = api.events("label.create")
    assert event["action"]["src_ip"] == "203.0.113.9"
    assert api.get(f"{api.org}/settings/trusted_proxy_ips")["trusted_proxy_ips"] == [
        {"pce_fqdn": None, "ip": HERE}
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ips": []},
        {"ips": ["office"]},
        {"ips": [f"192.0.2.{n}" for n in range(9)]},
        {"enforcement_exclusions": ["robots"]},
    ],
)
def test_restrictions_that_make_no_sense(api: Api, wrong: dict[str, Any]) -> None:
    """406, naming what is wrong; groups have none, and those of other orgs do not exist."""
    body = {"name": "r", "ips": ["192.0.2.0/24"], **wrong}
    assert api.call("POST", f"{api.org}/access_restrictions", body).status == 406
    group = {"name": "g", "type": "group", "access_restriction": {"href": "/orgs/1/x/1"}}
    assert api.call("POST", f"{api.org}/auth_security_principals", group).status == 406
