"""Large and immutable things in S3: support reports, traffic results, directories, enforcement
instructions of switches.

Key prefixes, each with its own life time in ``infra``: ``support_reports/``, ``traffic_results/``,
``directories/``, ``enforcement_instructions/``. Reading, which hot functions do, is one request of
our own; what only the others do goes through botocore, which is loaded then.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import quote

from pce.store.aws import aws_client
from pce.store.endpoint import Endpoint
from pce.store.signed_http import SignedHttp

UPLOAD_EXPIRES_S = 3600
"""How long a presigned upload works: a report of 256 MB over a slow line takes half of that."""


DOWNLOAD_EXPIRES_S = 300
"""How long a presigned download may begin: clients follow a redirect at once."""
PART_BYTES = 8_000_000
"""Parts of an upload: S3 wants 5 MB at least, of all but the last."""


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

    def put_parts(self, key: str, parts: Iterable[bytes], content_type: str, encoding: str) -> int:
        """Store an object that is made piece by piece; returns its bytes. Of what is made, never
        more than ``PART_BYTES`` and one piece is held. ``encoding`` is its Content-Encoding.

        The object is there once it is whole: when making it fails, nothing is.
        """
        kind = {"ContentType": content_type, "ContentEncoding": encoding}
        where = {"Bucket": self._bucket, "Key": key}
        begun = self._client.create_multipart_upload(**where, **kind)
        upload = {**where, "UploadId": begun["UploadId"]}
        done: list[dict[str, Any]] = []
        size = 0
        try:
            for number, part in enumerate(_gathered(parts), start=1):
                reply = self._client.upload_part(**upload, PartNumber=number, Body=part)
                done.append({"PartNumber": number, "ETag": reply["ETag"]})
                size += len(part)
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
        except BaseException:
            self._client.abort_multipart_upload(**upload)
            raise
        return size

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

    def presigned_put(self, key: str, content_type: str, size_bytes: int) -> str:
        """A URL to which one PUT with this Content-Type and exactly so many bytes may be sent until
        it expires."""
        url: str = self._presigner.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ContentType": content_type,
                "ContentLength": size_bytes,
            },
            ExpiresIn=UPLOAD_EXPIRES_S,
        )
        return url

    def presigned_get(self, key: str, filename: str = "") -> str:
        """A URL from which the object may be read until it expires; a browser keeps it under
        ``filename``."""
        parameters = {"Bucket": self._bucket, "Key": key}
        if filename:
            parameters["ResponseContentDisposition"] = f'attachment; filename="{filename}"'
        url: str = self._presigner.generate_presigned_url(
            "get_object", Params=parameters, ExpiresIn=DOWNLOAD_EXPIRES_S
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


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts of ``PART_BYTES`` or somewhat more, the last one smaller."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PART_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
