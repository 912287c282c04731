"""Who may call the management API, and what the others learn."""

import re

import pytest

from pce.runtime.api_routes import ENDPOINTS
from pce.runtime.wiring import Wiring
from pce.store.compression import unpack_json
from tests.fakes.api import Api, basic, new_org
from tests.fakes.installation import fake_aws

WITH_ORG = [(method, path) for method, path, _ in ENDPOINTS if "{org}" in path]


def test_an_api_key_is_let_in(api: Api) -> None:
    """The key that the operator received works at once."""
    assert api.get(f"{api.org}/labels") == []


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer v1.1.x.y",
        "Basic",
        "Basic %%%",
        basic("api_0123456789abcdef", "0" * 64),
        basic("api_../../orgs", "x"),
        basic("someone@example.com", "password"),
        "Basic bm9jb2xvbg==",
    ],
)
def test_anything_else_is_401(shared_api: Api, authorization: str) -> None:
    """Missing, malformed and unknown credentials are refused alike, with one token."""
    answer = shared_api.call("GET", f"{shared_api.org}/labels", authorization=authorization)
    assert (answer.status, answer.tokens) == (401, ["authentication_failed"])
    assert answer.headers["content-type"] == "application/json"


def test_a_wrong_secret_is_401(api: Api) -> None:
    """The right key with another secret is as good as none."""
    wrong = basic(api.created["api_key"], api.created["api_secret"][:-1] + "x")
    assert api.call("GET", f"{api.org}/labels", authorization=wrong).status == 401


@pytest.mark.parametrize(("method", "path"), WITH_ORG)
def test_another_org_is_403_on_every_endpoint(
    two_orgs: tuple[Api, Api], method: str, path: str
) -> None:
    """An org is a tenant: no path of another org answers, whatever it names."""
    mine, theirs = two_orgs
    named = path.replace("{org}", theirs.org.rsplit("/", 1)[-1]).replace("{version}", "draft")
    answer = mine.call(method, re.sub(r"\{\w+\}", "1", named), {})
    assert (answer.status, answer.tokens) == (403, ["not_your_org"])


@pytest.fixture(scope="module")
def two_orgs(stores: Wiring) -> tuple[Api, Api]:
    return new_org("Mine"), new_org("Theirs")


def test_hrefs_of_another_org_are_unknown(stores: Wiring) -> None:
    """A body that names another org's object is refused like one that names nothing."""
    mine, theirs = new_org("Mine"), new_org("Theirs")
    label = theirs.post(f"{theirs.org}/labels", {"key": "role", "value": "web"})
    answer = mine.call(
        "POST", f"{mine.org}/workloads", {"name": "w", "labels": [{"href": label["href"]}]}
    )
    assert (answer.status, answer.tokens) == (406, ["invalid_reference"])
    assert label["href"] in answer.json[0]["message"]


def test_a_deleted_key_is_refused_from_then_on(api: Api) -> None:
    """Revocation is instant: keys are read on each request."""
    user = api.get("/users")[0]["href"]
    key = api.post(f"{user}/api_keys", {"name": "ci"})
    auth = basic(key["auth_username"], key["secret"])
    assert api.call("GET", f"{api.org}/labels", authorization=auth).status == 200
    api.delete(key["href"])
    assert api.call("GET", f"{api.org}/labels", authorization=auth).status == 401
    assert [k["key_id"] for k in api.get(f"{user}/api_keys")] != [key["key_id"]]


def test_users_of_other_orgs_do_not_exist(stores: Wiring) -> None:
    """Users have no org in their path; they are found in the caller's org only."""
    mine, theirs = new_org("Mine"), new_org("Theirs")
    user = theirs.get("/users")[0]["href"]
    assert mine.call("GET", user).status == 404
    assert mine.call("POST", f"{user}/api_keys", {"name": "x"}).status == 403


def test_no_secret_is_stored(api: Api) -> None:
    """API secrets and activation codes lie in the tables as hashes only."""
    secrets = (api.created["api_secret"], api.created["activation_code"])
    client = fake_aws().client("dynamodb")
    tables = client.list_tables()["TableNames"]
    items = [item for table in tables for item in client.scan(TableName=table)["Items"]]
    assert len(items) > 20
    for item in items:
        body = item.get("body", {}).get("B")
        text = f"{item} {unpack_json(body) if body else ''}"
        assert not any(secret in text for secret in secrets)


def test_log_in_by_token(api: Api) -> None:
    """Credentials, then a token that works once, then a session that works like a key."""
    token = api.post("/login_users/authenticate", status=200)["auth_token"]
    by_token = f"Token token={token}"
    session = api.call("GET", "/users/login", authorization=by_token).json
    assert session["orgs"][0]["org_id"] == api.created["org_id"]
    auth = basic(session["auth_username"], session["session_token"])
    assert api.call("GET", f"{api.org}/labels", authorization=auth).status == 200
    assert api.call("GET", "/users/login", authorization=by_token).status == 401
    assert api.call("GET", f"{api.org}/labels", authorization=by_token).status == 401


def test_a_key_may_ask_who_it_is(api: Api) -> None:
    """With an API key the log-in names user and org, and opens no session."""
    said = api.get("/users/login")
    assert said["auth_username"] == api.created["api_key"]
    assert said["orgs"][0]["href"] == said["orgs"][0]["org_href"] == api.org
    assert "session_token" not in said and said["product_version"]["version"] == "25.2.0"


def test_liveness_needs_no_key(api: Api) -> None:
    """Load balancers have no credentials."""
    assert api.call("GET", "/node_available", authorization="").status == 200
    assert api.call("GET", "/noop", authorization="").status == 204
    assert api.call("GET", "/health", authorization="").status == 401
