"""The pairing script, run as the printed one-liner runs it, into a prefix of its own."""

import base64
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.ven_software.handler import handler
from infra.build_ven_package import build
from tests.fakes.pce import FakePce, fake_pce, wait_until
from tests.fleet.simulator import document
from ven.edge.files import DataDirectory
from ven_protocol.messages import Activate, Intervals

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def pce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePce]:
    monkeypatch.setenv("PCE_VEN_PACKAGES", str(build().parent))
    with fake_pce(tmp_path) as running:
        running.intervals = Intervals(heartbeat_s=1, flows_s=1)
        running.set_policy(document(2))
        running.software = serve
        yield running


def serve(path: str, query: str) -> tuple[int, bytes]:
    reply: dict[str, Any] = handler(
        {
            "rawPath": path,
            "rawQueryString": query,
            "headers": {},
            "pathParameters": {"version": path.split("/")[2]},
            "requestContext": {"http": {"method": "GET", "path": path}},
        },
        None,
    )
    body = reply["body"]
    content = base64.b64decode(body) if reply.get("isBase64Encoded") else body.encode()
    return reply["statusCode"], content


@pytest.fixture
def script(pce: FakePce, tmp_path: Path) -> Path:
    """Downloaded with curl and the CA file, as the one-liner says."""
    target = tmp_path / "pair.sh"
    url = f"{pce.url}/api/v25/software/ven/image?pair_script=pair.sh&profile_id=1"
    command = ["curl", "-sS", "--fail", "--cacert", pce.ca_file, url, "-o", str(target)]
    subprocess.run(command, check=True, env={"PATH": os.environ["PATH"]})
    return target


def run(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VEN_"))
    }
    return subprocess.run(
        ["sh", str(script), *words], capture_output=True, text=True, timeout=240, env=environment
    )


def test_one_liner_pairs_a_host(pce: FakePce, script: Path, tmp_path: Path) -> None:
    """Downloads by hash, installs with locked dependencies, activates, starts; the second run pairs
    nothing twice. Labels may hold spaces."""
    prefix, data = tmp_path / "opt", DataDirectory(tmp_path / "data")
    words = [
        *("--management-server", pce.server, "--activation-code", pce.code),
        *("--ca-file", pce.ca_file, "--mode", "visibility_only"),
        *("--role", "web server", "--app", "shop", "--simulate"),
        *("--prefix", str(prefix), "--data-dir", str(data.path)),
    ]
    try:
        done = run(script, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until("policy applied", pce.applied)
        ven = str(prefix / "bin" / "ven")
        shown = subprocess.run([ven, "status"], capture_output=True, text=True, check=True).stdout
        assert "running" in shown, "the wrapper knows the data directory"
        again = run(script, *words)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "installed already" in again.stdout
        assert "paired already" in again.stdout
        (activation,) = pce.told("activate")
        assert b'"web server"' in activation.body
        message = Activate.__name__, activation.headers["content-type"]
        assert message == ("Activate", "application/json")
        subprocess.run([ven, "--simulate", "unpair", "saved"], check=True, capture_output=True)
        assert pce.told("deactivate")
    finally:
        if pid := data.running_pid():
            os.kill(pid, signal.SIGKILL)


def test_nothing_is_installed_when_the_package_is_another(
    pce: FakePce, script: Path, tmp_path: Path
) -> None:
    """A package with another hash than the script's is refused before it is unpacked."""
    pce.software = lambda path, query: (200, b"something else")
    prefix = tmp_path / "opt"
    done = run(
        script, "--management-server", pce.server, "--activation-code", "c", "--simulate",
        "--ca-file", pce.ca_file, "--prefix", str(prefix), "--data-dir", str(tmp_path / "d"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "not the one of this script" in done.stderr
    assert list(prefix.iterdir()) == []


def test_untrusted_pce_gets_nothing(pce: FakePce, script: Path, tmp_path: Path) -> None:
    """Without the CA file the download fails, and no code is sent."""
    done = run(
        script, "--management-server", pce.server, "--activation-code", pce.code, "--simulate",
        "--prefix", str(tmp_path / "opt"), "--data-dir", str(tmp_path / "d"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "certificate" in done.stderr.lower()
    assert pce.told("activate") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "are needed"),
        (["--management-server"], "needs a value"),
        (["--what", "x"], "unknown option"),
        (["what"], "what is 'what'"),
        (["--management-server", "h", "--activation-code", "c", "--ca-file", "/no"], "cannot be"),
        (
            ["--management-server", "h", "--activation-code", "c", "--prefix", "/a b"],
            "only letters",
        ),
        (["--proxy-server", "p:1"], "connects directly"),
    ],
)
def test_wrong_use_says_what_is_wrong(script: Path, words: list[str], says: str) -> None:
    """Before anything is downloaded or written."""
    done = run(script, *words)
    assert done.returncode == 1
    assert says in done.stderr
