"""Large and immutable things in S3: support reports, traffic results, big policies, directories.

Key prefixes, each with its own life time in ``infra``: ``support_reports/``, ``traffic_results/``,
``policies/``, ``directories/``.
"""

from botocore.exceptions import ClientError

from pce.store.aws import aws_client, error_code

UPLOAD_EXPIRES_S = 3600
"""How long a presigned upload works: a report of 256 MB over a slow line takes half of that."""


class Archive:
    """One bucket."""

    def __init__(self, bucket: str, region: str, public_endpoint: str | None = None) -> None:
        """``public_endpoint``: where clients reach the bucket, when that is not AWS's own host."""
        self._bucket = bucket
        self._client = aws_client("s3", region)
        self._presigner = (
            aws_client("s3", region, public_endpoint) if public_endpoint else self._client
        )

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Store an object, replacing one of the same key."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)

    def get(self, key: str) -> bytes | None:
        """An object's bytes, or None when there is none."""
        try:
            reply = self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                return None
            raise
        body: bytes = reply["Body"].read()
        return body

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
