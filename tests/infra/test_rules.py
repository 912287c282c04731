"""The rules of others: cdk-nag, cfn-lint, sam. What is accepted has its reason in the app."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.assembly import ROOT, Assembly

SAM = ROOT / ".sam-venv" / "bin" / "sam"
STACKS = ("pce-data", "pce-bolts", "pce-api", "pce-schedules", "pce-observability")
LINT_TIMEOUT_S = 110

each_stack = pytest.mark.parametrize("stack", STACKS)


def test_stacks(assembly: Assembly) -> None:
    """Data, the two APIs, what runs by itself, and what watches."""
    assert set(assembly.templates) == set(STACKS)


def test_a_broken_rule_stops_the_synthesis(tmp_path: Path) -> None:
    """cdk-nag is really asked: an app with an open bucket does not synthesize."""
    app = (
        "import aws_cdk as cdk, cdk_nag\n"
        "from aws_cdk import aws_s3 as s3\n"
        "app = cdk.App()\n"
        "s3.Bucket(cdk.Stack(app, 'Bad'), 'Open')\n"
        "cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))\n"
        "app.synth()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", app],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LINT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode != 0
    assert "AwsSolutions-S10" in done.stdout + done.stderr


def test_every_acknowledged_finding_has_a_reason(assembly: Assembly) -> None:
    """An exception without a reason is a rule that nobody looked at."""
    acknowledged = [
        (place, entry["data"])
        for file in assembly.folder.glob("*.metadata.json")
        for place, entries in json.loads(file.read_text()).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
    ]
    assert len(acknowledged) > 10
    for place, rules in acknowledged:
        for rule, reason in rules.items():
            assert len(reason) > 20, f"{place}: {rule}"


@each_stack
def test_cfn_lint_is_clean(assembly: Assembly, stack: str) -> None:
    """No error, no warning."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), f"{assembly.folder}/{stack}.template.json"],
        capture_output=True,
        text=True,
        timeout=LINT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@each_stack
def test_sam_reads_the_template(assembly: Assembly, stack: str, tmp_path: Path) -> None:
    """`sam local invoke` works on what it can read: `sam validate --lint` agrees."""
    assert SAM.exists(), "the SAM command line is missing: `make test` installs it"
    done = subprocess.run(
        [
            *(str(SAM), "validate", "--lint", "--region", "us-east-1"),
            *("--template", f"{assembly.folder}/{stack}.template.json"),
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        timeout=LINT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout + done.stderr
