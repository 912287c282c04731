"""The synthesized templates, and short ways to ask them things."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
SYNTH_TIMEOUT_S = 240
"""Most of it is pip building the layer, the first time."""


class SynthesisFailed(Exception):
    """The app refused its context, or a rule was broken; the message is the app's output."""


@dataclass(frozen=True)
class Assembly:
    """What one synthesis wrote."""

    folder: Path

    @cached_property
    def templates(self) -> dict[str, dict[str, Any]]:
        """Stack name -> template."""
        return {
            file.name.removesuffix(".template.json"): json.loads(file.read_text())
            for file in sorted(self.folder.glob("*.template.json"))
        }

    def resources(self, kind: str, stack: str = "") -> dict[str, dict[str, Any]]:
        """Logical id -> properties of all resources of a type, in one stack or in all."""
        found: dict[str, dict[str, Any]] = {}
        for name, template in self.templates.items():
            if stack in ("", name):
                for logical_id, resource in template.get("Resources", {}).items():
                    if resource["Type"] == kind:
                        assert logical_id not in found, f"{logical_id} is in two stacks: name one"
                        found[logical_id] = resource.get("Properties", {})
        return found

    def functions(self) -> dict[str, dict[str, Any]]:
        """Name in ``infra/functions.py`` -> properties of the function."""
        return {
            properties["FunctionName"].removeprefix("pce-"): properties
            for properties in self.resources("AWS::Lambda::Function").values()
        }

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every statement of every role's policies, with the logical id of the role."""
        for policy in self.resources("AWS::IAM::Policy").values():
            for role in policy["Roles"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    yield role["Ref"], statement


def synthesize(folder: Path, **context: str) -> Assembly:
    """Run the app as the CDK's command line does. Raises :class:`SynthesisFailed`."""
    said = json.loads((ROOT / "cdk.json").read_text())["context"]
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={
            **os.environ,
            "CDK_OUTDIR": str(folder),
            "CDK_CONTEXT_JSON": json.dumps({**said, **context}),
            "PYTHONWARNINGS": "ignore",
        },
        timeout=SYNTH_TIMEOUT_S,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SynthesisFailed(done.stdout)
    return Assembly(folder)


def listed(value: Any) -> list[Any]:
    """CloudFormation lets a list of one be the one itself."""
    return value if isinstance(value, list) else [value]
