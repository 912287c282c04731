"""A host whose VEN is reduced to what decides and tells: the kernel behind its contract, and the
ledger that makes a traffic log of what the kernel says."""

import contextlib
import time
from pathlib import Path

from tests.kernel.namespaces import Host
from ven.core.flows import FlowLedger
from ven.core.neighbourhood import neighbourhood
from ven.edge.linux import LinuxKernel
from ven_protocol.flows import FlowSummary
from ven_protocol.policy import PolicyDocument


class JudgingHost:
    """``host`` with a VEN's kernel edge; everything that it reports is collected from the start."""

    def __init__(self, host: Host, state_dir: Path) -> None:
        self.host = host
        state_dir.mkdir(exist_ok=True)
        with host.entered(), contextlib.ExitStack() as opened:
            self.kernel = LinuxKernel(state_dir)
            opened.callback(self.kernel.close)
            self._connections = self.kernel.connections()
            opened.callback(self._connections.close)
            self._drops = self.kernel.drops()
            opened.callback(self._drops.close)
            self._opened = opened.pop_all()
        self.ledger = FlowLedger(time.time())

    def apply(self, document: PolicyDocument) -> None:
        """Enforce ``document``, and report as it says."""
        with self.host.entered():
            self.kernel.apply(document)
            self.ledger.neighbourhood = neighbourhood(self.kernel.interfaces())
        self.ledger.mode, self.ledger.visibility = document.mode, document.visibility

    def traffic_log(self) -> list[FlowSummary]:
        """What a VEN would report of the time since the last call."""
        with self.host.entered():
            for connection in self._connections.drain(100_000).items:
                self.ledger.see(connection, time.time())
            for drop in self._drops.drain(100_000).items:
                self.ledger.drop(drop, time.time())
            self.ledger.begin_dump()
            for connection in self.kernel.dump():
                self.ledger.see(connection, time.time())
            self.ledger.end_dump(time.time(), complete=True)
        return self.ledger.close(time.time())

    def close(self) -> None:
        with self.host.entered():
            self.kernel.remove()
        self._opened.close()
        self.host.run("conntrack", "-F", check=False)
