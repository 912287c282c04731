"""The swarm itself, small: many real VENs against the local PCE."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.local_host import ROOT, LocalHost

VENS, SECONDS = 30, 20


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_heartbeat_is_answered_and_every_bolt_arrives(tmp_path: Path) -> None:
    """No error at either side; two hundred for two minutes are ``python -m tests.fleet.swarm``."""
    intervals = ("--heartbeat-interval", "5", "--flow-interval", "10")
    with LocalHost(tmp_path / "pce", arguments=intervals) as pce:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fleet.swarm"),
                *("--credentials", str(pce.state_dir / "credentials.json")),
                *("--vens", str(VENS), "--seconds", str(SECONDS)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"ERROR"' not in pce.said()
