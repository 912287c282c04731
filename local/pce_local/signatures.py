"""Checks AWS Signature Version 4 on what reaches this host, by signing it again with botocore.

Other users of the machine can reach a loopback port and anybody can reach the public one; only who
holds this instance's secret key, or got a URL from who does, may pass.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from botocore.auth import S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pce_local.config import REGION

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""AWS's own tolerance between the time in a signature and now."""

MAX_EXPIRES_S = 7 * 24 * 3600
"""The longest life of a presigned URL."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    _ALGORITHM + r" Credential=(?P<credential>[^,\s]+),"
    r"\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_TIMESTAMP = "%Y%m%dT%H%M%SZ"


class SignatureRefused(Exception):
    """The signature is missing, wrong or out of date; the message says which."""


@dataclass(frozen=True, slots=True)
class AwsKey:
    """An access key of this instance."""

    access_key: str
    secret_key: str = field(repr=False)

    def botocore(self) -> Credentials:
        """The same, as botocore takes it."""
        return Credentials(self.access_key, self.secret_key)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The parts of a request that a signature covers."""

    method: str
    url: str
    """As requested, still percent-encoded; scheme and host name are not looked at."""
    headers: Iterable[tuple[str, str]]
    body: bytes = b""


def check_header_signature(
    request: SignedRequest, key: AwsKey, service: str, now: datetime
) -> None:
    """Accept a request signed in its ``Authorization`` header, or raise SignatureRefused."""
    headers = {name.lower(): value for name, value in request.headers}
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise SignatureRefused("no AWS4-HMAC-SHA256 Authorization header")
    timestamp = headers.get("x-amz-date", "")
    if abs(now - _time(timestamp)) > MAX_CLOCK_SKEW:
        raise SignatureRefused("X-Amz-Date is more than 5 minutes away from now")
    _check(
        SigV4Auth(key.botocore(), service, REGION),
        request,
        timestamp,
        found["credential"],
        found["headers"],
        found["signature"],
    )


def check_presigned_url(request: SignedRequest, key: AwsKey, now: datetime) -> None:
    """Accept a presigned S3 URL, or raise SignatureRefused."""
    path, _, query = request.url.partition("?")
    parameters = {name: values[0] for name, values in parse_qs(query).items()}
    try:
        credential, timestamp, expires_s, signed, signature = (
            parameters["X-Amz-Credential"],
            parameters["X-Amz-Date"],
            int(parameters["X-Amz-Expires"]),
            parameters["X-Amz-SignedHeaders"],
            parameters["X-Amz-Signature"],
        )
    except (KeyError, ValueError) as error:
        raise SignatureRefused("not a presigned URL of Signature Version 4") from error
    issued = _time(timestamp)
    if not 0 < expires_s <= MAX_EXPIRES_S or issued - now > MAX_CLOCK_SKEW:
        raise SignatureRefused("X-Amz-Date or X-Amz-Expires is out of range")
    if now >= issued + timedelta(seconds=expires_s):
        raise SignatureRefused("Request has expired")
    covered = "&".join(p for p in query.split("&") if not p.startswith("X-Amz-Signature="))
    _check(
        S3SigV4QueryAuth(key.botocore(), "s3", REGION),
        SignedRequest(request.method, f"{path}?{covered}", request.headers),
        timestamp,
        credential,
        signed,
        signature,
    )


def _check(
    signer: SigV4Auth,
    request: SignedRequest,
    timestamp: str,
    credential: str,
    signed_headers: str,
    signature: str,
) -> None:
    names = set(signed_headers.split(";"))
    if "host" not in names:
        raise SignatureRefused("the host header is not signed")
    again = AWSRequest(request.method, request.url, data=request.body)
    for name, value in request.headers:
        if name.lower() in names:
            again.headers[name] = value
    again.context["timestamp"] = timestamp
    # Comparing what botocore would have signed also proves the scope: date, region and service.
    text = signer.string_to_sign(again, signer.canonical_request(again))
    expected = signer.signature(text, again)
    if not (
        hmac.compare_digest(credential, signer.scope(again))
        and hmac.compare_digest(signature, expected)
    ):
        raise SignatureRefused("the signature does not match")


def _time(timestamp: str) -> datetime:
    try:
        return datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureRefused("X-Amz-Date is not of the form YYYYMMDDTHHMMSSZ") from error
