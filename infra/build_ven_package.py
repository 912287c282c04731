"""Packs the Linux VEN into the archive that the PCE serves for pairing and for upgrades.

    .venv/bin/python -m infra.build_ven_package

The archive holds the agent, the wire that it shares with the PCE, and its locked requirements. The
same sources give the same bytes on every machine. Archives of other releases that lie in
``ven/releases/`` are offered beside it. Used by the app at synth and by the local host.
"""

import gzip
import io
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE: str = tomllib.loads((ROOT / "ven" / "pyproject.toml").read_text())["project"]["version"]
"""Of the VEN in this repository."""
BUILD = ROOT / "build" / "ven_software"
PACKAGE = BUILD / f"ven-{RELEASE}.tar.gz"
OTHER_RELEASES = ROOT / "ven" / "releases"
"""Archives ``ven-X.Y.Z.tar.gz`` that earlier builds made; none have to be there."""
PACKAGES = "packages"
"""Folder of the archives inside the function's own folder."""

#: Name in the archive -> file or folder of the repository.
CONTENTS = {
    "ven/pyproject.toml": "ven/pyproject.toml",
    "ven/src/ven": "ven/src/ven",
    "ven/src/ven_protocol": "layers/ven_protocol/python/ven_protocol",
    "ven/requirements.txt": "requirements/ven.txt",
    "ven/LICENSE": "LICENSE",
}

NO_TIME = 0
"""Modification time of every member: the archive depends on contents alone."""


def build() -> Path:
    """Write the archive if it changed, and return where it is. Cost: reads some 50 small files."""
    _write_if_changed(PACKAGE, _pack())
    return PACKAGE


def packages() -> list[Path]:
    """The archives of all releases, this repository's first."""
    others = sorted(OTHER_RELEASES.glob("ven-*.tar.gz"))
    return [build(), *(file for file in others if file.name != PACKAGE.name)]


def release_of(package: Path) -> str:
    """The release that an archive's name says."""
    return package.name.removeprefix("ven-").removesuffix(".tar.gz")


def function_folder() -> Path:
    """The folder that becomes the function ``ven_software``: its code and script, and the archives.

    A function's working directory is its own folder, so ``PACKAGES`` is the archives' path.
    """
    source = ROOT / "functions" / "ven_software"
    contents = {file.name: file.read_bytes() for file in source.iterdir() if _belongs(file)}
    contents |= {f"{PACKAGES}/{file.name}": file.read_bytes() for file in packages()}
    folder = BUILD / "function"
    for name, content in contents.items():
        _write_if_changed(folder / name, content)
    for file in folder.rglob("*"):
        if file.is_file() and file.relative_to(folder).as_posix() not in contents:
            file.unlink()
    return folder


def _write_if_changed(file: Path, content: bytes) -> None:
    """So that another process, which may be reading the same file, never sees half of it."""
    if file.is_file() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=BUILD, delete=False) as fresh:
        fresh.write(content)
    Path(fresh.name).chmod(0o644)
    Path(fresh.name).replace(file)


def _pack() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, source in _members():
            member = tarfile.TarInfo(name)
            member.size = source.stat().st_size
            member.mode = 0o644
            member.mtime = NO_TIME
            with source.open("rb") as content:
                archive.addfile(member, content)
    return gzip.compress(buffer.getvalue(), mtime=NO_TIME)


def _members() -> Iterator[tuple[str, Path]]:
    for name, place in CONTENTS.items():
        source = ROOT / place
        if source.is_dir():
            files = sorted(file for file in source.rglob("*") if _belongs(file))
            yield from ((f"{name}/{file.relative_to(source).as_posix()}", file) for file in files)
        else:
            yield name, source


def _belongs(file: Path) -> bool:
    """Whether a file is source: not compiled, not the cache of some tool."""
    parts = file.relative_to(ROOT).parts
    return file.is_file() and not any(p == "__pycache__" or p.startswith(".") for p in parts)


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
