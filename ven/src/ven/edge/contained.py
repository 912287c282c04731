"""The kernel as a container sees it: that of another network namespace.

A netlink socket, ``/proc/sys/net`` and a program that is started belong to the namespace of the
thread that opens or starts them. So everything of one container's :class:`LinuxKernel` that opens
something runs in a thread that has entered its namespace; the sockets may then be read anywhere.
"""

import ctypes
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from ven.core.kernel import Connection, Drop, Stream, Untold
from ven.edge.interfaces import number_of_network
from ven.edge.linux import LinuxKernel
from ven_protocol.messages import Interface, OpenPort
from ven_protocol.policy import PolicyDocument

_CLONE_NEWNET = 0x40000000  # linux/sched.h

_P = ParamSpec("_P")
_R = TypeVar("_R")

_libc = ctypes.CDLL(None, use_errno=True)
_inside = ThreadPoolExecutor(1, thread_name_prefix="ven-container")
"""One thread for all containers, which enters the namespace of each call."""


class ContainedKernel:
    """What is enforced and seen in one container's network: a part of ``ven.core.kernel.Kernel``.

    Raises OSError when the container has ended before.
    """

    def __init__(self, pid: int, network: int, state_dir: Path) -> None:
        """``network``: inode of the namespace that process ``pid`` must (still) be in;
        ``state_dir``: a folder for what must be put back at the end; it is made."""
        self._namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(self._namespace).st_ino != network:
                raise ProcessLookupError(f"process {pid} is another one now")
            state_dir.mkdir(parents=True, exist_ok=True)
            self._kernel = self._call(LinuxKernel, state_dir)
        except BaseException:
            os.close(self._namespace)
            raise

    def close(self) -> None:
        """Give descriptors back; what is enforced stays enforced."""
        self._kernel.close()
        os.close(self._namespace)

    def apply(self, document: PolicyDocument) -> int:
        """As :meth:`ven.core.kernel.Kernel.apply`."""
        return self._call(self._kernel.apply, document)

    def remove(self) -> None:
        """As :meth:`ven.core.kernel.Kernel.remove`."""
        self._call(self._kernel.remove)

    def intact(self) -> bool:
        """As :meth:`ven.core.kernel.Kernel.intact`."""
        return self._call(self._kernel.intact)

    def holds_rules(self) -> bool:
        """Whether there is a table of ours, perhaps of a VEN before this one. 10 ms."""
        return bool(self._call(self._kernel.listing))

    def number(self) -> int | None:
        """How the host's network counts this one; None while no link of the host leads here."""
        return number_of_network(self._namespace)

    def interfaces(self) -> list[Interface]:
        """As :meth:`ven.core.kernel.Kernel.interfaces`."""
        return self._call(self._kernel.interfaces)

    def interface_changes(self) -> Stream[None]:
        """As :meth:`ven.core.kernel.Kernel.interface_changes`."""
        return self._call(self._kernel.interface_changes)

    def open_ports(self) -> list[OpenPort]:
        """Listening sockets of the container."""
        return self._call(self._kernel.open_ports)[0]

    def connections(self) -> Stream[Connection]:
        """As :meth:`ven.core.kernel.Kernel.connections`."""
        return self._call(self._kernel.connections)

    def drops(self) -> Stream[Drop]:
        """As :meth:`ven.core.kernel.Kernel.drops`."""
        return self._call(self._kernel.drops)

    def sample(self, on: bool) -> None:
        """As :meth:`ven.core.kernel.Kernel.sample`."""
        self._call(self._kernel.sample, on)

    def untold(self) -> list[Untold]:
        """As :meth:`ven.core.kernel.Kernel.untold`."""
        return self._call(self._kernel.untold)

    def connecting_users(self) -> dict[tuple[bytes, int, int], str]:
        """Nobody: a container's users have names of its own, which are not known here."""
        return {}

    def dump(self) -> Iterable[Connection]:
        """As :meth:`ven.core.kernel.Kernel.dump`, but read whole: 5 microseconds each."""
        return self._call(lambda: list(self._kernel.dump()))

    def _call(self, call: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        def entered() -> _R:
            if _libc.setns(self._namespace, _CLONE_NEWNET) != 0:
                error = ctypes.get_errno()
                raise OSError(error, f"setns: {os.strerror(error)}")
            return call(*args, **kwargs)

        return _inside.submit(entered).result()
