"""Checks AWS Signature Version 4 on what reaches this host, by signing it again: as botocore does,
and what functions send all the time (a path, no query) without it, in a tenth of its time.

Other users of the machine can reach a loopback port and anybody can reach the public one; only who
holds this instance's secret key, or got a URL from who does, may pass.
"""

import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import SIGNED_HEADERS_BLACKLIST, S3SigV4QueryAuth, SigV4Auth
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
_UNUSUAL = frozenset({*SIGNED_HEADERS_BLACKLIST, "x-amz-content-sha256"})
"""Headers that botocore does not sign, and one that stands for the body's hash."""


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
    names = frozenset(found["headers"].split(";"))
    if is_plain(request, names):
        credential, signature = plain_signature(request, key, service, timestamp, headers, names)
        _compare((found["credential"], found["signature"]), (credential, signature), names)
        return
    _check(
        SigV4Auth(key.botocore(), service, REGION),
        request,
        timestamp,
        found["credential"],
        found["headers"],
        found["signature"],
    )


def is_plain(request: SignedRequest, names: frozenset[str]) -> bool:
    """Whether :func:`plain_signature` can check the request, whose signed headers have these
    lower-case names: nothing in it has a rule of its own."""
    sent = [name.lower() for name, _ in request.headers]
    *folders, last = urlsplit(request.url).path[1:].split("/")
    return (
        "?" not in request.url
        and {"", ".", ".."}.isdisjoint(folders)
        and last not in (".", "..")
        and sum(name in names for name in sent) == len(names)  # each is there, and once
        and names.isdisjoint(_UNUSUAL)
    )


def plain_signature(
    request: SignedRequest,
    key: AwsKey,
    service: str,
    timestamp: str,
    headers: Mapping[str, str],
    names: frozenset[str],
) -> tuple[str, str]:
    """Credential and signature of a plain request, as botocore makes them; ``headers`` by
    lower-case name."""
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(names))
    path = quote(urlsplit(request.url).path, safe="/~")
    body_hash = sha256(request.body).hexdigest()
    signed_names = ";".join(sorted(names))
    text = f"{request.method.upper()}\n{path}\n\n{lines}\n{signed_names}\n{body_hash}"
    scope = f"{timestamp[:8]}/{REGION}/{service}/aws4_request"
    to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(text.encode()).hexdigest()}"
    day_key = _day_key(key.secret_key, timestamp[:8], service)
    signature = hmac.digest(day_key, to_sign.encode(), "sha256").hex()
    return f"{key.access_key}/{scope}", signature


@lru_cache(maxsize=16)
def _day_key(secret_key: str, day: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, REGION, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


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
    again = AWSRequest(request.method, request.url, data=request.body)
    for name, value in request.headers:
        if name.lower() in names:
            again.headers[name] = value
    again.context["timestamp"] = timestamp
    # Comparing what botocore would have signed also proves the scope: date, region and service.
    text = signer.string_to_sign(again, signer.canonical_request(again))
    expected = signer.signature(text, again)
    _compare((credential, signature), (signer.scope(again), expected), names)


def _compare(found: tuple[str, str], expected: tuple[str, str], names: Collection[str]) -> None:
    """Credential and signature, in constant time."""
    if "host" not in names:
        raise SignatureRefused("the host header is not signed")
    if not (
        hmac.compare_digest(found[0], expected[0]) and hmac.compare_digest(found[1], expected[1])
    ):
        raise SignatureRefused("the signature does not match")


def _time(timestamp: str) -> datetime:
    try:
        return datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureRefused("X-Amz-Date is not of the form YYYYMMDDTHHMMSSZ") from error
