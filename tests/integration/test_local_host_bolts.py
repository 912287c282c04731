"""The local host's WebSocket API and its management API behave as API Gateway's do."""

import contextlib
import json
import urllib.error
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fakes.bolt_client import Bolt
from tests.fakes.local_host import FAKE_FUNCTIONS, LocalHost, wait_until


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    state = tmp_path_factory.mktemp("bolts") / "state"
    with LocalHost(state, functions_dir=FAKE_FUNCTIONS) as host:
        yield host


@pytest.fixture
def client(host):
    client = host.client()
    yield client
    client.close()


def open_bolt(host, authorization="200", **options):
    known = host.credentials()
    headers = {"Authorization": authorization}
    return Bolt(known["bolts_url"], known["ca_file"], headers, **options)


def connection_id(host):
    """Id of the connection that was opened last."""
    return host.recorded("bolts_connect")[-1]["event"]["requestContext"]["connectionId"]


def manage(client, **order):
    return client.call("POST", "/api/v2/connection", json.dumps(order)).json()


def test_connect_event(host):
    """$connect is told the headers of the upgrade, as sent, and who connects."""
    with open_bolt(host):
        event = host.recorded("bolts_connect")[-1]["event"]
    assert event["headers"]["Authorization"] == "200"
    assert event["multiValueHeaders"]["Authorization"] == ["200"]
    assert "queryStringParameters" not in event
    context = event["requestContext"]
    assert (context["routeKey"], context["eventType"]) == ("$connect", "CONNECT")
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert len(context["connectionId"]) == 16


@pytest.mark.parametrize(("answer", "status"), [("401", 401), ("403", 403), ("raise", 502)])
def test_refused_upgrade(host, answer, status):
    """What $connect answers is the status of the upgrade; no connection comes to be."""
    with pytest.raises(InvalidStatus) as refused:
        open_bolt(host, answer)
    assert refused.value.response.status_code == status


def test_plain_request_is_not_a_connection(client):
    """The WebSocket API is for upgrades only."""
    assert client.call("GET", "/bolts").status == 426


def test_messages(host):
    """Each message invokes $default, in order."""
    with open_bolt(host) as bolt:
        mine = connection_id(host)
        bolt.send("one")
        bolt.send(b"\x00two")

        def of_mine(function):
            return [
                line["event"]
                for line in host.recorded(function)
                if line["event"]["requestContext"]["connectionId"] == mine
            ]

        events = wait_until(lambda: len(found := of_mine("bolts_message")) == 2 and found)
    assert [(e["body"], e["isBase64Encoded"]) for e in events] == [
        ("one", False),
        ("AHR3bw==", True),
    ]
    assert events[0]["requestContext"]["eventType"] == "MESSAGE"
    assert "headers" not in events[0]


def test_failing_message_is_answered_with_an_error(host):
    """As on AWS the client hears that its message failed, and stays connected."""
    with open_bolt(host) as bolt:
        bolt.send("raise")
        error = json.loads(bolt.recv(timeout=10))
        assert error["message"] == "Internal server error"
        assert error["connectionId"] == connection_id(host)
        bolt.send("again")


def test_post_get_delete(host, client):
    """Functions reach a connection by its id through the SDK, until it is gone."""
    with open_bolt(host) as bolt:
        mine = connection_id(host)
        wait_until(lambda: manage(client, id=mine, post="hello") == {})
        assert bolt.recv(timeout=10) == "hello"
        assert manage(client, id=mine, get=True) == {"sourceIp": "127.0.0.1"}
        assert manage(client, id=mine, delete=True) == {}
        with pytest.raises(ConnectionClosed):
            bolt.recv(timeout=10)
    for order in ({"post": "late"}, {"get": True}, {"delete": True}):
        assert manage(client, id=mine, **order) == {"error": "GoneException"}


def test_message_sizes(host, client):
    """128 KB pass in both directions; more is refused, or closes the connection with 1009."""
    with open_bolt(host, max_size=None) as bolt:
        mine = connection_id(host)
        wait_until(lambda: manage(client, id=mine, post="x", times=128 * 1024) == {})
        assert len(bolt.recv(timeout=10)) == 128 * 1024
        answer = manage(client, id=mine, post="x", times=128 * 1024 + 1)
        assert answer == {"error": "PayloadTooLargeException"}
        bolt.send("x" * (128 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            bolt.recv(timeout=10)
    assert closed.value.rcvd.code == 1009


def test_slow_reader_is_busy_and_holds_up_nobody(host, client):
    """A client that does not read makes posts to it fail with 429, not wait."""
    with open_bolt(host, max_queue=1) as bolt:
        mine = connection_id(host)
        wait_until(lambda: manage(client, id=mine, post="x") == {})

        def busy():
            answer = manage(client, id=mine, post="x", times=100_000)
            return answer.get("error") == "LimitExceededException"

        wait_until(busy, timeout_s=60)
        with open_bolt(host) as other:
            theirs = connection_id(host)
            wait_until(lambda: manage(client, id=theirs, post="quick") == {})
            assert other.recv(timeout=10) == "quick"
        bolt.close_timeout = 0


def test_management_api_needs_a_signature(host, client):
    """Another user of this machine who finds the loopback port can do nothing with it."""
    event = client.call("GET", "/api/v2/environment").json()
    url = event["PCE_BOLTS_MANAGEMENT_URL"]
    for path in ("/@connections/abc", "/"):
        request = urllib.request.Request(url + path, data=b"x", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
        assert refused.value.code == 403
        refused.value.close()


@pytest.mark.parametrize("limit", ["bolt_idle_s", "bolt_life_s"])
def test_idle_and_old_connections_are_closed(tmp_path, limit):
    """Pings do not keep a connection, messages do; nothing keeps it beyond its life."""
    settings = {"bolt_idle_s": 60, "bolt_life_s": 60, limit: 1.5}
    with (
        LocalHost(tmp_path / "state", functions_dir=FAKE_FUNCTIONS, **settings) as host,
        open_bolt(host, ping_interval=0.2) as quiet,
        open_bolt(host, ping_interval=0.2) as busy,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                busy.send("x")
                with contextlib.suppress(TimeoutError):
                    quiet.recv(timeout=0.3)
        assert closed.value.rcvd.code == 1001
        if limit == "bolt_idle_s":
            busy.send("still here")
        else:
            with pytest.raises(ConnectionClosed):
                busy.recv(timeout=10)
