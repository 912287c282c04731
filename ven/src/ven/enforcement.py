"""Policy into the kernel: the last-known-good one first, one change at a time, the PCE always let
through."""

import logging
import threading
from collections.abc import Sequence

from ven.core.kernel import Kernel, KernelRefused
from ven.core.names import Learned, NameBook
from ven.core.timing import Dice
from ven.edge.files import DataDirectory, KeptPolicy
from ven_protocol.policy import PolicyDocument

KNOWN_ADDRESSES = 32
"""Addresses of the PCE that stay open in the firewall: both its host names, and what they were a
few look-ups ago, because a cloud's names change their addresses all the time."""

_log = logging.getLogger("ven.agent")


def load_last_known_good(data: DataDirectory, kernel: Kernel) -> KeptPolicy | None:
    """Put the last-known-good policy into the kernel; to be done before any network is trusted.

    Returns it, or None when there is none or the kernel refuses it. Up to a second.
    """
    kernel.prepare()
    kernel.protect(data.pce_addresses())
    kept = data.policy()
    if kept is None:
        return None
    known = NameBook(Dice(0), kept.document.names)
    known.remember(data.remembered_names(), now=0)
    try:
        kernel.learn(known.learned())
        kernel.apply(kept.document)
    except KernelRefused as error:
        _log.error("the kernel refused the last-known-good policy %s: %s", kept.etag, error)
        return None
    _log.info("last-known-good policy %s is in the kernel", kept.etag)
    return kept


class Enforcement:
    """The kernel for several worker threads: each call waits for the one before."""

    def __init__(
        self, data: DataDirectory, kernel: Kernel, document: PolicyDocument | None = None
    ) -> None:
        """``document``: what the kernel holds already."""
        self._data = data
        self._kernel = kernel
        self._document = document
        self._lock = threading.Lock()
        self._addresses = data.pce_addresses()

    def apply(self, document: PolicyDocument, learned: Learned | None = None) -> int:
        """As :meth:`ven.core.kernel.Kernel.apply`. ``learned``: what the kernel must know of names
        before, so that the sets of the new policy are filled when its rules begin."""
        with self._lock:
            if learned is not None:
                self._kernel.learn(learned)
            rules = self._kernel.apply(document)
            self._document = document
            return rules

    def restore(self) -> None:
        """Apply again what was applied last, after somebody else changed it; nothing before the
        first policy. Which one that is shows only when the changes under way are over. Raises
        :class:`~ven.core.kernel.KernelRefused`."""
        with self._lock:
            if self._document is not None:
                self._kernel.apply(self._document)

    def learn(self, learned: Learned) -> None:
        """As :meth:`ven.core.kernel.Kernel.learn`."""
        with self._lock:
            self._kernel.learn(learned)

    def adapt(self) -> None:
        """As :meth:`ven.core.kernel.Kernel.adapt`."""
        with self._lock:
            try:
                self._kernel.adapt()
            except KernelRefused as error:
                _log.error("the policy cannot be adapted to the host's new links: %s", error)

    def intact(self) -> bool:
        """As :meth:`ven.core.kernel.Kernel.intact`."""
        with self._lock:
            return self._kernel.intact()

    def let_through(self, addresses: Sequence[tuple[str, int]]) -> None:
        """The PCE is at these addresses and ports: never block them, and remember them for a start
        without DNS. Milliseconds when they are new, else nothing."""
        with self._lock:
            if set(addresses) <= set(self._addresses):
                return
            # The newest first: what the PCE's names no longer mean drops off in time.
            known = [*addresses, *(a for a in self._addresses if a not in addresses)]
            self._addresses = tuple(known[:KNOWN_ADDRESSES])
            try:
                self._kernel.protect(self._addresses)
                self._data.save_pce_addresses(self._addresses)
            except (KernelRefused, OSError) as error:
                _log.error("the PCE's new address %s: %s", addresses[0][0], error)
