"""The AWS emulator as a child process: started on free ports of this machine, always stopped.

It runs in a virtual environment of its own (`make setup-emulator`), because it pins botocore.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from pce_local.certificates import ensure_certificates

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".emulator-venv" / "bin" / "python"

REGION = "us-east-1"
ACCOUNT = "000000000000"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20

#: The machine's settings that must not reach the emulator, the CDK or the functions: certificate
#: bundles replace the ones that belong to the connection, and AWS_* would name a real account.
NOT_INHERITED = (
    "AWS_",
    "PCE_",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    folder: Path
    port: int
    """AWS, without TLS, on loopback."""
    tls_port: int
    """The deployed PCE, HTTP and WebSocket."""
    ca_file: Path
    log: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.tls_port}"

    @property
    def bolts_url(self) -> str:
        return f"wss://localhost:{self.tls_port}/bolts"

    @property
    def routes(self) -> Path:
        """Where the front looks up the APIs; written after the deployment."""
        return self.folder / "routes.json"

    def client(self, service: str) -> Any:
        """A boto3 client for the emulated account."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def environment(self) -> dict[str, str]:
        """The environment for a program that should see the emulated account."""
        return {
            **_clean_environment(),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """Start an emulator with all its state in ``folder``; stop it on the way out, whatever
    happens. IAM is enforced: a function may do what its role says and nothing else."""
    if not PYTHON.exists():
        raise SystemExit(f"{PYTHON} is missing; run `make deploy-local`, which installs it")
    port, tls_port = _free_ports(2)
    certificates = folder / "tls"
    ca_file = ensure_certificates(certificates, ["localhost", "127.0.0.1"], datetime.now(UTC))
    scratch = folder / "tmp"
    scratch.mkdir()
    emulator = Emulator(folder, port, tls_port, ca_file, folder / "emulator.log")
    environment = {
        **_clean_environment(),
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # its broker would listen on every interface
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(Path(__file__).parent),
        "PCE_FRONT_PLAIN_PORT": str(port),
        "PCE_FRONT_ROUTES": str(emulator.routes),
    }
    server = certificates / "server.pem"
    with emulator.log.open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(PYTHON), "-m", "hypercorn", "emulator_front:app"),
                *("--insecure-bind", f"127.0.0.1:{port}"),
                *("--bind", f"127.0.0.1:{tls_port}"),
                *("--certfile", str(server), "--keyfile", str(server)),
                # Bolt connections end when the test does; their goodbye is not worth waiting for.
                *("--graceful-timeout", "1"),
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(emulator, process)
        yield emulator
    finally:
        _stop(process)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until_ready(emulator: Emulator, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the emulator ended at its start:\n{emulator.log.read_text()}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(f"{emulator.endpoint}/_ministack/health", timeout=2).close()
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer after {START_TIMEOUT_S} s:\n{emulator.log.read_text()}")
        time.sleep(0.1)  # seconds between looks


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the emulator, then what is left of its session: the functions are its children."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_TIMEOUT_S)
