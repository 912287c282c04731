"""Starts, stops and kills local hosts as processes, and speaks to a PCE over verified TLS."""

import contextlib
import http.client
import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
FAKE_FUNCTIONS = ROOT / "tests" / "fakes" / "functions"

READY_TIMEOUT_S = 30
"""It takes about a second; this machine may be busy."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout_s=20, every_s=0.02):
    """The first true value of a condition; fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every_s)
    raise AssertionError(f"not true within {timeout_s} s: {condition}")


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


class Client:
    """Calls a PCE; one connection, opened again when it was lost."""

    def __init__(self, url, ca_file, timeout_s=40):
        self.url = urlsplit(url)
        self.tls = ssl.create_default_context(cafile=ca_file)
        self._connection = http.client.HTTPSConnection(
            self.url.hostname, self.url.port, context=self.tls, timeout=timeout_s
        )

    def call(self, method, path, body=None, headers=None):
        try:
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except BaseException:
            self._connection.close()
            raise

    def close(self):
        self._connection.close()


class LocalHost:
    """A `pce-local` process on a state folder; `settings` beyond the command line need fakes."""

    def __init__(self, state_dir, port=None, functions_dir=None, arguments=(), **settings):
        self.state_dir = Path(state_dir)
        self.port = port or free_port()
        self.record = self.state_dir.parent / f"{self.state_dir.name}.record"
        if functions_dir is None and not settings:
            script = Path(sys.executable).with_name("pce-local")
            self.command = [script, "--port", str(self.port), "--state-dir", self.state_dir]
            self.command += arguments
        else:
            settings |= {
                "port": self.port,
                "state_dir": str(self.state_dir),
                "functions_dir": str(functions_dir or ROOT / "functions"),
            }
            self.command = [sys.executable, "-m", "tests.fakes.run_local_host"]
            self.command.append(json.dumps(settings))
        self.process = None
        self.lines = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Start it and wait for its `ready` line."""
        self.stderr = self.state_dir.parent / f"{self.state_dir.name}.stderr"
        with self.stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, "RECORD": str(self.record)},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        lines = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        self.lines = []
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not (self.lines and self.lines[-1].startswith("ready ")):
            try:
                line = lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise AssertionError(f"pce-local did not get ready: {self.said()}")
            self.lines.append(line)
        return self

    def _read(self, lines):
        with self.process.stdout as stdout:
            for line in stdout:
                lines.put(line.rstrip("\n"))
        lines.put(None)

    def said(self):
        """What is on stderr so far."""
        return self.stderr.read_text()

    def stop(self, number=signal.SIGTERM):
        """Stop it as an operator does; returns the seconds that it took."""
        if self.process.poll() is not None:
            return 0.0
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"pce-local did not stop in 10 s: {self.said()}") from None
        return time.monotonic() - began

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def credentials(self):
        return json.loads((self.state_dir / "credentials.json").read_text())

    def client(self, **options):
        known = self.credentials()
        return Client(known["url"], known["ca_file"], **options)

    def recorded(self, function):
        """What a fake function was given so far."""
        with contextlib.suppress(FileNotFoundError):
            lines = [json.loads(line) for line in self.record.read_text().splitlines()]
            return [line for line in lines if line["function"] == function]
        return []

    def store_process(self):
        """Process id of the store."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        (pid,) = [
            int(pid)
            for pid in children.split()
            if "roto-server" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        return pid
