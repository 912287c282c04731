"""The swarm itself, small: many real VENs against the local PCE, undisturbed and disturbed."""

import subprocess
import sys

import pytest

from tests.fakes.local_host import ROOT

VENS, HEARTBEAT_S = 40, 10


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_change_reaches_every_ven_by_bolt_and_through_a_killed_pce() -> None:
    """Undisturbed: no error at either side, no missed heartbeat, and a bolt for every VEN. With
    bolts lost, late and repeated and the PCE killed in the middle: all within one heartbeat
    interval of its return. A thousand are ``python -m tests.fleet.swarm --vens 1000``."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fleet.swarm", "--disturbed"),
            *("--vens", str(VENS), "--heartbeat-interval", str(HEARTBEAT_S)),
            *("--seconds", str(HEARTBEAT_S)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
