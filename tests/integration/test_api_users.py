"""People: invited, with a password of their own, logged in, locked out, removed. Their keys, and
those of service accounts."""

import json
import time
from typing import Any
from unittest import mock

import pytest

from functions.api import handler as api_handler
from pce.access import passwords
from pce.access.passwords import ATTEMPTS, LOCKED_S
from pce.runtime.wiring import Wiring
from pce.usecases.authenticate import EXTENDED_EVERY_S
from tests.fakes.api import Answer, Api, basic, new_org
from tests.fakes.people import permit

PASSWORD = "Correct horse 1"


class Clock:
    """The time as the API function sees it."""

    def __init__(self) -> None:
        self.now = time.time()

    def __enter__(self) -> "Clock":
        self._patch = mock.patch.object(api_handler, "now", lambda: self.now)
        self._patch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.stop()


@pytest.fixture(autouse=True, scope="module")
def cheap_hashes() -> Any:
    """What a hash costs is another test's matter (``test_access_passwords.py``)."""
    with mock.patch.object(passwords, "LOG2_COST", 4):
        yield


@pytest.fixture
def clock() -> Any:
    with Clock() as clock:
        yield clock


@pytest.fixture(scope="module")
def owner(stores: Wiring) -> Api:
    return new_org("People")


def _invite(owner: Api, name: str) -> dict[str, Any]:
    made: dict[str, Any] = owner.post("/users", {"username": name, "full_name": "Ann"})
    return made


def _accept(owner: Api, user: dict[str, Any], password: str = PASSWORD, **other: Any) -> Answer:
    body = {
        "username": user["username"],
        "token": user["invitation"]["token"],
        "password": password,
        **other,
    }
    return owner.call("POST", "/login_users/accept_invitation", body, authorization="")


def _person(owner: Api, name: str, role: str = "read_only") -> dict[str, Any]:
    """A user with the password ``PASSWORD``."""
    user = _invite(owner, name)
    assert _accept(owner, user).status == 204
    if role:
        permit(owner, name, role)
    return user


def _authenticate(owner: Api, name: str, password: str) -> Answer:
    authorization = basic(name, password)
    return owner.call("POST", "/login_users/authenticate", authorization=authorization)


def _log_in(owner: Api, name: str, password: str = PASSWORD) -> dict[str, Any]:
    token = _authenticate(owner, name, password).json["auth_token"]
    answer = owner.call("GET", "/users/login", authorization=f"Token token={token}")
    assert answer.status == 200, answer.raw
    session: dict[str, Any] = answer.json
    return session


def _session_auth(session: dict[str, Any]) -> str:
    return basic(session["auth_username"], session["session_token"])


def test_from_invitation_to_session(owner: Api) -> None:
    """The whole way of a person: invited, password set, logged in, working, logged out."""
    user = _person(owner, "ann@example.com")
    assert user["local_profile"] == {"pending_invitation": True}
    session = _log_in(owner, "ann@example.com")
    assert session["href"] == user["href"] and session["orgs"][0]["href"] == owner.org
    assert session["inactivity_expiration_minutes"] == 10 and session["local"] is True
    auth = _session_auth(session)
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 200
    shown = owner.get(user["href"])
    assert shown["login_count"] == 1 and shown["last_login_ip_address"] == "192.0.2.1"
    assert shown["local_profile"] == {"pending_invitation": False}
    assert owner.call("PUT", f"{user['href']}/logout", {}, authorization=auth).status == 204
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 401


def test_name_and_password_may_come_in_the_body(owner: Api) -> None:
    """As one of the public clients sends them."""
    _person(owner, "body@example.com")
    body = {"username": "Body@Example.com", "password": PASSWORD}
    answer = owner.call("POST", "/login_users/authenticate", body, authorization="")
    assert answer.status == 200 and answer.json["auth_token"]


def test_an_invitation_works_once_and_for_a_week(owner: Api, clock: Clock) -> None:
    used = _invite(owner, "once@example.com")
    assert _accept(owner, used, token="0" * 64).status == 401
    assert _accept(owner, used).status == 204
    assert _accept(owner, used, password="Another horse 2").status == 401
    late = _invite(owner, "late@example.com")
    clock.now += 7 * 86_400
    assert _accept(owner, late).status == 401


