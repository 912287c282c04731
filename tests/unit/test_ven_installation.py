"""Releases side by side: whatever instant it ends at, there is one whole release in force."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ven import installation as module
from ven.core.upgrade import UnderWay, standing
from ven.installation import STARTS_ON_TRIAL, CannotInstall, Installation, environment_name

REQUIREMENTS = b"# nothing\n"


def package(release: str, says: str = "", extra: dict[str, bytes] | None = None) -> bytes:
    """A VEN that only says what it is."""
    files = {
        "ven/requirements.txt": REQUIREMENTS,
        "ven/src/ven/__init__.py": b"",
        "ven/src/ven/__main__.py": says.encode() or f"print({release!r})\n".encode(),
        **(extra or {}),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def install(where: Installation, content: bytes, release: str) -> str:
    return where.install(content, hashlib.sha256(content).hexdigest(), release, sys.executable)


def started(where: Installation) -> str:
    """What the launcher starts as a service does; "" when it does not run."""
    command = [str(where.launcher), "--data-dir", "d", "start", "--foreground"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture
def where(tmp_path: Path) -> Installation:
    """An installation with release 1.0.0 in force. Its Python is the tests' own."""
    found = Installation(tmp_path / "opt")
    python = tmp_path / "opt" / "venvs" / environment_name(REQUIREMENTS, sys.executable) / "bin"
    python.mkdir(parents=True)
    (python / "python").symlink_to(sys.executable)
    found.go_over_to(install(found, package("1.0.0"), "1.0.0"), on_trial=False)
    found.write_launcher(tmp_path / "data")
    return found


def test_a_release_that_proves_itself_stays(where: Installation) -> None:
    """Installed beside the other, started, kept; only the one before it is kept too."""
    assert started(where) == "1.0.0"
    where.go_over_to(install(where, package("1.0.1"), "1.0.1"))
    assert started(where) == "1.0.1"
    where.end_trial()
    assert where.trial() is None
    where.go_over_to(install(where, package("1.0.2"), "1.0.2"))
    where.end_trial()
    kept = sorted(folder.name[:5] for folder in (where.prefix / "releases").iterdir())
    assert kept == ["1.0.1", "1.0.2"]
    assert started(where) == "1.0.2"


def test_a_release_that_does_not_prove_itself_is_given_up(where: Installation) -> None:
    """After three starts the launcher goes back, without any code of the new release."""
    name = install(where, package("1.0.1"), "1.0.1")
    broken = where.prefix / "releases" / name / "src" / "ven" / "__main__.py"
    broken.write_text("raise SystemExit('broken')\n")
    where.go_over_to(name)
    starts = [started(where) for _ in range(STARTS_ON_TRIAL + 2)]
    assert starts == [*STARTS_ON_TRIAL * ("",), "1.0.0", "1.0.0"]
    found = UnderWay(action_id="a", release="1.0.1", name=name)
    trial = where.trial()
    assert trial is not None
    assert standing(found, where.current(), trial.new, trial.starts, STARTS_ON_TRIAL) == "failed"


def test_other_commands_use_up_no_start(where: Installation) -> None:
    """A person may look at the status as often as they like."""
    where.go_over_to(install(where, package("1.0.1"), "1.0.1"))
    for _ in range(STARTS_ON_TRIAL + 1):
        command = [str(where.launcher), "status"]
        assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "1.0.1"


def test_a_release_may_give_itself_up(where: Installation) -> None:
    """What a VEN does that nobody answers."""
    where.go_over_to(install(where, package("1.0.1"), "1.0.1"))
    trial = where.trial()
    assert trial is not None
    where.give_up(trial)
    assert started(where) == "1.0.0"


@pytest.mark.parametrize(
    ("content", "release", "says"),
    [
        (package("1.0.1"), "1.0.2", "is release '1.0.1', not 1.0.2"),
        (package("1.0.1", "import nothing\n"), "1.0.1", "does not run"),
        (b"\x1f\x8bcut", "1.0.1", "cannot be unpacked"),
        (package("1.0.1", extra={"ven/../../x": b""}), "1.0.1", "the package holds"),
        (package("1.0.1", extra={"/etc/x": b""}), "1.0.1", "the package holds"),
        (package("1.0.1", extra={"ven/x": bytes(16_000_001)}), "1.0.1", "inflates to over"),
    ],
)
def test_what_is_no_package_changes_nothing(
    where: Installation, content: bytes, release: str, says: str
) -> None:
    """Another release than was asked for, one that does not run, a damaged or hostile archive."""
    with pytest.raises(CannotInstall, match=says):
        install(where, content, release)
    assert started(where) == "1.0.0"
    assert len([f for f in (where.prefix / "releases").iterdir() if f.suffix != ".new"]) == 1


def test_a_package_with_another_hash_is_not_even_unpacked(where: Installation) -> None:
    """The hash comes from the PCE."""
    with pytest.raises(CannotInstall, match="SHA-256"):
        where.install(package("1.0.1"), "0" * 64, "1.0.1", sys.executable)
    assert len(list((where.prefix / "releases").iterdir())) == 1


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Ends the process before its n-th change of the disk from now on."""
    left = [sys.maxsize]

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*arguments, **options)

        return wrapper

    for owner, name in (
        *((Path, name) for name in ("rename", "replace", "write_bytes", "symlink_to", "unlink")),
        *((Path, name) for name in ("mkdir", "open")),
        (os, "fsync"),
        (module.shutil, "rmtree"),
    ):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    yield lambda number: left.__setitem__(0, number)
    left[0] = sys.maxsize


def test_killed_at_every_change_of_the_disk(
    where: Installation, killing: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade, ended before each single change that it makes on the disk: the release in force
    is whole, what is found says truly how far it came, and doing it again succeeds."""
    monkeypatch.setattr(module, "_check", lambda folder, release: None)
    former = where.current()
    content = package("1.0.1")
    new = "1.0.1-" + hashlib.sha256(content).hexdigest()[:16]
    found = []

    def upgrade() -> None:
        where.go_over_to(install(where, content, "1.0.1"))
        where.end_trial()

    for number in range(1000):
        killing(number)
        try:
            upgrade()
        except Killed:
            killing(sys.maxsize)
            in_force, trial = where.current(), where.trial()
            assert in_force in (former, new)
            assert (where.prefix / "releases" / in_force / "src/ven/__main__.py").exists()
            found.append(
                standing(
                    UnderWay(action_id="a", release="1.0.1", name=new),
                    in_force,
                    trial.new if trial else "",
                    trial.starts if trial else 0,
                    STARTS_ON_TRIAL,
                )
            )
            upgrade()
            assert where.current() == new
            where.go_over_to(former, on_trial=False)
            where.forget_trial()
            subprocess.run(["rm", "-rf", str(where.prefix / "releases" / new)], check=True)
        else:
            break
    order = ("interrupted", "on_trial", "done")
    assert set(found) == set(order)
    assert found == sorted(found, key=order.index)
