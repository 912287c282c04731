"""Between API Gateway and the product: bodies, errors, and whose token may call what."""

import base64
import gzip
import json
import uuid

import pytest

from pce import errors
from pce.runtime.http import (
    STATUS,
    Request,
    agent_of,
    error_reply,
    http_function,
    json_body,
    json_reply,
    request_of,
)
from ven_protocol.messages import Heartbeat
from ven_protocol.paths import AgentToken

VEN = uuid.UUID(int=7)


def event(body: str | None = None, base64_encoded: bool = False) -> dict[str, object]:
    return {
        "rawPath": "/ven/v1/x",
        "headers": {"Authorization": "Bearer x"},
        "requestContext": {"http": {"method": "POST", "sourceIp": "192.0.2.1"}},
        **({} if body is None else {"body": body, "isBase64Encoded": base64_encoded}),
    }


def request(body: bytes = b"", org: str = "1", ven: str = str(VEN), token: str = "") -> Request:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Request("POST", "/p", {"org_id": org, "ven_id": ven}, headers, "", body, "")


def test_bodies_arrive_as_bytes() -> None:
    """API Gateway sends text as it is and everything else in base64."""
    assert request_of(event("{}")).body == b"{}"
    assert request_of(event(base64.b64encode(b"\x1f\x8b").decode(), True)).body == b"\x1f\x8b"
    assert request_of(event()).body == b""
    assert request_of(event()).headers == {"authorization": "Bearer x"}


def test_a_body_that_is_not_base64_is_refused() -> None:
    """It is a 406, not a crash."""
    with pytest.raises(errors.Invalid):
        request_of(event("***", True))


@pytest.mark.parametrize("kind", STATUS)
def test_every_error_has_a_status_and_a_list_of_problems(kind: type[errors.PceError]) -> None:
    """The body is a JSON list of token, message and, when there is one, field."""
    reply = error_reply(kind(errors.Problem("token", "message", "field")))
    assert reply["statusCode"] == STATUS[kind]
    assert reply["headers"] == {"content-type": "application/json"}
    expected = [{"token": "token", "message": "message", "field": "field"}]
    assert json.loads(reply["body"]) == expected


def test_all_errors_of_the_tree_are_mapped() -> None:
    """A new error class needs a status."""
    assert set(errors.PceError.__subclasses__()) == set(STATUS)


def test_a_bug_is_not_dressed_up() -> None:
    """What is no PceError fails the function, so that it is counted and seen."""

    @http_function
    def broken(request: Request) -> dict[str, object]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken(event(), None)


def test_replies_carry_no_charset() -> None:
    """Compatible clients compare the content type whole."""
    assert json_reply(200, [])["headers"]["content-type"] == "application/json"
    assert json_reply(204) == {"statusCode": 204, "headers": {}, "body": ""}


def test_the_token_must_be_the_paths_own() -> None:
    """Another org or VEN in the path is 403, whatever the token's secret."""
    token = AgentToken.new(1, VEN)
    assert agent_of(request(token=str(token))) == token
    for org, ven in (("2", str(VEN)), ("1", str(uuid.UUID(int=8))), ("x", "y")):
        with pytest.raises(errors.NotAllowed):
            agent_of(request(org=org, ven=ven, token=str(token)))


@pytest.mark.parametrize("token", ["", "abc", "v1.1.zz.short", "v1.1." + "0" * 32])
def test_a_malformed_token_is_401(token: str) -> None:
    """It is refused before anything is asked of the store."""
    with pytest.raises(errors.Unauthenticated):
        agent_of(request(token=token))


def test_a_token_never_shows_its_secret() -> None:
    """Not in a log, not in a traceback."""
    token = AgentToken.new(1, VEN)
    assert token.secret in str(token)
    assert token.secret not in repr(token)


def test_the_offending_field_is_named() -> None:
    """By its path, also when it is missing."""
    for body, field in (
        (b'{"host": {"hostname": 1, "version": "1"}}', "host.hostname"),
        (b'{"host": {"hostname": "h"}}', "host.version"),
        (b"{}", "host"),
    ):
        with pytest.raises(errors.Invalid) as refused:
            json_body(request(body), Heartbeat)
        assert refused.value.problems[0].field == field


def test_bombs_and_damage_are_told_apart() -> None:
    """Too large is 413, damaged is 406."""
    with pytest.raises(errors.TooLarge):
        json_body(request(gzip.compress(bytes(20_000_000))), Heartbeat)
    with pytest.raises(errors.TooLarge):
        json_body(request(b" " * 1_000_001), Heartbeat)
    with pytest.raises(errors.Invalid):
        json_body(request(gzip.compress(b"{}")[:-3]), Heartbeat)
