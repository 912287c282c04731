"""The local host's HTTP API behaves as API Gateway's HTTP API does."""

import base64
import json
import socket
import ssl
import threading
import time

import pytest

from tests.fakes.local_host import FAKE_FUNCTIONS, LocalHost

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    state = tmp_path_factory.mktemp("http") / "state"
    with LocalHost(state, functions_dir=FAKE_FUNCTIONS, handler_timeout_s=1.5) as host:
        yield host


@pytest.fixture
def client(host):
    client = host.client()
    yield client
    client.close()


def event_of(client, *arguments, **options):
    answer = client.call(*arguments, **options)
    assert answer.status == 200, answer
    return answer.json()["event"]


def test_event_has_the_shape_of_payload_2(client, host):
    """Every field that API Gateway documents, with its names in its form."""
    event = event_of(client, "POST", "/api/v2/a%20b/echo?x=1&x=2&y=%20z&empty=", b"{}", JSON)
    context = event["requestContext"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == context["routeKey"] == "ANY /api/v2/{proxy+}"
    assert event["rawPath"] == context["http"]["path"] == "/api/v2/a b/echo"
    assert event["rawQueryString"] == "x=1&x=2&y=%20z&empty="
    assert event["queryStringParameters"] == {"x": "1,2", "y": " z", "empty": ""}
    assert event["pathParameters"] == {"proxy": "a b/echo"}
    assert event["headers"]["content-type"] == "application/json"
    assert event["headers"]["host"] == f"localhost:{host.port}"
    assert event["headers"]["x-forwarded-proto"] == "https"
    assert context["http"]["method"] == "POST"
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["domainName"] == "localhost"
    assert context["stage"] == "$default"
    assert abs(context["timeEpoch"] / 1000 - time.time()) < 60
    assert (event["body"], event["isBase64Encoded"]) == ("{}", False)


def test_repeated_headers_are_joined_and_cookies_set_apart(host):
    """Repeated headers come as one, separated by commas; the cookie header becomes a list."""
    tls = ssl.create_default_context(cafile=host.credentials()["ca_file"])
    request = (
        b"GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-One: a\r\nX-One: b\r\n"
        b"Cookie: k=v; l=w\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close\r\n\r\n"
    )
    with (
        socket.create_connection(("127.0.0.1", host.port), 10) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    event = json.loads(answer.partition(b"\r\n\r\n")[2])["event"]
    assert event["headers"]["x-one"] == "a,b"
    assert event["headers"]["x-forwarded-for"] == "10.0.0.1,127.0.0.1"
    assert event["cookies"] == ["k=v", "l=w"]
    assert "cookie" not in event["headers"]


@pytest.mark.parametrize(
    ("content_type", "as_text"),
    [
        ("application/json; charset=utf-8", True),
        ("text/plain", True),
        ("application/xml", True),
        ("application/javascript", True),
        ("application/octet-stream", False),
        ("application/x-www-form-urlencoded", False),
        (None, False),
    ],
)
def test_bodies_are_base64_unless_their_type_is_text(client, content_type, as_text):
    """API Gateway's rule: four kinds of types pass as text, all others as base64."""
    headers = {"Content-Type": content_type} if content_type else {}
    event = event_of(client, "POST", "/api/v2/echo", body=b"abc", headers=headers)
    assert event["isBase64Encoded"] is not as_text
    assert event["body"] == ("abc" if as_text else base64.b64encode(b"abc").decode())


def test_compressed_bodies_reach_the_function_as_sent(client):
    """The host never inflates a body: what it may inflate to is the function's to limit."""
    headers = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
    event = event_of(client, "POST", "/api/v2/echo", body=b"\x1f\x8bnot gzip", headers=headers)
    assert base64.b64decode(event["body"]) == b"\x1f\x8bnot gzip"
    assert event["headers"]["content-encoding"] == "gzip"


def test_binary_response_with_cookies(client):
    """A base64 result is decoded; each cookie becomes a Set-Cookie header."""
    answer = client.call("POST", "/api/v2/binary", bytes(range(256)))
    assert (answer.status, answer.body) == (201, bytes(range(256)))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["apigw-requestid"]
    assert answer.headers["server"] is None


def test_result_without_a_status_is_the_body(client):
    """A result without statusCode is a 200 whose body is the result as JSON."""
    answer = client.call("GET", "/api/v2/bare")
    assert (answer.status, answer.json()) == (200, {"no": "statusCode"})


@pytest.mark.parametrize("what", ["raise", "malformed", "not_json", "huge"])
def test_failing_function_is_a_500_without_details(client, host, what):
    """What went wrong is on stderr, not in the answer."""
    answer = client.call("GET", f"/api/v2/{what}")
    assert (answer.status, answer.json()) == (500, {"message": "Internal Server Error"})
    if what == "raise":
        assert "RuntimeError: the handler fell over" in host.said()


def test_slow_function_is_a_503(client):
    """A function that takes longer than the integration time-out is not waited for."""
    answer = client.call("POST", "/api/v2/sleep", b"2.5")
    assert (answer.status, answer.json()) == (503, {"message": "Service Unavailable"})


def test_functions_run_side_by_side(host):
    """One slow request does not hold up another."""
    slow = host.client()
    waiting = threading.Thread(target=slow.call, args=("POST", "/api/v2/sleep", b"1"))
    began = time.monotonic()
    waiting.start()
    quick = host.client()
    assert quick.call("GET", "/api/v2/echo").status == 200
    assert waiting.is_alive(), f"the quick one took {time.monotonic() - began} s"
    waiting.join()
    slow.close()
    quick.close()


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/api/v2"), ("GET", "/api/v1/labels"), ("GET", "/v")]
)
def test_unknown_path_is_a_404(client, method, path):
    """What no route takes is API Gateway's own 404."""
    answer = client.call(method, path)
    assert (answer.status, answer.json()) == (404, {"message": "Not Found"})


def test_function_that_cannot_be_loaded_is_a_500(client, host):
    """The other functions serve all the same; the log says what is missing."""
    assert client.call("POST", "/ven/v1/activate", b"{}").status == 500
    assert "function ven_activate cannot be loaded: there is no " in host.said()


@pytest.mark.parametrize(
    ("size", "content_type", "status"),
    [
        (4_500_000, "application/octet-stream", 201),
        (4_800_000, "application/octet-stream", 413),  # as base64 more than Lambda takes
        (6_500_000, "application/json", 413),
        (10 * 1024 * 1024 + 1, "application/octet-stream", 413),
    ],
)
def test_body_limits(client, size, content_type, status):
    """Lambda takes 6 MB of JSON, API Gateway 10 MB of body; beyond is a 413."""
    try:
        answer = client.call("POST", "/api/v2/binary", b"x" * size, {"Content-Type": content_type})
    except (BrokenPipeError, ConnectionResetError):
        assert size > 10 * 1024 * 1024  # refused while we were still sending: as good
        return
    assert answer.status == status
    if status == 413:
        assert answer.json() == {"message": "Request Entity Too Large"}
    else:
        assert len(answer.body) == size


def test_headers_over_10_kb_are_refused(client):
    """API Gateway's limit for the request line and all headers."""
    headers = {f"X-{i}": "v" * 1000 for i in range(11)}
    answer = client.call("GET", "/api/v2/echo", headers=headers)
    assert answer.status == 431


def test_tls_is_verified_and_modern(host):
    """The certificate chains to the CA file, strictly; TLS 1.1 is refused."""
    strict = ssl.create_default_context(cafile=host.credentials()["ca_file"])
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("localhost", "127.0.0.1"):
        with (
            socket.create_connection(("127.0.0.1", host.port), 10) as plain,
            strict.wrap_socket(plain, server_hostname=name) as connection,
        ):
            assert connection.version() in ("TLSv1.2", "TLSv1.3")
    with (
        socket.create_connection(("127.0.0.1", host.port), 10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
