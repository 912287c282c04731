"""Builds the layer of third-party packages with pip, without Docker. Used by the app at synth.

    .venv/bin/python -m infra.build_layers [lambda|local]

``lambda`` takes wheels for the Lambda runtime (Python 3.14 on arm64) on whatever machine it runs;
``local`` takes those of this interpreter, for an emulator that runs functions with its own. The
locked versions of ``requirements/layer.txt`` are installed, hashes checked, nothing compiled. What
was built is kept until its inputs change. Our own packages need no build: their layers are
``layers/pce`` and ``layers/ven_protocol`` as they lie there.
"""

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from infra.deployment import LayersFor

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "layer.txt"

#: boto3 and what it needs come with the Lambda runtime: 34 of 43 MB stay out of every cold start.
PROVIDED_BY_RUNTIME = frozenset(
    {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
)

#: The runtime is Amazon Linux 2023 (glibc 2.34); wheels say the oldest glibc that they run on.
LAMBDA_PLATFORM = (
    *("--platform", "manylinux_2_28_aarch64"),
    *("--platform", "manylinux_2_17_aarch64"),
    *("--platform", "manylinux2014_aarch64"),
    *("--implementation", "cp"),
    *("--python-version", "3.14"),
)

PIP_TIMEOUT_S = 300


def build(target: LayersFor) -> Path:
    """The folder of the layer for ``target``, built if its inputs changed since the last time.

    Raises subprocess.CalledProcessError when pip fails; its output says why. Cost: some 5 s and
    the downloads when something changed, else one hash of two small files.
    """
    requirements = without_runtime_packages(LOCK.read_text())
    layer = ROOT / "build" / "layers" / target
    layer.parent.mkdir(parents=True, exist_ok=True)
    with layer.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may want it at once
        _build(target, requirements, layer)
    return layer


def _build(target: LayersFor, requirements: str, layer: Path) -> None:
    stamp = layer.with_suffix(".sha256")
    inputs = _hash(requirements, Path(__file__).read_text(), _interpreter(target))
    if layer.is_dir() and stamp.is_file() and stamp.read_text() == inputs:
        return

    shutil.rmtree(layer, ignore_errors=True)
    layer.mkdir()
    filtered = layer.with_suffix(".txt")
    filtered.write_text(requirements)
    packages = layer / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--target", str(packages), "--requirement", str(filtered)),
            # The lock file is complete, so what was left out of it must not come back.
            *("--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile"),
            *(LAMBDA_PLATFORM if target == "lambda" else ()),
        ],
        check=True,
        timeout=PIP_TIMEOUT_S,
    )
    _remove_what_no_function_imports(packages)
    stamp.write_text(inputs)


def without_runtime_packages(lock: str) -> str:
    """The lock file's text without the packages that the Lambda runtime brings."""
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    kept = [block for block in blocks if _package(block) not in PROVIDED_BY_RUNTIME]
    return "".join(kept)


def _package(block: str) -> str:
    return re.split(r"[=<>~!;\[\s]", block, maxsplit=1)[0].lower().replace("_", "-")


def _remove_what_no_function_imports(packages: Path) -> None:
    """Console scripts, records that name the machine they were made on, and the second back end
    of zstandard (10 MB), which needs a package that is not there."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        for record in packages.glob(f"*.dist-info/{name}"):
            record.unlink()
    for back_end in packages.glob("zstandard/_cffi.*.so"):
        back_end.unlink()


def _interpreter(target: LayersFor) -> str:
    return "" if target == "lambda" else sys.version


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else "lambda"
    if wanted not in ("lambda", "local"):
        sys.exit(f"build_layers: {wanted!r} is no target; say `lambda` or `local`")
    sys.stdout.write(f"{build('local' if wanted == 'local' else 'lambda')}\n")
