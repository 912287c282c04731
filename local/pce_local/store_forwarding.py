"""Passes requests on to the store, signed with this instance's key."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from yarl import URL

from pce_local.config import REGION
from pce_local.signatures import AwsKey


class StoreForwarder:
    """A pool of connections to the store."""

    def __init__(self, url: str, key: AwsKey) -> None:
        """Must be made inside a running event loop."""
        self._url = url
        self._key = key
        # Big uploads take their time; what must not take long are the pauses.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=30),
            auto_decompress=False,
        )

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | bytes | None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request on; ``target`` is path and query, still percent-encoded.

        A request without a signature of its own is signed as one to S3: the store tells its
        services apart by the scope of the signature.
        """
        url = self._url + target
        headers = dict(headers)
        if "authorization" not in {name.lower() for name in headers}:
            request = AWSRequest(method, url, headers={})
            request.context["payload_signing_enabled"] = False  # the body is a stream
            S3SigV4Auth(self._key.botocore(), "s3", REGION).add_auth(request)
            headers.update(request.headers.items())
        return self._session.request(
            method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
