"""Presigned S3 URLs on the public port: ``/archive/<bucket>/<key>?X-Amz-...``.

The product presigns with this instance's key for the public host name. The store neither takes
presigned URLs nor checks signatures, so both happen here; then the request goes on to the store.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web

from pce_local.signatures import AwsKey, SignatureRefused, SignedRequest, check_presigned_url
from pce_local.store_forwarding import StoreForwarder

PREFIX = "/archive"

MAX_UPLOAD_BYTES = 1024 * 1024 * 1024
"""Enough for any support report. S3 itself takes 5 GiB in one PUT; this disk is somebody's."""

# Not Range: the store answers a part with status 200, as if it were the whole.
_FORWARDED = ("content-type", "content-length", "content-md5")
_RETURNED = (
    "content-type",
    "content-length",
    "content-encoding",
    "content-disposition",
    "etag",
    "last-modified",
)


class Archive:
    """Serves presigned GET, HEAD and PUT."""

    def __init__(self, forwarder: StoreForwarder, key: AwsKey) -> None:
        self._forwarder = forwarder
        self._key = key

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check the signature, then pass the request on."""
        if request.method not in ("GET", "HEAD", "PUT"):
            return _error(405, "MethodNotAllowed", "Presigned URLs here are for GET, HEAD and PUT.")
        signed = SignedRequest(
            request.method, f"https://{request.host}{request.raw_path}", request.headers.items()
        )
        try:
            check_presigned_url(signed, self._key, datetime.now(UTC))
        except SignatureRefused as refused:
            code = "SignatureDoesNotMatch" if "does not match" in str(refused) else "AccessDenied"
            return _error(403, code, str(refused))
        body: AsyncIterator[bytes] | None = None
        if request.method == "PUT":
            if request.content_length is None:
                return _error(411, "MissingContentLength", "Send a Content-Length header.")
            if request.content_length > MAX_UPLOAD_BYTES:
                return _error(413, "EntityTooLarge", f"At most {MAX_UPLOAD_BYTES} bytes.")
            body = request.content.iter_any()
        return await self._pass_on(request, body)

    async def _pass_on(
        self, request: web.Request, body: AsyncIterator[bytes] | None
    ) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in _FORWARDED or name.lower().startswith("x-amz-meta-")
        }
        raw_path, _, query = request.raw_path.partition("?")
        # What S3 calls response overrides stays; the signature's own parameters go.
        query = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-"))
        target = raw_path.removeprefix(PREFIX) + (f"?{query}" if query else "")
        try:
            async with self._forwarder.send(request.method, target, headers, body) as reply:
                response = web.StreamResponse(status=reply.status)
                for name, value in reply.headers.items():
                    if name.lower() in _RETURNED or name.lower().startswith("x-amz-"):
                        response.headers[name] = value
                await response.prepare(request)
                if request.method != "HEAD":
                    async for chunk in reply.content.iter_any():
                        await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientError as error:
            if not request.protocol.connected:
                raise  # the client's doing
            return _error(503, "ServiceUnavailable", f"the store does not answer: {error}")


def _error(status: int, code: str, message: str) -> web.Response:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    )
    return web.Response(status=status, text=xml, content_type="application/xml")
