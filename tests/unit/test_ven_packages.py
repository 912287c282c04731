"""Which package a program comes from."""

from pathlib import Path

import pytest

from ven.edge import packages


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for ``dpkg-query`` and ``rpm``; they note how often they were asked."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    packages._known.clear()
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho asked >> {folder}/asked\n{script}\n")
    (folder / name).chmod(0o755)


def test_packages_of_debian(database: Path) -> None:
    """Asked once for all; a merged /usr, an architecture and several owners are understood."""
    program(
        database,
        "dpkg-query",
        """echo 'openssh-server: /usr/sbin/sshd'
echo 'diversion by dash from: /bin/sh'
echo 'dash:amd64, other: /bin/sh'
exit 1""",
    )
    programs = ["/usr/sbin/sshd", "/usr/bin/sh", "/opt/own/server", ""]
    expected = {"/usr/sbin/sshd": "openssh-server", "/usr/bin/sh": "dash"}
    assert packages.packages_of(programs) == expected
    assert packages.packages_of(programs) == expected
    assert (database / "asked").read_text().count("asked") == 1


def test_packages_of_others(database: Path) -> None:
    """rpm where dpkg knows nothing; nothing where there is neither."""
    program(database, "dpkg-query", "exit 1")
    program(
        database,
        "rpm",
        """case "$6" in *sshd) printf openssh-server ;; *) echo "file $6 is not owned" ;; esac""",
    )
    programs = ["/usr/sbin/sshd", "/opt/own/server"]
    assert packages.packages_of(programs) == {"/usr/sbin/sshd": "openssh-server"}
