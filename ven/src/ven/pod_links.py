"""The gate in front of this host's pods: up while the host or a pod of it enforces.

What may pass is decided in ``ven.core.pod_admission``, and the kernel holds it in
``ven.edge.pod_gate``.
"""

import logging
from collections.abc import Callable, Iterable

from ven.core.kernel import KernelRefused
from ven.core.pod_admission import ENFORCED, Admission, remembered
from ven.edge.clock import Clock
from ven.edge.files import DataDirectory
from ven.edge.interfaces import read_pairs
from ven.edge.pod_gate import PodGate
from ven.guarded_pod import GuardedPod

_log = logging.getLogger("ven.containers")


class PodLinks:
    """The host's ends of pairs of links."""

    def __init__(self, data: DataDirectory, clock: Clock, host_mode: Callable[[], str]) -> None:
        """``host_mode``: of the policy that the host holds; "" without one."""
        self._data = data
        self._clock = clock
        self._host_mode = host_mode
        self._gate = PodGate()
        self._admission: Admission | None = None
        self._namespaces = data.namespaces()

    @property
    def enforced(self) -> bool:
        """Whether new pods are closed until they have a policy."""
        return self._host_mode() in ENFORCED or any(self._namespaces.values())

    def is_open(self, namespace: str) -> bool:
        """Whether pods of this namespace are known to need no policy to begin with."""
        return self._namespaces.get(namespace) is False

    def learn(self, guards: Iterable[GuardedPod]) -> None:
        """Remember which namespaces are enforced. Raises OSError when it cannot be kept."""
        modes = [(guard.pod.namespace, guard.mode) for guard in guards if guard.told]
        namespaces = remembered(self._namespaces, modes)
        if namespaces != self._namespaces:
            self._namespaces = namespaces
            self._data.save_namespaces(namespaces)

    def admit(self, guards: Iterable[GuardedPod]) -> bool:
        """Open the links of pods that are looked after and close the others; whether one is closed
        now. Raises OSError and KernelRefused. Half a millisecond, and 20 ms when something
        changes."""
        if not self.enforced:
            if self._admission is None or self._gate.up:
                self._gate.remove()
                self._admission = Admission(None)
            return False
        if self._admission is None:
            self._admission = Admission(self._gate.admitted())
        pairs = read_pairs()
        by_network = {guard.number(): guard.looked_after for guard in guards}
        pods = {
            link: by_network[network]
            for link, network in pairs.behind.items()
            if network is not None and network in by_network
        }
        admitted = self._admission.admitted(
            pairs.behind, pairs.uplinks, pods, self._clock.monotonic()
        )
        self._gate.hold(admitted)
        return len(admitted) < len(pairs.behind)

    def close(self) -> None:
        """Give descriptors back; what is closed stays closed."""
        self._gate.close()

    def intact(self) -> bool:
        """Whether the gate is as it was left; the next :meth:`admit` makes it anew."""
        return self._gate.intact()


def close_at_boot(data: DataDirectory, host_mode: str) -> None:
    """Put the gate up before any pod starts, where there was one. Raises KernelRefused."""
    links = PodLinks(data, Clock(), lambda: host_mode)
    links.admit(())
    links.close()


def open_again() -> None:
    """Take the gate away: the VEN is suspended, or leaves."""
    gate = PodGate()
    try:
        gate.remove()
    except KernelRefused as error:
        _log.error("%s", error)
    gate.close()
