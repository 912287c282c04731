"""The public TLS port: the HTTP API, and the way to the WebSocket API and the archive beside it."""

import asyncio
import logging
import uuid
from datetime import UTC, datetime

from aiohttp import web

from pce_local.archive import Archive
from pce_local.config import HostConfig
from pce_local.functions import Functions, HandlerFailed
from pce_local.http_events import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    HttpRequest,
    HttpResponse,
    MalformedResult,
    fits_lambda,
    http_event,
    http_response,
    message_response,
)
from pce_local.routes import RouteTable
from pce_local.websocket_api import WebSocketApi

BODY_TIMEOUT_S = 30.0
"""A body that takes longer to arrive is given up, as at API Gateway."""

log = logging.getLogger(__name__)


class HttpApi:
    """Turns requests into invocations and results into responses."""

    def __init__(self, config: HostConfig, functions: Functions, routes: RouteTable) -> None:
        self._config = config
        self._functions = functions
        self._routes = routes

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request as API Gateway would."""
        request_id = str(uuid.uuid4())
        answer = await self._answer(request, request_id)
        response = web.Response(status=answer.status, body=answer.body)
        for name, value in answer.headers:
            if name in ("content-type", "content-length"):
                response.headers[name] = value
            else:
                response.headers.add(name, value)
        if "content-length" in response.headers and request.method != "HEAD":
            del response.headers["content-length"]  # the body says it better
        response.headers["apigw-requestid"] = request_id
        return response

    async def _answer(self, request: web.Request, request_id: str) -> HttpResponse:
        raw_path, _, raw_query = request.raw_path.partition("?")
        header_bytes = len(request.raw_path) + sum(len(n) + len(v) for n, v in request.raw_headers)
        if header_bytes > MAX_HEADER_BYTES:
            return message_response(431, "Request Header Fields Too Large")
        match = self._routes.match(request.method, raw_path)
        if match is None:
            return message_response(404, "Not Found")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return message_response(413, "Request Entity Too Large")
        except TimeoutError:
            return message_response(408, "Request Timeout")
        except ConnectionError:  # the client went away, and nobody reads this
            return message_response(400, "Bad Request")
        event = http_event(
            HttpRequest(
                method=request.method,
                raw_path=raw_path,
                raw_query=raw_query,
                headers=tuple(request.headers.items()),
                body=body,
                source_ip=request.remote or "",
                port=self._config.port,
                received=datetime.now(UTC),
                request_id=request_id,
            ),
            match,
        )
        if not fits_lambda(event):
            return message_response(413, "Request Entity Too Large")
        function = match.route.function
        try:
            result = await self._functions.invoke(function, event, self._config.handler_timeout_s)
            return http_response(result)
        except MalformedResult as error:
            log.error("function %s: %s", function, error)
            return message_response(500, "Internal Server Error")
        except HandlerFailed:
            return message_response(500, "Internal Server Error")
        except TimeoutError:
            return message_response(503, "Service Unavailable")


def public_application(http: HttpApi, bolts: WebSocketApi, archive: Archive) -> web.Application:
    """Everything that the public port serves."""
    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.router.add_route("GET", "/bolts", bolts.handle)
    application.router.add_route("*", "/archive/{key:.+}", archive.handle)
    application.router.add_route("*", "/{path:.*}", http.handle)
    application.on_response_prepare.append(_hide_server)
    application.on_shutdown.append(lambda _: bolts.close_all())
    return application


async def _hide_server(_: web.Request, response: web.StreamResponse) -> None:
    """API Gateway does not name its software either."""
    response.headers.popall("Server", None)
