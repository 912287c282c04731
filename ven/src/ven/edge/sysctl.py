"""The kernel settings that the VEN changes, and how they come back.

They are set from the VEN's installation until it is suspended or unpaired, in every mode, and again
at each start and each new policy: what somebody else has changed is put back then.

``/proc/sys/net`` shows the network namespace of the process that opens it, so this works on the
namespace that the VEN runs in without mounting anything. All of them are of one namespace (Linux
6.18); the size of the table is the whole machine's (``conntrack_room.py``).
"""

import contextlib
import json
import os
from pathlib import Path

_ROOT = Path("/proc/sys/net/netfilter")

WANTED = {
    "nf_conntrack_acct": "1",  # byte counts of every connection
    "nf_conntrack_timestamp": "1",  # when it began and ended
    # Idle connections are kept for 8 hours instead of 5 days ("VEN-to-PCE Communication").
    "nf_conntrack_tcp_timeout_established": "28800",  # seconds
}
"""They hold for connections that begin after the change."""


class SavedSettings:
    """The VEN's sysctls in one network namespace, with the values they had before.

    The old values are on disk before the first change, so that a VEN that was killed can still
    put them back.
    """

    def __init__(self, saved: Path) -> None:
        self._saved = saved

    def apply(self) -> list[str]:
        """Set what is wanted, remembering what was there before the first time.

        Returns the names that could not be set: they do not exist until conntrack is loaded, or
        are read-only in a container."""
        saved = self._read()
        current = {name: value for name in WANTED if (value := _get(name)) is not None}
        new = {name: value for name, value in current.items() if name not in saved}
        if new:
            self._write(saved | new)
        return [
            name
            for name, value in WANTED.items()
            if current.get(name) != value and not _set(name, value)
        ]

    def restore(self) -> None:
        """Put back what :meth:`apply` found; does nothing when it was never called."""
        for name, value in self._read().items():
            # What somebody else has changed since is his.
            if name in WANTED and _get(name) == WANTED[name]:
                _set(name, value)
        with contextlib.suppress(FileNotFoundError):
            self._saved.unlink()

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._saved.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            # Cut short by a crash before the rename existed: the values are lost, not the host.
            return {}
        return {str(name): str(value) for name, value in found.items()}

    def _write(self, values: dict[str, str]) -> None:
        temporary = self._saved.with_suffix(".new")
        with temporary.open("w") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._saved)


def _get(name: str) -> str | None:
    try:
        return (_ROOT / name).read_text().strip()
    except OSError:
        return None


def _set(name: str, value: str) -> bool:
    try:
        (_ROOT / name).write_text(value)
    except OSError:
        return False
    return True
