"""Public clients, unmodified, over HTTPS with our CA: the Python SDK with the integration suite that
its authors ship, the commands of `illumio-pylo`, the models of `illumio-py-open`.

All come from the package registry, by hash; none of them is in this repository. What cannot be
installed is replayed: `test_client_conversations.py`.
"""

import csv
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.operator import Credentials, Operator
from tests.e2e.stocked_org import Hrefs, stock
from tests.e2e.ven_client import VenClient
from tests.fakes.local_host import LocalHost

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE.parents[1] / "requirements"
UNREACHABLE = ("NameResolutionError", "ConnectTimeout", "dns error", "Failed to fetch", "timed out")
"""What pip and uv say when there is no registry; anything else is a failure."""

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHost]:
    with LocalHost(tmp_path_factory.mktemp("clients") / "state") as host:
        yield host


@pytest.fixture(scope="module")
def operator(host: LocalHost) -> Operator:
    return Operator(Credentials.read(host.state_dir / "credentials.json"))


@pytest.fixture(scope="module")
def stocked(operator: Operator) -> Hrefs:
    return stock(operator)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has `illumio-pylo` and `illumio-py-open`."""
    folder = tmp_path_factory.mktemp("environment")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    fetch = [uv, "pip", "install", "-q", "--no-deps", "--require-hashes", "--python", python]
    fetched([*fetch, "-r", REQUIREMENTS / "public-clients.txt"])
    return python


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK's source distribution: its suite is in no wheel."""
    folder = tmp_path_factory.mktemp("sdk")
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    fetched(
        [*fetch, "--require-hashes", "-r", REQUIREMENTS / "public-sdk.txt", "-d", folder],
    )
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def fetched(command: list[Any]) -> None:
    """Run an installer; skip the test when there is no registry."""
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode and any(words in run.stderr for words in UNREACHABLE):
        pytest.skip("the package registry cannot be reached")
    assert run.returncode == 0, run.stderr


def environment(operator: Operator, **settings: str) -> dict[str, str]:
    """Of a client's process: our CA is all that it trusts, and the way is direct."""
    trust = operator.credentials.ca_file
    ours = {"REQUESTS_CA_BUNDLE": trust, "SSL_CERT_FILE": trust, "NO_PROXY": "localhost"}
    return {**os.environ, **ours, **settings}


def new_key(operator: Operator, name: str) -> tuple[str, str]:
    """A key of its own for each client: requests are counted by key."""
    key = operator.create("/users/1/api_keys", {"name": name})
    return key["auth_username"], key["secret"]


def test_the_suite_of_the_sdk_passes(sdk: Path, host: LocalHost, operator: Operator) -> None:
    """All 64 cases of `illumio` 1.1.3, in an org that nobody has used yet."""
    known = operator.credentials
    settings = {
        "ILLUMIO_PCE_HOST": "https://localhost",
        "ILLUMIO_PCE_PORT": str(host.port),
        "ILLUMIO_PCE_ORG_ID": str(known.org_id),
        "ILLUMIO_API_KEY_USERNAME": known.api_key,
        "ILLUMIO_API_KEY_SECRET": known.api_secret,
        "PYTHONPATH": str(sdk),
    }
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--integration", "tests/integration"],
        cwd=sdk,
        env=environment(operator, **settings),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert re.search(r"\b64 passed\b", run.stdout), run.stdout[-500:]


NOT_THERE = {
    "syslog_destinations": "has no attribute '__args__'",
    "workload_settings": "has no attribute '__args__'",
}
"""Models of `illumio-py-open` that no PCE can satisfy: a truth value where destinations list their
PCEs, a number where timers are lists."""


def test_every_object_has_a_model(clients: Path, operator: Operator, stocked: Hrefs) -> None:
    """Each object of each collection that `illumio-py-open` knows is decoded, drafts and active
    ones, in lists and alone, and no attribute that its model has is lost."""
    key, secret = new_key(operator, "py-open")
    settings = {
        "PCE_URL": operator.credentials.url,
        "PCE_ORG": str(operator.credentials.org_id),
        "PCE_KEY": key,
        "PCE_SECRET": secret,
    }
    run = subprocess.run(
        [clients, HERE / "read_with_py_open.py"],
        env=environment(operator, **settings),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    unknown = [one for one in found["wrong"] if NOT_THERE.get(one[0], "nothing") not in one[2]]
    assert not unknown
    empty = {name for name, number in found["read"].items() if number == 0}
    assert empty == NO_OBJECTS | NOT_THERE.keys()


NO_OBJECTS = {
    "access_restrictions",
    "core_service_types",
    "detected_core_services",
    "discovered_virtual_servers",
    "kubernetes_workloads",
    "label_mapping_rules",
    "ldap_configs",
    "network_devices",
    "network_endpoints",
    "network_enforcement_nodes",
    "report_schedules",
    "saml_configs",
    "slbs",
    "system_events",
    "virtual_servers",
}
"""Lists that are empty in this PCE, always or until somebody fills them (docs/management-api.md)."""
