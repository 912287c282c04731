"""Large and immutable things in S3: support reports, traffic results, directories.

Key prefixes, each with its own life time in ``infra``: ``support_reports/``, ``traffic_results/``,
``directories/``. Reading, which hot functions do, is one request of our own; what
only the others do goes through botocore, which is loaded then.
"""

from functools import cached_property
from typing import Any
from urllib.parse import quote

from pce.store.aws import aws_client
from pce.store.endpoint import Endpoint
from pce.store.signed_http import SignedHttp

UPLOAD_EXPIRES_S = 3600
"""How long a presigned upload works: a report of 256 MB over a slow line takes half of that."""


class ArchiveUnreadable(Exception):
    """S3 refused to hand out an object: a right is missing, or the bucket is."""


class Archive:
    """One bucket."""

    def __init__(self, bucket: str, endpoint: Endpoint, public_url: str | None = None) -> None:
        """``public_url``: where clients reach the bucket, when that is not AWS's own host."""
        self._bucket = bucket
        self._region = endpoint.region
        self._http = SignedHttp("s3", endpoint)
        self._public_url = public_url

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Store an object, replacing one of the same key."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)

    def get(self, key: str) -> bytes | None:
        """An object's bytes, or None when there is none. Raises :class:`ArchiveUnreadable`."""
        status, body = self._http.send("GET", f"/{self._bucket}/{quote(key, safe='/')}")
        if status == 200:
            return body
        if status == 404 and b"<Code>NoSuchKey</Code>" in body:
            return None
        shown = body[:500].decode(errors="replace")
        raise ArchiveUnreadable(f"GET s3://{self._bucket}/{key}: HTTP status {status}: {shown}")

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def presigned_put(self, key: str, content_type: str) -> str:
        """A URL to which one PUT with this Content-Type may be sent until it expires."""
        url: str = self._presigner.generate_presigned_url(
            "put_object",
            Params={"Bucket": self._bucket, "Key": key, "ContentType": content_type},
            ExpiresIn=UPLOAD_EXPIRES_S,
        )
        return url

    @cached_property
    def _client(self) -> Any:
        return aws_client("s3", self._region)

    @cached_property
    def _presigner(self) -> Any:
        if self._public_url is None:
            return self._client
        return aws_client("s3", self._region, self._public_url)
