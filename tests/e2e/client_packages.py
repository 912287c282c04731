"""Gets public clients from the package registry, by hash; none of them is in this repository."""

import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
UNREACHABLE = (
    "NameResolutionError",
    "name resolution",
    "ConnectTimeout",
    "dns error",
    "error sending request",
)
"""What pip and uv say when there is no registry; anything else is a failure."""


def installed_clients(folder: Path) -> Path:
    """An environment of its own in ``folder``, with `illumio-pylo` and `illumio-py-open`; its
    Python. Skips the test when there is no registry."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [uv, "pip", "install", "-q", "--no-deps", "--require-hashes", "--python", python]
    _fetch([*install, "-r", REQUIREMENTS / "public-clients.txt"])
    return python


def source_of_the_sdk(folder: Path) -> Path:
    """The unpacked source distribution of `illumio`. Skips the test when there is no registry."""
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    sdk = REQUIREMENTS / "public-sdk.txt"
    _fetch([*fetch, "--require-hashes", "-r", sdk, "-d", folder])
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def _fetch(command: list[Any]) -> None:
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode and any(words in run.stderr for words in UNREACHABLE):
        pytest.skip("the package registry cannot be reached")
    assert run.returncode == 0, run.stderr
