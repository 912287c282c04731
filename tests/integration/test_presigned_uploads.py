"""Uploads that somebody without AWS credentials may make."""

import pytest

from pce.store.archive import Archive
from pce.store.endpoint import Credentials, Endpoint


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_presigned_upload_is_signed_by_version_4(region: str) -> None:
    """Buckets made since June 2020 refuse the older method, which botocore picks by itself."""
    archive = Archive("archive", Endpoint(region, Credentials("test", "test")))
    url = archive.presigned_put("support_reports/1/x.tar.gz", "application/gzip", 5)
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
    assert "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost" in url
