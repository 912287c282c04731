"""Packs the Linux VEN into the archive that the PCE serves to the pairing script.

    .venv/bin/python -m infra.build_ven_package

The archive holds the agent, the wire that it shares with the PCE, and its locked requirements. The
same sources give the same bytes on every machine. Used by the app at synth and by the local host.
"""

import gzip
import io
import shutil
import sys
import tarfile
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
    packed = _pack()
    if not PACKAGE.is_file() or PACKAGE.read_bytes() != packed:
        PACKAGE.parent.mkdir(parents=True, exist_ok=True)
        fresh = PACKAGE.with_suffix(".new")
        fresh.write_bytes(packed)
        fresh.replace(PACKAGE)
    return PACKAGE


def function_folder() -> Path:
    """The folder that becomes the function ``ven_software``: its code, and the archive beside it.

    A function's working directory is its own folder, so ``PACKAGE.name`` is the archive's path.
    """
    folder = build().parent
    for code in sorted((ROOT / "functions" / "ven_software").glob("*.py")):
        shutil.copyfile(code, folder / code.name)
    return folder


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
    return file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc"


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
