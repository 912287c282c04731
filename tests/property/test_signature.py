"""Our signatures are AWS's: equal to those of botocore, whatever is signed."""

import string
from datetime import UTC, datetime, timedelta
from unittest import mock
from urllib.parse import quote

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from pce.store.endpoint import Credentials, Endpoint
from pce.store.signature import Signer
from pce.store.signed_http import SignedHttp
from pce_local.signatures import (
    AwsKey,
    SignatureRefused,
    SignedRequest,
    check_header_signature,
    is_plain,
)

TOKENS = st.text(string.ascii_letters + string.digits + "+/=", min_size=1, max_size=400)
CREDENTIALS = st.builds(
    Credentials,
    access_key=st.text(string.ascii_uppercase + string.digits, min_size=4, max_size=20),
    secret_key=st.text(string.ascii_letters + string.digits + "+/", min_size=8, max_size=40),
    session_token=st.just("") | TOKENS,
)
REGIONS = st.sampled_from(["us-east-1", "eu-central-1", "ap-southeast-2", "us-gov-west-1"])
TIMES = st.integers(0, 4_000_000_000).map(lambda epoch_s: datetime.fromtimestamp(epoch_s, UTC))
HOSTS = st.sampled_from(["localhost", "127.0.0.1", "[::1]", "dynamodb.eu-west-1.amazonaws.com"])
URLS = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}" + (f":{port}" if port else ""),
    st.sampled_from(["http", "https"]),
    HOSTS,
    st.none() | st.sampled_from([80, 443]) | st.integers(1, 65535),
)


def of_botocore(signer_class, service, region, credentials, method, url, headers, body, at):
    """The headers that botocore would send."""
    request = AWSRequest(method, url, data=body, headers=headers)
    key = BotocoreCredentials(
        credentials.access_key, credentials.secret_key, credentials.session_token or None
    )
    with mock.patch("botocore.auth.get_current_datetime", return_value=at.replace(tzinfo=None)):
        signer_class(key, service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def host_header(service, url):
    """What ``SignedHttp`` says that it speaks to."""
    return SignedHttp(service, Endpoint("us-east-1", Credentials("a", "b"), url))._host_header


@given(
    CREDENTIALS,
    REGIONS,
    URLS,
    st.sampled_from(["UpdateItem", "GetItem", "Query", "Scan", "PutItem"]),
    st.binary(max_size=500),
    st.lists(TIMES, min_size=1, max_size=3),
)
def test_dynamodb_requests_are_signed_as_botocore_signs_them(
    credentials, region, url, operation, body, times
):
    """Byte for byte, with and without a session token, also when days pass over one signer."""
    signer = Signer(credentials, "dynamodb", region)
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{operation}",
    }
    for at in times:
        theirs = of_botocore(
            SigV4Auth, "dynamodb", region, credentials, "POST", url + "/", headers, body, at
        )
        ours = {"host": host_header("dynamodb", url), **headers}
        ours = signer.signed("POST", "/", ours, body, at.timestamp())
        assert ours.pop("host")
        assert ours == theirs


@given(CREDENTIALS, REGIONS, URLS, st.text(min_size=1, max_size=40), TIMES)
def test_s3_requests_are_signed_as_botocore_signs_them(credentials, region, url, key, at):
    """A GET of any key that is text, with its characters percent-encoded once."""
    path = f"/archive/{quote('directories/' + key, safe='/')}"
    theirs = of_botocore(S3SigV4Auth, "s3", region, credentials, "GET", url + path, {}, b"", at)
    ours = Signer(credentials, "s3", region).signed(
        "GET", path, {"host": host_header("s3", url)}, b"", at.timestamp()
    )
    assert ours.pop("host")
    assert ours == theirs


CONNECTION_IDS = st.text(min_size=1, max_size=40).filter(lambda id: id not in (".", ".."))


@given(CREDENTIALS, REGIONS, URLS, CONNECTION_IDS, st.binary(max_size=99), TIMES)
def test_posts_to_connections_are_signed_as_botocore_signs_them(
    credentials, region, url, connection_id, message, at
):
    """The id of a connection ends with "=": its path is encoded once to be sent, twice to sign."""
    path = f"/bolts/@connections/{quote(connection_id, safe='')}"
    theirs = of_botocore(
        SigV4Auth, "execute-api", region, credentials, "POST", url + path, {}, message, at
    )
    ours = Signer(credentials, "execute-api", region).signed(
        "POST", path, {"host": host_header("execute-api", url)}, message, at.timestamp()
    )
    assert ours.pop("host")
    assert ours == theirs


def test_a_missing_key_says_what_to_set():
    """Whoever forgot the credentials reads the variables' names, not a refusal from AWS."""
    try:
        Signer(Credentials("", ""), "dynamodb", "us-east-1")
    except ValueError as error:
        assert "AWS_ACCESS_KEY_ID" in str(error)
    else:
        raise AssertionError("accepted")


def test_secrets_do_not_show():
    """A settings object in a log or traceback tells no secret."""
    shown = repr(Endpoint("us-east-1", Credentials("AKIA", "secret-key", "session-token")))
    assert "AKIA" in shown and "secret-key" not in shown and "session-token" not in shown


NAMES = st.sampled_from(["host", "x-amz-target", "content-type", "x-other", "user-agent", "te"])
SEGMENTS = st.sampled_from(["@connections", "a%3D", "b c", "", ".", "..", "é"])


@given(
    st.lists(SEGMENTS, max_size=4),
    st.sampled_from(["", "?x=1", "?"]),
    st.lists(st.tuples(NAMES, st.text("ab  ", max_size=6)), max_size=5),
    st.binary(max_size=40),
    st.sampled_from(["", "method", "url", "body", "date", "key", "service", "headers"]),
)
def test_the_local_host_takes_what_botocore_signed_and_nothing_else(
    segments, query, headers, body, altered
):
    """Whether it is checked by botocore or by what is quicker; one thing that differs is enough."""
    now = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    key = AwsKey("AKIALOCAL", "secret")
    url = "http://127.0.0.1:9/" + "/".join(quote(s, safe="@%") for s in segments) + query
    given = {"host": "127.0.0.1:9", **dict(headers)}
    credentials = Credentials(key.access_key, key.secret_key)
    signed = of_botocore(SigV4Auth, "sqs", "us-east-1", credentials, "POST", url, given, body, now)
    request = {"method": "POST", "url": url, "headers": list(signed.items()), "body": body}
    service = "sqs"
    match altered:
        case "method":
            request["method"] = "PUT"
        case "url":
            request["url"] = url.removesuffix(query) + "/other" + query
        case "body":
            request["body"] = body + b"x"
        case "date":
            now += timedelta(days=1)
        case "key":
            key = AwsKey("AKIALOCAL", "another")
        case "service":
            service = "execute-api"
        case "headers":
            request["headers"] = [(n, v + "x" if n == "host" else v) for n, v in signed.items()]
    try:
        check_header_signature(SignedRequest(**request), key, service, now)
    except SignatureRefused:
        assert altered
    else:
        assert not altered


def test_what_functions_send_all_the_time_is_checked_quickly():
    """A post to a connection, and a message to a queue."""
    for url in ("http://127.0.0.1:9/@connections/a%3D", "http://127.0.0.1:9/"):
        headers = [("Host", "127.0.0.1:9"), ("X-Amz-Date", "20261128T120000Z")]
        assert is_plain(SignedRequest("POST", url, headers), frozenset({"host", "x-amz-date"}))
