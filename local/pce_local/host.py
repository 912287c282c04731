"""One running instance: puts the parts together, starts them in order and stops them in reverse.

client --TLS--> http_api / websocket_api / archive --> functions --> store
                loopback (connections, SQS) <-------------'  ^
                queue_poller, schedule ----------------------'
"""

import asyncio
import asyncio.sslproto
import contextlib
import logging
import os
import runpy
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from pce_local import routes
from pce_local.archive import Archive
from pce_local.atomic_files import write_atomically
from pce_local.certificates import ensure_certificates, server_context
from pce_local.config import REPOSITORY, HostConfig, StartError
from pce_local.environment import function_environment
from pce_local.firehose import Firehose
from pce_local.functions import Functions, HandlerFailed
from pce_local.http_api import HttpApi, public_application
from pce_local.http_events import MAX_HEADER_BYTES
from pce_local.loopback import Loopback
from pce_local.queue_poller import QueuePoller
from pce_local.resources import StoreClients, ensure_resources
from pce_local.schedule import Schedule
from pce_local.state_dir import StateDir
from pce_local.store_forwarding import StoreForwarder
from pce_local.store_process import StoreProcess
from pce_local.websocket_api import WebSocketApi

DRAIN_S = 3.0
"""How long requests, messages and a sweep get to finish when the host stops; everything else takes
under 2 s, so that a stop ends within 5 s."""

_ANY = {"0.0.0.0", "::"}  # noqa: S104 - not bound here, only recognized

TLS_BUFFER_BYTES = 32 * 1024
"""What asyncio reserves for each TLS connection. Its own choice, 256 KB, makes 1,000 idle bolts
cost 330 MB; a TLS record is at most 16 KB."""

ORG_NAME = "local"

ORG_CREATE_TIMEOUT_S = 20.0
"""More than its time-out on AWS, because the store has just begun to work."""

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serving(
    config: HostConfig, state: StateDir, store: StoreProcess, public: socket.socket
) -> AsyncIterator[dict[str, Any]]:
    """Serve on the bound socket ``public`` inside the block; gives what ``credentials.json`` says.

    One per process: handlers read the process's environment, which this sets. ``state`` and
    ``store`` stay the caller's.

    Raises:
        StartError: something cannot be started; the message says what to do.
    """
    async with contextlib.AsyncExitStack() as stack:  # closes in reverse order
        ca_file = ensure_certificates(state.tls, _names(config), datetime.now(UTC))
        _copy_ven_packages(state)
        key = state.aws_key()
        clients = StoreClients.connect(store.url, key)
        queue_urls = ensure_resources(clients)

        functions = Functions(config.functions_dir)
        stack.callback(functions.close)
        forwarder = StoreForwarder(store.url, key)
        stack.push_async_callback(forwarder.close)
        bolts = WebSocketApi(config, functions)
        pollers = {
            trigger.queue: QueuePoller(trigger, queue_urls[trigger.queue], clients.sqs, functions)
            for trigger in routes.QUEUE_TRIGGERS
        }

        def ring(queue: str) -> None:
            if queue in pollers:
                pollers[queue].ring()

        archive = Firehose(config.url, functions, forwarder)
        private = Loopback(bolts, forwarder, key, ring, archive).application()
        loopback_url = await _serve_loopback(stack, private)
        # Handlers read the environment when they are imported, and it holds the loopback's port.
        os.environ.update(
            function_environment(config, state, key, store.url, loopback_url, queue_urls)
        )
        functions.load(routes.functions())
        document = {**await _first_org(state, functions), **_addresses(config, str(ca_file))}

        stop_by = 0.0

        async def drain() -> None:
            while (
                functions.running or any(poller.running for poller in pollers.values())
            ) and time.monotonic() < stop_by:
                await asyncio.sleep(0.02)  # seconds

        def begin_to_stop() -> None:
            nonlocal stop_by
            stop_by = time.monotonic() + DRAIN_S

        schedule = Schedule(functions, clients, config.sweep_interval_s)
        stack.push_async_callback(drain)
        http = HttpApi(config, functions, routes.RouteTable())
        application = public_application(http, bolts, Archive(forwarder, key))
        await _serve_public(stack, application, state, public)
        for poller in pollers.values():
            stack.callback(poller.stop)
            poller.start()
        stack.callback(schedule.stop)
        schedule.start()
        stack.callback(begin_to_stop)
        state.write_credentials(document)
        yield document


async def _serve_loopback(stack: contextlib.AsyncExitStack, application: web.Application) -> str:
    """Serve the functions' private port; returns its URL."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _, port = runner.addresses[0][:2]
    return f"http://127.0.0.1:{port}"


async def _serve_public(
    stack: contextlib.AsyncExitStack,
    application: web.Application,
    state: StateDir,
    public: socket.socket,
) -> None:
    runner = web.AppRunner(
        application,
        auto_decompress=False,  # bodies reach the functions as they were sent
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        access_log=None,
        shutdown_timeout=DRAIN_S / 2,  # aiohttp waits that long, cancels, and waits again
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
    site = web.SockSite(runner, public, ssl_context=server_context(state.tls), backlog=512)
    try:
        await site.start()
    except OSError as error:  # another process took the port since we bound it
        raise StartError(f"cannot listen: {error}; choose another --port") from error


async def _first_org(state: StateDir, functions: Functions) -> dict[str, Any]:
    """What ``credentials.json`` says; at the first start, create the org that it is about."""
    document = state.credentials()
    if document:
        return document
    try:
        event = {"name": ORG_NAME}
        created = await functions.invoke(routes.ORG_CREATE, event, ORG_CREATE_TIMEOUT_S)
        wanted = ("org_id", "api_key", "api_secret", "activation_code")
        return {name: created[name] for name in wanted}
    except (HandlerFailed, TimeoutError, KeyError, TypeError) as error:
        raise StartError(f"the first org could not be created: {error}") from error


def _addresses(config: HostConfig, ca_file: str) -> dict[str, Any]:
    return {"url": config.url, "bolts_url": config.bolts_url, "ca_file": ca_file}


def _names(config: HostConfig) -> set[str]:
    """What clients may call this host; 0.0.0.0 and :: are addresses to listen on, not to call."""
    return {"localhost", "127.0.0.1", "::1", config.hostname, config.bind} - _ANY


def _copy_ven_packages(state: StateDir) -> None:
    """Pack the VEN and keep a copy of our own: the checkout may change while we run. Packages of
    other releases that lie there already are offered too.

    Without it everything works but the pairing of new machines, so a failure is only logged.
    """
    try:
        packages = runpy.run_path(str(REPOSITORY / "infra" / "build_ven_package.py"))["packages"]
        state.ven_packages.mkdir(exist_ok=True)
        for package in packages():
            write_atomically(state.ven_packages / package.name, package.read_bytes())
    except OSError:
        log.exception("the VEN package cannot be built; no machine can be paired from here")
