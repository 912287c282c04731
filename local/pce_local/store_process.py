"""The store: a roto-server child process that speaks DynamoDB, SQS and S3 on a loopback port.

It lives and dies with this process. Why roto-server, and why it syncs every commit to disk:
docs/decisions/0002-local-store.md.
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pce_local.config import ACCOUNT, StartError

START_TIMEOUT_S = 15.0
"""It starts in 0.1 s; a large database after a crash replays its log first."""

STOP_TIMEOUT_S = 1.0
"""It stops in 0.05 s; what it acknowledged is on disk, so a kill loses nothing."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StoreProcess:
    """A running roto-server."""

    def __init__(self, data_dir: Path, log_file: Path, lock: int) -> None:
        """Start it and wait until it answers.

        Must be called from the main thread before there are others: the child is tied to the
        thread that made it, and it runs Python between fork and exec.

        Args:
            data_dir: where it keeps its files.
            log_file: where its output goes; what was there is dropped.
            lock: a locked descriptor that stays locked until the store is gone as well.

        Raises:
            StartError: it is not installed, or does not start.
        """
        program = _program()
        self._log_file = log_file
        self.port = _free_loopback_port()
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(program, "--data-dir", str(data_dir), "--durable"),
                    *("--host", "127.0.0.1", "--port", str(self.port), "--account-id", ACCOUNT),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Nothing of this process's environment, proxies and credentials least of all.
                env={"PATH": os.defpath, "RUST_LOG": "warn", "NO_COLOR": "1"},
                pass_fds=(lock,),
                process_group=0,  # Ctrl-C is for the host, which stops the store last
                preexec_fn=_die_with(os.getpid()),
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def ended(self) -> str:
        """Wait until the process is gone by itself; says how it ended."""
        while self.process.poll() is None:
            await asyncio.sleep(0.5)  # seconds; an error surfaces in every request meanwhile
        return f"exit status {self.process.returncode}; its last words are in {self._log_file}"

    def stop(self) -> None:
        """Stop the process; safe to call again. Takes at most 2 seconds."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.01)  # seconds
        said = self._log_file.read_text(errors="replace").strip()[-500:]
        raise StartError(
            f"the store (roto-server) did not start within {START_TIMEOUT_S:g} s"
            f" (exit status {self.process.poll()}): {said or 'it said nothing'}"
        )


def _program() -> str:
    """The roto-server of this Python environment, else the one on PATH."""
    beside = Path(sys.executable).with_name("roto-server")
    program = str(beside) if beside.exists() else shutil.which("roto-server")
    if program is None:
        raise StartError("roto-server is not installed; `make setup` installs it (roto-aws)")
    return program


def _free_loopback_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with(parent: int) -> Callable[[], None]:
    """What the child runs before exec: the kernel shall kill it when its parent is gone."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before the kernel was told
            os._exit(1)

    return prepare
