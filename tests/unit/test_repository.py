"""What every file of the repository keeps to, whatever its language."""

import functools
import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK_FILES = sorted((ROOT / "requirements").glob("*.txt"))

#: What must not be in a file, with the reason. This file spells them in pieces to pass itself.
FORBIDDEN_TEXT = {
    r"(?<![\w.<{}])/wor" r"k/": "a path of one machine",
    r"/ro" r"ot/\.|/home/[a-z]+/": "a path of one machine",
    r"py" r"pi\.org|python" r"hosted\.org|npm" r"js\.(org|com)": "an address of a package registry",
    r"(?i)\bclau" r"de\b|\banthro" r"pic\b|\bchatg" r"pt\b": "who wrote it does not matter",
    r"(?i)\bissue #?\d|\bthis work" r"place\b": "a reader cannot look it up",
}
VENDOR = re.compile(r"(?i)illu" r"mio")


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """The files of the repository, as git knows them."""
    listed = subprocess.run(
        # CI may run as another user than the one who owns the checkout.
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # A file that is deleted but not yet committed is still listed.
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


@pytest.mark.parametrize("pattern", FORBIDDEN_TEXT)
def test_no_file_tells_where_it_was_made(pattern: str) -> None:
    """Files read the same on every machine and to every reader."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, f"{FORBIDDEN_TEXT[pattern]}:\n" + "\n".join(found)


def test_the_vendor_is_in_no_name() -> None:
    """Files, packages and classes are named after what they do."""
    names = [str(path.relative_to(ROOT)) for path in tracked_files()]
    for path in tracked_files():
        if path.suffix == ".py":
            names += re.findall(r"(?m)^\s*(?:class|def|async def)\s+(\w+)", path.read_text())
    assert not [name for name in names if VENDOR.search(name)]


def test_there_are_lock_files() -> None:
    """The tests below look at something."""
    assert {path.stem for path in LOCK_FILES} >= {"layer", "ven", "dev", "emulator", "sam"}


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.name)
def test_lock_files_name_no_index(path: Path) -> None:
    """Packages come from the index that the machine is set up with."""
    options = [line for line in path.read_text().splitlines() if re.match(r"\s*-[-\w]", line)]
    assert {option.split("=")[0].strip() for option in options} <= {"--hash"}
    assert "://" not in path.read_text()


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.name)
def test_every_locked_package_has_hashes(path: Path) -> None:
    """What is installed is byte for byte what was locked."""
    text = path.read_text().replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert requirements
    assert not [line for line in requirements if "==" not in line or "--hash=sha256:" not in line]


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.name)
def test_lock_files_are_of_today(path: Path) -> None:
    """Every package that the `.in` file names is locked; else run `make lock`."""

    def names(file: Path) -> set[str]:
        found = re.findall(
            r"(?m)^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?\s*(==\S+)?", file.read_text()
        )
        return {re.sub(r"[-_.]+", "-", name).lower() + pin for name, pin in found}

    locked = names(path)
    locked |= {name.partition("==")[0] for name in locked}
    assert names(path.with_suffix(".in")) <= locked


def test_the_node_lock_names_no_registry() -> None:
    """`npm ci` takes packages from the registry that the machine is set up with, by their hash."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert installed
    assert not [name for name, package in installed.items() if "resolved" in package]
    assert all(package["integrity"].startswith("sha512-") for package in installed.values())


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")))
def test_links_of_the_documentation_lead_somewhere(document: Path) -> None:
    """A relative link names a file of this repository."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_files_that_the_readme_names_exist() -> None:
    """The map in the README leads to files, also where it abbreviates."""
    places = {"pce/": "layers/pce/python/pce/", "ven/": "ven/src/ven/"}
    for path in re.findall(
        r"`((?:pce|ven|tests|infra|functions)/[^`*]+)`", (ROOT / "README.md").read_text()
    ):
        short = path.partition("/")[0] + "/"
        full = path.replace(short, places.get(short, short), 1)
        assert (ROOT / path).exists() or (ROOT / full).exists(), path
