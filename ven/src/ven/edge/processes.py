"""Which process waits on which port."""

import contextlib
import os
import pwd
from collections.abc import Iterator, Mapping

import psutil

from ven.edge.packages import packages_of
from ven.edge.sockets import ListeningSocket, listening_sockets
from ven_protocol.messages import OpenPort, Process

MAX_REPORTED = 20_000
"""Open ports in one report (``ServicesReport``)."""


def open_ports() -> tuple[list[OpenPort], list[Process]]:
    """Listening sockets of this network namespace and the processes behind them, both sorted.

    Up to 50 ms, most of it for looking through the open files of all processes, and 100 ms once for
    a program that was not seen before; a process of somebody else is only seen with
    CAP_SYS_PTRACE."""
    sockets = set(listening_sockets())
    owners = _owners({found.inode for found in sockets})
    processes = {pid: _process(pid) for pid in set(owners.values())}
    packages = packages_of(process.path for process in processes.values() if process)
    ports = {
        _open_port(found, processes.get(owners.get(found.inode, -1)), packages) for found in sockets
    }
    return (
        sorted(ports, key=lambda port: (port.protocol, port.port, port.address))[:MAX_REPORTED],
        sorted(
            (process for process in processes.values() if process), key=lambda process: process.pid
        )[:MAX_REPORTED],
    )


def user_name(uid: int) -> str:
    """Name of a user of this host, or the number of one who has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _open_port(
    found: ListeningSocket, process: Process | None, packages: Mapping[str, str]
) -> OpenPort:
    return OpenPort(
        protocol=found.proto,
        address=found.address,
        port=found.port,
        process_name=process.name if process else None,
        user=(process.user or None) if process else None,
        package=packages.get(process.path) if process else None,
    )


def _owners(inodes: set[int]) -> dict[int, int]:
    """Socket inode -> lowest process id that has it open."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, int] = {}
    for pid in psutil.pids():  # ascending
        for target in _open_files(pid):
            inode = wanted.get(target)
            if inode is not None:
                owners.setdefault(inode, pid)
    return owners


def _open_files(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):  # it ended, or is not ours to see
        # A Path for each of many thousand files would cost three times as much.
        for name in os.listdir(directory):  # noqa: PTH208
            with contextlib.suppress(OSError):
                yield os.readlink(f"{directory}/{name}")  # noqa: PTH115


def _process(pid: int) -> Process | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            name, user = process.name(), ""
            with contextlib.suppress(psutil.Error, KeyError):
                user = process.username()
            path = ""
            with contextlib.suppress(psutil.Error):
                path = process.exe()
    except psutil.Error:
        return None
    return Process(pid=pid, name=name[:1024], path=path[:4096], user=user[:255])
