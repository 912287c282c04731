"""The VEN's software on this host: releases side by side, one in force, one to go back to.

::

    releases/<version>-<hash>/   one release as it was packed; venv: a link to its Python
    venvs/<hash>/                Python with the locked requirements that some releases share
    current                      name of the release in force
    trial                        "NEW FORMER STARTS": while NEW has not proved itself
    bin/ven                      the launcher, a shell script

A release is complete before any file names it, and both files are replaced as a whole, so the
launcher finds a whole release whenever the power fails or a process is killed. Going over to a
release is: ``trial``, then ``current``. The launcher counts down the starts of a release on trial;
one that has none left is given up, whatever is wrong with it. A release proves itself by a
heartbeat that is answered (``ven.upgrade``).

The pairing script runs this file by itself, before anything is installed: it imports the standard
library alone.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

STARTS_ON_TRIAL = 3
"""A start may be spoiled by something else than the release, three in a row are not."""
KEPT_RELEASES = 2
"""The one in force and the one before."""
MAX_PACKAGE_BYTES = 16_000_000
"""What a package may inflate to; it is source code of some 500 kB."""
PIP_TIMEOUT_S = 600
"""For any one program that is run; pip may have a slow index."""

LAUNCHER = """\
#!/bin/sh
# Starts the release of the VEN that is in force; see ven/installation.py.
PREFIX=@PREFIX@
VEN_LAUNCHER=$PREFIX/bin/ven
VEN_DATA_DIR=${VEN_DATA_DIR:-@DATA_DIR@}
put() {
    printf '%s\\n' "$2" > "$PREFIX/$1.new" && mv -f "$PREFIX/$1.new" "$PREFIX/$1"
}
read -r RELEASE < "$PREFIX/current" || exit 1
case " $* " in
*" start --foreground "*)
    if [ -e "$PREFIX/trial" ] && read -r NEW FORMER STARTS < "$PREFIX/trial" &&
        [ "$NEW" = "$RELEASE" ]; then
        if [ "$STARTS" -gt 0 ]; then
            put trial "$NEW $FORMER $((STARTS - 1))"
        else
            RELEASE=$FORMER
            put current "$RELEASE"
        fi
    fi
    ;;
