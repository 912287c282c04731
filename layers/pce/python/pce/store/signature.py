"""AWS Signature Version 4 for the few requests that hot functions make without botocore.

Source: "AWS Signature Version 4 for API requests", AWS General Reference. Ours equals botocore's
byte for byte (``tests/property/test_signature.py``), at 7 µs instead of 60 and without its import.
"""

import hmac
import time
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote

from pce.store.endpoint import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"


class Signer:
    """Signs requests to one service in one region. Threads may share it."""

    def __init__(self, credentials: Credentials, service: str, region: str) -> None:
        """Raises :class:`ValueError` when a part of the access key is missing."""
        if not (credentials.access_key and credentials.secret_key):
            raise ValueError(
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and"
                " AWS_SESSION_TOKEN for temporary ones), as Lambda does; profiles are not read here"
            )
        self._credentials = credentials
        self._service = service
        self._scope = f"{region}/{service}/aws4_request"
        self._key_of_day = ("", b"")

    def signed(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, now: float
    ) -> dict[str, str]:
        """The headers to send: those given, and the signature's.

        ``headers`` have lower-case names, ``host`` among them, and values without runs of blanks.
        ``path`` is percent-encoded as it is sent, and has no query. ``now`` is in epoch seconds;
        AWS refuses a signature that is more than 5 minutes off.
        """
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        day = timestamp[:8]
        body_hash = sha256(body).hexdigest()
        sent = {**headers, "x-amz-date": timestamp}
        if self._credentials.session_token:
            sent["x-amz-security-token"] = self._credentials.session_token
        if self._service == "s3":  # the one service that wants to be told what was hashed
            sent["x-amz-content-sha256"] = body_hash
        names = sorted(sent)
        lines = "".join(f"{name}:{sent[name]}\n" for name in names)
        signed_names = ";".join(names)
        # Every service but S3 signs the path encoded once more.
        signed_path = path if self._service == "s3" else quote(path, safe="/~")
        request = f"{method}\n{signed_path}\n\n{lines}\n{signed_names}\n{body_hash}"
        scope = f"{day}/{self._scope}"
        to_sign = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(self._key(day), to_sign.encode(), "sha256").hex()
        sent["authorization"] = (
            f"{_ALGORITHM} Credential={self._credentials.access_key}/{scope},"
            f" SignedHeaders={signed_names}, Signature={signature}"
        )
        return sent

    def _key(self, day: str) -> bytes:
        """The day's signing key; kept, because it is four of a signature's five hashes."""
        known_day, key = self._key_of_day  # one read: another thread may replace the pair
        if known_day != day:
            key = b"AWS4" + self._credentials.secret_key.encode()
            for part in (day, *self._scope.split("/")):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key_of_day = (day, key)
        return key
