"""Presigned S3 URLs work against the local host's public port, and only while they are right."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import boto3
import pytest
from botocore.config import Config

from pce_local.signatures import AwsKey, SignatureRefused, SignedRequest, check_presigned_url
from tests.fakes.local_host import FAKE_FUNCTIONS, LocalHost


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    state = tmp_path_factory.mktemp("archive") / "state"
    with LocalHost(state, functions_dir=FAKE_FUNCTIONS) as host:
        yield host


@pytest.fixture
def client(host):
    client = host.client()
    yield client
    client.close()


def presigned(client, operation, key, expires_s=60, **more):
    """Path and query of a presigned URL."""
    order = json.dumps({"operation": operation, "key": key, "expires_s": expires_s, **more})
    url = urlsplit(client.call("POST", "/api/v2/presign", order).json())
    assert url.netloc == client.url.netloc
    return f"{url.path}?{url.query}"


def test_upload_and_download(client):
    """What is put to a presigned URL is in the bucket, with its type, and can be fetched."""
    key = "support_reports/ven 1+2/a%b.tgz"
    body = bytes(range(256)) * 5000  # in several chunks
    target = presigned(client, "put_object", key, content_type="application/gzip")
    answer = client.call("PUT", target, body, {"Content-Type": "application/gzip"})
    assert answer.status == 200, answer
    answer = client.call("GET", presigned(client, "get_object", key))
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == "application/gzip"


def test_functions_see_what_was_uploaded(client):
    """The same bucket, from the other side."""
    client.call("PUT", presigned(client, "put_object", "k"), b"hello")
    assert client.call("POST", "/api/v2/stored", b"k").json()["body"] == "hello"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda target: target.partition("?")[0],  # no signature
        lambda target: target[:-1] + ("0" if target[-1] != "0" else "1"),  # another signature
        lambda target: target.replace("mine", "theirs"),  # another key
        lambda target: target.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
        lambda target: target + "&versionId=1",
    ],
)
def test_spoiled_url_is_refused(client, spoil):
    """403, and nothing is read or written."""
    target = spoil(presigned(client, "put_object", "mine"))
    answer = client.call("PUT", target, b"x")
    assert answer.status == 403
    assert b"<Code>" in answer.body
    assert client.call("POST", "/api/v2/stored", b"mine").status == 500  # no such key


def test_url_is_for_one_method_and_one_content_type(client):
    """A URL to read does not write; a signed Content-Type must be the one that is sent."""
    assert client.call("PUT", presigned(client, "get_object", "k2"), b"x").status == 403
    target = presigned(client, "put_object", "k2", content_type="application/gzip")
    assert client.call("PUT", target, b"x", {"Content-Type": "text/html"}).status == 403
    assert client.call("DELETE", target).status == 405


def test_missing_object_is_a_404(client):
    """The store's own answer comes through."""
    answer = client.call("GET", presigned(client, "get_object", "absent"))
    assert answer.status == 404
    assert b"NoSuchKey" in answer.body


KEY = AwsKey("AKIDLOCAL", "secret")
URL = "https://pce.example:8443/archive/bucket/"


def url_of(key, expires_s=60, secret=KEY.secret_key, region="us-east-1"):
    presigner = boto3.client(
        "s3",
        endpoint_url="https://pce.example:8443/archive",
        region_name=region,
        aws_access_key_id=KEY.access_key,
        aws_secret_access_key=secret,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    parameters = {"Bucket": "bucket", "Key": key}
    return presigner.generate_presigned_url("get_object", parameters, ExpiresIn=expires_s)


def check(url, later_s=0, host="pce.example:8443"):
    now = datetime.now(UTC) + timedelta(seconds=later_s)
    check_presigned_url(SignedRequest("GET", url, [("Host", host)]), KEY, now)


def test_expiry_host_region_and_secret_are_checked():
    """Each part of a signature counts."""
    check(url_of("k"), later_s=50)
    for url, options in (
        (url_of("k"), {"later_s": 61}),
        (url_of("k"), {"later_s": -400}),
        (url_of("k"), {"host": "other.example"}),
        (url_of("k", region="eu-west-1"), {}),
        (url_of("k", secret="guess"), {}),
        (URL + quote("k"), {}),
        (URL + "k?X-Amz-Expires=1&X-Amz-Signature=ü", {}),
    ):
        with pytest.raises(SignatureRefused):
            check(url, **options)
