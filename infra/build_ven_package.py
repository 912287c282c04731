"""Packs the Linux VEN into the archive that the PCE serves to the pairing script.

    .venv/bin/python -m infra.build_ven_package

The archive holds the agent, the wire that it shares with the PCE, and its locked requirements. The
same sources give the same bytes on every machine. Used by the app at synth and by the local host.
"""

import gzip
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "build" / "ven_software" / "ven.tar.gz"

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


def function_folder() -> Path:
    """The folder that becomes the function ``ven_software``: its code and script, and the archive.

    A function's working directory is its own folder, so ``PACKAGE.name`` is the archive's path.
    """
    source = ROOT / "functions" / "ven_software"
    contents = {file.name: file.read_bytes() for file in source.iterdir() if _belongs(file)}
    contents[PACKAGE.name] = build().read_bytes()
    folder = PACKAGE.parent / "function"
    for name, content in contents.items():
        _write_if_changed(folder / name, content)
    for former in {file.name for file in folder.iterdir()} - contents.keys():
        (folder / former).unlink()
    return folder


def _write_if_changed(file: Path, content: bytes) -> None:
    """So that another process, which may be reading the same file, never sees half of it."""
    if file.is_file() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent.parent, delete=False) as fresh:
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
