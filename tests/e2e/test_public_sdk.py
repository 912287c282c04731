"""The public Python SDK, unmodified, with the integration suite that its authors ship."""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.fakes.local_host import LocalHost

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements" / "public-sdk.txt"


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its source distribution, from the package registry and with the hash that we know: the suite
    is in no wheel, and none of it is in this repository."""
    folder = tmp_path_factory.mktemp("sdk")
    fetch = ("download", "-q", "--no-deps", "--no-binary", ":all:", "--require-hashes")
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", *fetch, "-r", REQUIREMENTS, "-d", folder],
        capture_output=True,
        text=True,
    )
    if "NameResolutionError" in fetched.stderr or "ConnectTimeout" in fetched.stderr:
        pytest.skip("the package registry cannot be reached")
    assert fetched.returncode == 0, fetched.stderr
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


@pytest.mark.e2e
@pytest.mark.slow
def test_its_own_suite_passes(sdk: Path, tmp_path: Path) -> None:
    """All cases, over HTTPS with our CA and nothing switched off."""
    with LocalHost(tmp_path / "state") as host:
        known = json.loads((host.state_dir / "credentials.json").read_text())
        settings = {
            "ILLUMIO_PCE_HOST": "https://localhost",
            "ILLUMIO_PCE_PORT": str(host.port),
            "ILLUMIO_PCE_ORG_ID": str(known["org_id"]),
            "ILLUMIO_API_KEY_USERNAME": known["api_key"],
            "ILLUMIO_API_KEY_SECRET": known["api_secret"],
            "REQUESTS_CA_BUNDLE": known["ca_file"],
            "NO_PROXY": "localhost",
            "PYTHONPATH": str(sdk),
        }
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "--integration", "tests/integration"],
            cwd=sdk,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, run.stdout[-5000:]
    assert re.search(r"\b64 passed\b", run.stdout), run.stdout[-500:]
