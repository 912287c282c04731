"""The command line: ``pce-local --port 8443 --state-dir .state/pce``."""

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any, TextIO

from pce_local.config import HostConfig, StartError
from pce_local.environment import forget_aws_settings
from pce_local.host import serving
from pce_local.json_log import log_to_stderr
from pce_local.state_dir import StateDir
from pce_local.store_process import StoreProcess

WANTED_FILES = 65_536
"""Far more bolts than one machine serves."""

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run one PCE until SIGTERM or SIGINT; returns the exit status."""
    return run(_config(arguments))


def run(config: HostConfig) -> int:
    """Run the host that ``config`` describes; returns the exit status (1: it could not go on)."""
    log_to_stderr()
    _allow_many_sockets()
    forget_aws_settings()
    # Some libraries log to stdout, as Lambda invites them to; ours is for the lines below.
    console, sys.stdout = sys.stdout, sys.stderr
    status = 0
    try:
        with contextlib.ExitStack() as stack:
            public = stack.enter_context(_bound_socket(config))
            state = StateDir(config.state_dir)
            stack.callback(state.release)
            store = StoreProcess(state.path / "store", state.path / "store.log", state.lock)
            stack.callback(store.stop)
            asyncio.run(_serve_until_told(config, state, store, public, console))
    except StartError as error:
        print(f"pce-local: {error}", file=sys.stderr)
        status = 1
    except Exception:
        log.exception("pce-local failed; please report this")
        status = 1
    logging.shutdown()
    console.flush()
    sys.stderr.flush()
    # Not sys.exit: it would wait for handlers that did not finish in time, perhaps for ever.
    os._exit(status)


async def _serve_until_told(
    config: HostConfig,
    state: StateDir,
    store: StoreProcess,
    public: socket.socket,
    console: TextIO,
) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with serving(config, state, store, public) as document:
        _introduce(config, document, console)
        waits = [loop.create_task(told.wait()), loop.create_task(store.ended())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        if not told.is_set():
            raise StartError(f"the store ended by itself: {await waits[1]}; start me again")
        for wait in waits:
            wait.cancel()


def _introduce(config: HostConfig, document: dict[str, Any], console: TextIO) -> None:
    """Say how to reach the PCE; the last line says that it accepts requests."""
    ca_file = document["ca_file"]
    script = f"{config.url}/api/v25/software/ven/image?pair_script=pair.sh&profile_id=1"
    print(
        f"PCE          {config.url}",
        f"CA file      {ca_file}",
        f"credentials  {config.state_dir / 'credentials.json'}",
        "",
        "Pair this machine, as root:",
        f"  curl --cacert {ca_file} '{script}' -o pair.sh &&"
        f" sh pair.sh --management-server {config.authority}"
        f" --activation-code {document['activation_code']} --ca-file {ca_file}",
        "",
        f"ready {config.url}",
        sep="\n",
        file=console,
        flush=True,
    )


def _allow_many_sockets() -> None:
    """Each bolt is a socket, and shells commonly allow a process 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _bound_socket(config: HostConfig) -> socket.socket:
    """The public socket, bound but not yet listening: nobody is kept waiting while we start.

    Raises:
        StartError: the address or the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in config.bind else socket.AF_INET
    public = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port whose last connections are still fading away may be taken over.
        public.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        public.bind((config.bind, config.port))
    except OSError as error:
        public.close()
        where = f"{config.bind} port {config.port}"
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"{where} is in use; choose another with --port") from error
        if error.errno == errno.EACCES:
            raise StartError(
                f"{where} needs root: ports below 1024 do; run as root or choose another with"
                " --port"
            ) from error
        raise StartError(f"cannot listen on {where}: {error}") from error
    return public


def _config(arguments: list[str] | None) -> HostConfig:
    defaults = HostConfig(port=0, state_dir=Path())
    parser = argparse.ArgumentParser(
        prog="pce-local", description="Runs a whole PCE on this machine: no AWS, no Docker."
    )
    parser.add_argument("--port", type=_port, required=True, help="HTTPS and WSS port")
    parser.add_argument(
        "--state-dir", type=Path, required=True, help="holds all state; made if it does not exist"
    )
    parser.add_argument(
        "--bind", default=defaults.bind, help="address to listen on (default %(default)s)"
    )
    parser.add_argument(
        "--hostname",
        default=defaults.hostname,
        help="name by which clients reach this host; in its URLs and its certificate"
        " (default %(default)s)",
    )
    for name, default, what in (
        ("heartbeat", defaults.heartbeat_interval_s, "between a VEN's heartbeats"),
        ("flow", defaults.flow_interval_s, "between a VEN's flow posts"),
        ("sweep", defaults.sweep_interval_s, "between looks for VENs that fell silent"),
    ):
        parser.add_argument(
            f"--{name}-interval",
            dest=f"{name}_interval_s",
            metavar="S",
            type=_seconds,
            default=default,
            help=f"seconds {what} (default %(default)s)",
        )
    options = vars(parser.parse_args(arguments))
    options["state_dir"] = options["state_dir"].absolute()
    return HostConfig(**options)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r}: give whole seconds from 1 to 86400")
    return int(text)