def test_a_weak_password_is_refused_with_every_reason(owner: Api) -> None:
    """And the invitation stays good."""
    user = _invite(owner, "weak@example.com")
    answer = _accept(owner, user, password="weak")
    assert answer.status == 406 and set(answer.tokens) == {"invalid_password"}
    assert len(answer.json) == 4
    assert _accept(owner, user).status == 204


def test_a_user_name_belongs_to_one_user_of_all_orgs(owner: Api) -> None:
    """A name alone begins a log-in; upper and lower case do not count."""
    _invite(owner, "single@example.com")
    other = new_org("Others")
    answer = other.call("POST", "/users", {"username": "Single@example.com"})
    assert (answer.status, answer.tokens) == (406, ["user_not_unique"])
    assert owner.call("POST", "/users", {"username": "no address"}).status == 406


def test_guessing_locks_the_log_in_and_nothing_else(owner: Api, clock: Clock) -> None:
    """After so many wrong passwords the right one does not help, for a while; keys and sessions go
    on. The owner sees it, and there is an event."""
    user = _person(owner, "locked@example.com")
    session = _log_in(owner, "locked@example.com")
    for _ in range(ATTEMPTS):
        assert _authenticate(owner, "locked@example.com", "wrong").status == 401
    assert _authenticate(owner, "locked@example.com", PASSWORD).status == 401
    assert owner.get(user["href"])["locked"] is True
    [event] = [e for e in owner.events("user.update") if e["created_by"] == {"system": {}}][:1]
    assert event["resource_changes"][0]["changes"]["locked"]["after"] is True
    auth = _session_auth(session)
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 200
    clock.now += LOCKED_S
    assert _authenticate(owner, "locked@example.com", PASSWORD).status == 200
    assert owner.get(user["href"])["locked"] is False


def test_an_attempt_in_between_is_forgotten_by_the_right_password(owner: Api) -> None:
    _person(owner, "typo@example.com")
    for _ in range(2):
        for _ in range(ATTEMPTS - 1):
            assert _authenticate(owner, "typo@example.com", "typo").status == 401
        assert _authenticate(owner, "typo@example.com", PASSWORD).status == 200


def test_nobody_learns_which_names_there_are(owner: Api) -> None:
    """An unknown name, one without a password and a wrong password are answered alike."""
    _person(owner, "known@example.com")
    _invite(owner, "invited@example.com")
    answers = [
        _authenticate(owner, name, "wrong")
        for name in ("known@example.com", "unknown@example.com", "invited@example.com")
    ]
    assert len({(answer.status, answer.raw) for answer in answers}) == 1


def test_a_password_is_changed_by_the_old_one(owner: Api) -> None:
    """Not by a key or a session: who steals one does not get the account. Sessions end with it."""
    user = _person(owner, "change@example.com")
    session = _log_in(owner, "change@example.com")
    path = f"/login_users{user['href']}/password"
    body = {"password": "Another horse 2"}
    auth = _session_auth(session)
    assert owner.call("PUT", path, body, authorization=auth).status == 401
    assert owner.call("PUT", path, body).status == 401
    mine = basic("change@example.com", PASSWORD)
    reused = owner.call("PUT", path, {"password": PASSWORD}, authorization=mine)
    assert (reused.status, reused.tokens) == (406, ["invalid_password"])
    assert owner.call("PUT", path, body, authorization=mine).status == 204
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 401
    assert _authenticate(owner, "change@example.com", PASSWORD).status == 401
    assert _authenticate(owner, "change@example.com", "Another horse 2").status == 200
    other = _person(owner, "change2@example.com")
    theirs = f"/login_users{other['href']}/password"
    mine = basic("change@example.com", "Another horse 2")
    assert owner.call("PUT", theirs, body, authorization=mine).status == 403


