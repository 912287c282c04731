"""The programs of the demo: a local PCE, and VENs that can be killed like any process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
READY_TIMEOUT_S = 20
STOP_TIMEOUT_S = 8
"""Programs promise to stop within 5 s; the rest is this machine's load."""


class ProgramFailed(Exception):
    """A program of the demo ended when it should not have; the text shows its last words."""


class Program:
    """One child process, with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, ready: str = "") -> None:
        """Start it; wait for a line that begins with ``ready`` when one is given."""
        self._log = log
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._keep_output, args=(ready,), daemon=True)
        self._reader.start()
        if ready:
            self._wait_until_ready(ready)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as when the power fails."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for whoever does not listen."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def check(self) -> None:
        """Raise :class:`ProgramFailed` when it has ended."""
        if self._process.poll() is not None:
            raise ProgramFailed(f"ended with {self._process.returncode}:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its output."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def _keep_output(self, ready: str) -> None:
        if self._process.stdout is None:
            raise AssertionError("started with a pipe")
        with self._process.stdout as lines, self._log.open("ab") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if ready and line.decode(errors="replace").startswith(ready):
                    self._ready.set()

    def _wait_until_ready(self, ready: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._ready.wait(0.05):
            self.check()
            if time.monotonic() > deadline:
                self.kill()
                raise ProgramFailed(
                    f"no line {ready!r} in {READY_TIMEOUT_S} s:\n{self.last_words()}"
                )


def start_pce(
    state: Path, host: str, port: int, *, heartbeat_s: int, flows_s: int, sweep_s: int
) -> Program:
    """The local PCE on ``host``; its state is under ``state`` and survives it."""
    state.mkdir(parents=True, exist_ok=True)
    command = [
        str(BIN / "pce-local"), "--bind", host, "--hostname", host, "--port", str(port),
        "--state-dir", str(state), "--heartbeat-interval", str(heartbeat_s),
        "--flow-interval", str(flows_s), "--sweep-interval", str(sweep_s),
    ]  # fmt: skip
    return Program(command, state.parent / "pce.log", ready="ready https://")


def free_port(host: str) -> int:
    """A TCP port on ``host`` that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