esac
PYTHONPATH=$PREFIX/releases/$RELEASE/src
export PYTHONPATH VEN_LAUNCHER VEN_DATA_DIR
exec "$PREFIX/releases/$RELEASE/venv/bin/python" -m ven "$@"
"""


class CannotInstall(Exception):
    """A package is not what it should be, or the host cannot take it; nothing was changed."""


@dataclass(frozen=True)
class Trial:
    """A release that has not proved itself yet."""

    new: str
    former: str
    starts: int
    """How often the launcher may still start it."""


class Installation:
    """The folder that holds all this. Methods block for disk writes; :meth:`install` for pip."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix

    @classmethod
    def of_this_process(cls) -> "Installation | None":
        """The one that the launcher started this process from; None for a VEN that was installed
        in another way, which cannot be upgraded."""
        launcher = os.environ.get("VEN_LAUNCHER", "")
        return cls(Path(launcher).parent.parent) if launcher else None

    @property
    def launcher(self) -> Path:
        """The command."""
        return self.prefix / "bin" / "ven"

    def current(self) -> str:
        """Name of the release in force, or ""."""
        return self._read("current")

    def trial(self) -> Trial | None:
        """The release on trial, if there is one."""
        words = self._read("trial").split()
        if len(words) != 3 or not words[2].isdigit():
            return None
        return Trial(words[0], words[1], int(words[2]))

    def install(self, package: bytes, sha256: str, release: str, python: str) -> str:
        """Unpack a package beside the release in force, with its requirements, and try whether it
        runs; returns its name. Does nothing that is done already.

        ``python``: the interpreter to make its environment with. Raises :class:`CannotInstall`
        and OSError. Seconds, or as long as pip takes when the requirements are others.
        """
        found = hashlib.sha256(package).hexdigest()
        if found != sha256:
            raise CannotInstall(f"the package's SHA-256 is {found}, not {sha256}")
        name = f"{release}-{sha256[:16]}"
        target = self.prefix / "releases" / name
        if not target.exists():
            fresh = target.with_name(name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            _unpack(package, fresh)
            venv = self._venv(fresh / "requirements.txt", python)
            (fresh / "venv").symlink_to(Path("..", "..", "venvs", venv))
            _check(fresh, release)
            _keep(fresh)
            fresh.rename(target)
        return name

    def go_over_to(self, name: str, on_trial: bool = True) -> None:
        """Make a release the one that the launcher starts from now on."""
        if on_trial:
            self._write("trial", f"{name} {self.current()} {STARTS_ON_TRIAL}")
        self._write("current", name)

    def give_up(self, trial: Trial) -> None:
        """Go back to the release before."""
        self._write("trial", f"{trial.new} {trial.former} 0")
        self._write("current", trial.former)

    def end_trial(self) -> None:
        """The release in force stays; what neither it nor the one before it needs is removed."""
        trial = self.trial()
        (self.prefix / "trial").unlink(missing_ok=True)
        former = trial.former if trial else ""
        kept = [self.current(), former][:KEPT_RELEASES]
        releases = self.prefix / "releases"
        for folder in releases.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        needed = {link.readlink().name for link in releases.glob("*/venv")}
        for folder in (self.prefix / "venvs").iterdir():
            if folder.name not in needed:
                shutil.rmtree(folder, ignore_errors=True)

    def forget_trial(self) -> None:
        """A trial is over and lost."""
        trial = self.trial()
        if trial is not None and trial.new != self.current():
            (self.prefix / "trial").unlink(missing_ok=True)

    def write_launcher(self, data_dir: Path) -> None:
        """Write ``bin/ven``; ``data_dir`` is where it looks unless it is told otherwise."""
        self.launcher.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.launcher.with_name("ven.new")
        text = LAUNCHER.replace("@PREFIX@", str(self.prefix)).replace("@DATA_DIR@", str(data_dir))
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.replace(self.launcher)

    def _venv(self, requirements: Path, python: str) -> str:
        """Name of an environment with exactly these requirements, made when there is none."""
        name = environment_name(requirements.read_bytes(), python)
        target = self.prefix / "venvs" / name
        if target.exists():
            return name
        fresh = target.with_name(name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir")
        _run("the VEN's Python environment cannot be made", python, "-m", "venv", str(fresh))
        _run(
            "the VEN's requirements cannot be installed",
            *(str(fresh / "bin" / "python"), *pip, "--require-hashes", "--only-binary", ":all:"),
            *("-r", str(requirements)),
        )
        _keep(fresh)
        fresh.rename(target)
        return name

    def _read(self, name: str) -> str:
        try:
            return (self.prefix / name).read_text().strip()
        except FileNotFoundError:
            return ""

    def _write(self, name: str, line: str) -> None:
        fresh = self.prefix / f"{name}.new"
        with fresh.open("w") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.prefix / name)
        _fsync(self.prefix)


def environment_name(requirements: bytes, python: str) -> str:
    """Names exactly these requirements for this version of Python."""
    version = _run(
        "this Python does not run", python, "-c", "import sys; print(sys.version_info[:2])"
    )
    return hashlib.sha256(version.encode() + requirements).hexdigest()[:16]


def _unpack(package: bytes, target: Path) -> None:
    """Write the files of a package, which all lie in ``ven/``; nothing else gets out of it."""
    left = MAX_PACKAGE_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if parts[:1] != ("ven",) or ".." in parts or not member.isfile():
                    raise CannotInstall(f"the package holds {member.name!r}")
                left -= member.size
                if left < 0:
                    raise CannotInstall(f"the package inflates to over {MAX_PACKAGE_BYTES} bytes")
                file = target.joinpath(*parts[1:])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CannotInstall(f"the package cannot be unpacked: {error}") from error


def _keep(folder: Path) -> None:
    """All of it is on the disk before it gets its name."""
    for file in folder.rglob("*"):
        if not file.is_symlink():
            _fsync(file)
    _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(folder: Path, release: str) -> None:
    """Whether the release starts at all, and says that it is the one that was asked for."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    python = str(folder / "venv" / "bin" / "python")
    said = _run("the release does not run", python, "-m", "ven", "version", env=environment)
    if said.strip() != release:
        raise CannotInstall(f"the package is release {said.strip()[:64]!r}, not {release}")


def _run(what: str, *command: str, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PIP_TIMEOUT_S, env=env
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotInstall(f"{what}: {error}") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(f"{what}: {' / '.join(lines[-2:])[:500]}")
    return done.stdout


def main() -> int:
    """Install a package and make it the one in force: what the pairing script does."""
    parser = argparse.ArgumentParser(description="Install the VEN.")
    parser.add_argument("--prefix", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--release", required=True)
    options = parser.parse_args()
    installation = Installation(options.prefix)
    try:
        name = installation.install(
            options.package.read_bytes(), options.sha256, options.release, sys.executable
        )
        installation.write_launcher(options.data_dir)
    except (CannotInstall, OSError) as error:
        sys.stderr.write(f"pair: {error}\n")
        return 1
    if installation.current() == name:
        sys.stdout.write(f"pair: VEN {options.release} is installed already in {options.prefix}\n")
        return 0
    installation.go_over_to(name, on_trial=False)
    installation.end_trial()
    sys.stdout.write(f"pair: VEN {options.release} is installed in {options.prefix}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
