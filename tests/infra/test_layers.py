"""What functions are made of: the layers and the VEN's archive."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from infra import build_ven_package
from infra.build_layers import PROVIDED_BY_RUNTIME, build, without_runtime_packages
from tests.infra.assembly import ROOT

MAX_LAYERS_BYTES = 25_000_000
"""Unpacked, all three: what a cold start has to read. Lambda's own limit is 250 MB."""


@pytest.fixture(scope="module")
def dependencies() -> Path:
    """The layer for Lambda; built on whatever machine this is."""
    return build("lambda") / "python"


def test_the_layer_is_for_lambda_not_for_this_machine(dependencies: Path) -> None:
    """Every compiled module is for CPython 3.14 on arm64."""
    compiled = [file.name for file in dependencies.rglob("*.so")]
    assert len(compiled) >= 2  # msgspec, zstandard
    assert all(name.endswith(".cpython-314-aarch64-linux-gnu.so") for name in compiled)


def test_the_layer_holds_what_the_product_imports_and_not_what_lambda_brings(
    dependencies: Path,
) -> None:
    """pynamodb asks for botocore; the runtime has it."""
    packages = {folder.name for folder in dependencies.iterdir()}
    assert {"msgspec", "pynamodb", "zstandard"} <= packages
    assert not packages & {"boto3", "botocore", "urllib3", "dateutil", "six.py", "bin"}


def test_layers_are_small(dependencies: Path) -> None:
    """Size is cold-start time."""
    folders = (dependencies, ROOT / "layers" / "pce", ROOT / "layers" / "ven_protocol")
    files = [f for folder in folders for f in folder.rglob("*") if "__pycache__" not in f.parts]
    assert sum(f.stat().st_size for f in files if f.is_file()) < MAX_LAYERS_BYTES


def test_a_layer_is_built_once(dependencies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its inputs are the same, pip is not started again."""

    def no_pip(*arguments: object, **options: object) -> None:
        raise AssertionError("pip was started again")

    monkeypatch.setattr(subprocess, "run", no_pip)
    assert build("lambda") / "python" == dependencies


def test_runtime_packages_are_left_out_with_their_hashes() -> None:
    """An entry is a name line and the hash lines below it; the others stay as they are."""
    lock = (
        "botocore==1.0 \\\n    --hash=sha256:aa\n    # via pynamodb\n"
        "msgspec==0.22.0 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "python_dateutil==2.9 \\\n    --hash=sha256:dd\n"
    )
    kept = without_runtime_packages(lock)
    assert kept == "msgspec==0.22.0 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    assert "botocore" in PROVIDED_BY_RUNTIME


def test_the_vens_archive_is_the_same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same sources, same bytes: a deployment changes the function only when the VEN changed."""
    package = build_ven_package.build()
    first = package.read_bytes()
    package.unlink()
    assert build_ven_package.build().read_bytes() == first


def test_the_function_that_serves_the_archive_has_it_beside_its_code() -> None:
    """A function runs in its own folder, so the archive's name is its path."""
    folder = build_ven_package.function_folder()
    names = {file.name for file in folder.iterdir()}
    assert {"handler.py", "pair.sh"} <= names
    assert (folder / "packages" / build_ven_package.PACKAGE.name).exists()
    assert not [name for name in names if name == "__pycache__" or name.startswith(".")]


def test_the_vens_archive_has_what_a_workload_needs() -> None:
    """The agent, the wire, the locked requirements; nothing compiled, nobody's name."""
    with tarfile.open(build_ven_package.build()) as archive:
        members = archive.getmembers()
    names = {member.name for member in members}
    assert {"ven/requirements.txt", "ven/src/ven_protocol/messages.py"} <= names
    assert any(name.startswith("ven/src/ven/core/") for name in names)
    assert not [name for name in names if "__pycache__" in name or "/." in name]
    assert {(member.mtime, member.uname, member.uid) for member in members} == {(0, "", 0)}