def test_the_policy_of_the_org_counts(api: Api, clock: Clock) -> None:
    """Length and age as the owner sets them; an old password is good for setting a new one."""
    policy = "/authentication_settings/password_policy"
    api.put(policy, {"min_length": 12, "expire_time_days": 30})
    assert api.get(policy)["min_length"] == 12
    user = _invite(api, "policy@example.com")
    assert _accept(api, user, password="Short pass 1"[:11]).status == 406
    assert _accept(api, user).status == 204
    clock.now += 30 * 86_400
    answer = _authenticate(api, "policy@example.com", PASSWORD)
    assert (answer.status, answer.tokens) == (403, ["password_expired"])
    path = f"/login_users{user['href']}/password"
    mine = basic("policy@example.com", PASSWORD)
    new = {"password": "Another horse 2"}
    assert api.call("PUT", path, new, authorization=mine).status == 204
    assert _authenticate(api, "policy@example.com", "Another horse 2").status == 200


def test_a_session_ends_when_it_is_not_used(owner: Api, clock: Clock) -> None:
    """Ten minutes without use end it, use goes on, and a working day ends it anyway."""
    _person(owner, "idle@example.com")
    auth = _session_auth(_log_in(owner, "idle@example.com"))

    def status() -> int:
        return owner.call("GET", f"{owner.org}/labels", authorization=auth).status

    for _ in range(4):
        clock.now += 600 - EXTENDED_EVERY_S - 1
        assert status() == 200
    clock.now += 600
    assert status() == 401
    auth = _session_auth(_log_in(owner, "idle@example.com"))
    for _ in range(43_200 // 500):
        clock.now += 500
        assert status() == 200
    clock.now += 300
    assert status() == 401


def test_a_new_invitation_ends_what_was(owner: Api) -> None:
    """Whoever lost the password, or had it stolen: old password and sessions are gone."""
    user = _person(owner, "again@example.com")
    auth = _session_auth(_log_in(owner, "again@example.com"))
    again = owner.put(f"{user['href']}/local_profile/reinvite", {}, 200)
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 401
    assert _authenticate(owner, "again@example.com", PASSWORD).status == 401
    assert _accept(owner, {**user, **again}, password="Another horse 2").status == 204
    assert _authenticate(owner, "again@example.com", "Another horse 2").status == 200


def test_a_removed_user_can_do_nothing(owner: Api) -> None:
    """Key, session, password and permissions go; the name is free again, with no rights left."""
    user = _person(owner, "gone@example.com", "admin")
    session = _session_auth(_log_in(owner, "gone@example.com"))
    made = owner.call("POST", f"{user['href']}/api_keys", {"name": "k"}, authorization=session)
    key = basic(made.json["auth_username"], made.json["secret"])
    assert owner.call("GET", f"{owner.org}/labels", authorization=key).status == 200
    owner.delete(user["href"])
    for auth in (key, session):
        assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 401
    assert _authenticate(owner, "gone@example.com", PASSWORD).status == 401
    assert owner.call("GET", user["href"]).status == 404
    again = _person(owner, "gone@example.com", "")
    assert again["href"] != user["href"]
    auth = _session_auth(_log_in(owner, "gone@example.com"))
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 403


def test_the_last_owner_is_not_removed(api: Api) -> None:
    [first] = api.get("/users")
    answer = api.call("DELETE", first["href"])
    assert (answer.status, answer.tokens) == (406, ["last_owner"])
    assert api.get(first["href"])["href"] == first["href"]


def test_the_first_user_gets_a_password_like_everybody(api: Api) -> None:
    """By an invitation that the org's first API key makes."""
    [first] = api.get("/users")
    made = api.put(f"{first['href']}/local_profile/reinvite", {}, 200)
    assert _accept(api, {**first, **made}).status == 204
    assert _log_in(api, first["username"])["full_name"] == first["full_name"]


# Service accounts


def test_a_service_account_has_roles_and_keys_of_its_own(owner: Api) -> None:
    """Its first key comes with it, once; what it does is written down under its name."""
    role = {"role": {"href": f"{owner.org}/roles/admin"}, "scope": []}
    account = owner.post(
        f"{owner.org}/service_accounts",
        {"name": "deploy", "permissions": [role], "api_key": {"expires_in_seconds": -1}},
    )
    secret = account["api_key"]["secret"]
    assert account["api_key_secret"] == secret
    assert secret not in json.dumps(owner.get(account["href"]))
    auth = basic(account["api_key"]["auth_username"], secret)
    label = owner.call(
        "POST", f"{owner.org}/labels", {"key": "role", "value": "deployed"}, authorization=auth
    ).json
    assert label["created_by"] == {"href": account["href"]}
    [event] = list(owner.events("label.create"))[:1]
    expected = {"service_account": {"href": account["href"], "name": "deploy"}}
    assert event["created_by"] == expected
    said = owner.call("GET", "/users/login", authorization=auth).json
    assert said["href"] == account["href"] and said["orgs"][0]["href"] == owner.org
    answer = owner.call("POST", "/login_users/authenticate", authorization=auth)
    assert answer.status == 403
    owner.put(account["href"], {"permissions": []})
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 403
    owner.delete(account["href"])
    assert owner.call("GET", f"{owner.org}/labels", authorization=auth).status == 401


def test_keys_of_service_accounts_expire(owner: Api, clock: Clock) -> None:
    """At the second that was said; another key of the account goes on, and each can be deleted."""
    role = {"role": {"href": f"{owner.org}/roles/read_only"}}
    account = owner.post(f"{owner.org}/service_accounts", {"name": "keys", "permissions": [role]})
    keys = f"{account['href']}/api_keys"
    short = owner.post(keys, {"expires_in_seconds": 60})
    long = owner.post(keys, {})
    assert short["expires_at"] and "expires_at" not in long
    auths = [basic(key["auth_username"], key["secret"]) for key in (short, long)]

    def statuses() -> list[int]:
        return [
            owner.call("GET", f"{owner.org}/labels", authorization=auth).status for auth in auths
        ]

    clock.now += 59
    assert statuses() == [200, 200]
    clock.now += 1
    assert statuses() == [401, 200]
    owner.delete(f"{keys}/{long['key_id']}")
    assert statuses() == [401, 401]
    assert [key["key_id"] for key in owner.get(keys)] == [short["key_id"]]
    assert owner.call("POST", keys, {"expires_in_seconds": 0}).status == 406
    assert owner.call("POST", keys, {"expires_in_seconds": -2}).status == 406


def test_a_service_account_gets_no_role_of_another_org(owner: Api) -> None:
    role = {"role": {"href": "/orgs/999/roles/owner"}, "scope": []}
    body = {"name": "foreign", "permissions": [role]}
    assert owner.call("POST", f"{owner.org}/service_accounts", body).status == 406


def test_owners_see_and_delete_every_key(owner: Api) -> None:
    """Of users and service accounts, without anything secret."""
    account = owner.post(f"{owner.org}/service_accounts", {"name": "all", "api_key": {}})
    keys = owner.get(f"{owner.org}/api_keys")
    assert account["api_key_id"] in [key["key_id"] for key in keys]
    assert not any("secret" in name for key in keys for name in key)
    one = f"{owner.org}/api_keys/{account['api_key_id']}"
    assert owner.get(one) in keys and "secret" not in owner.get(one)
    owner.delete(one)
    assert owner.call("DELETE", one).status == owner.call("GET", one).status == 404


@pytest.mark.parametrize("kind", ["ldap_configs", "saml_configs"])
def test_a_configuration_by_which_nobody_could_log_in_is_refused(api: Api, kind: str) -> None:
    """Rather than kept without an effect; the refusal is an event, without what was sent."""
    path = f"/authentication_settings/{kind}"
    sent = {"address": "ldap.example.com", "bind_password": "do-not-keep-me"}
    answer = api.call("POST", path, sent)
    assert (answer.status, answer.tokens) == (406, ["single_sign_on_not_available"])
    assert api.get(path) == []
    [event] = api.events(f"{kind.removesuffix('s')}.create")
    assert event["status"] == "failure" and "do-not-keep-me" not in str(event)
    assert api.call("GET", f"{path}/1").status == 404


@pytest.mark.parametrize("username", ["", "a" * 2000 + "@example.com", "\0", "\ud800@example.com"])
def test_a_name_that_nobody_can_have_is_refused(shared_api: Api, username: str) -> None:
    """401 like any wrong name: it is no key of the table."""
    for path in ("/login_users/authenticate", "/login_users/users/1/password"):
        method = "PUT" if path.endswith("password") else "POST"
        body = {"username": username, "password": "x"}
        answer = shared_api.call(method, path, body, authorization="")
        assert answer.status in (401, 406), answer.raw
        if username.isascii():
            assert answer.status == 401
