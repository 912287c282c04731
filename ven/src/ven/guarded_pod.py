"""One pod: its kernel, its policy, its flows."""

from pathlib import Path

from ven.collection import FlowCollection
from ven.configuration import Identity
from ven.core.containers import Pod
from ven.core.flows import port_owners
from ven.core.kernel import Stream
from ven.core.neighbourhood import neighbourhood
from ven.core.outbox import Batch
from ven.edge.contained import ContainedKernel
from ven.edge.files import DataDirectory
from ven_protocol.messages import Interface
from ven_protocol.paths import container_workload_id
from ven_protocol.policy import PolicyDocument

CLOSED = PolicyDocument(mode="full", visibility="flow_off", sets={}, rules=[])
"""Until a pod has its first policy, on a host that enforces."""


class GuardedPod:
    """One pod of a container host. Raises OSError when it has ended."""

    def __init__(self, pod: Pod, kernel: ContainedKernel, flows: FlowCollection) -> None:
        self.pod = pod
        self.interfaces: list[Interface] = []
        self.etag = ""
        self._document: PolicyDocument | None = None
        self._kernel = kernel
        self._flows = flows
        self._collects = False
        self._changes: Stream[None] = kernel.interface_changes()
        self._seen = False
        self._released = False
        self._number: int | None = None
        self.looked_after = False
        """Whether its own firewall is there, or it needs none: then its links may carry packets."""
        self.told = False
        """Whether the PCE has said what it should hold."""

    def look(self) -> None:
        """Read its interfaces if they have changed."""
        if self._changes.drain().items or not self._seen:
            self.interfaces = self._kernel.interfaces()
            self._flows.ledger.neighbourhood = neighbourhood(self.interfaces)
            self._seen = True

    def close_up(self) -> None:
        """Let nothing in or out until :meth:`apply` or :meth:`release`, unless an earlier VEN left
        a policy there. Raises KernelRefused."""
        if self._document is None and not self._kernel.holds_rules():
            self._kernel.apply(CLOSED)
            self._document = CLOSED
            self._released = False
        self.looked_after = True

    def number(self) -> int | None:
        """How the host counts its network, as ``ven.edge.interfaces.Pairs`` does; None while no
        link of the host leads there."""
        if self._number is None:
            self._number = self._kernel.number()
        return self._number

    @property
    def mode(self) -> str | None:
        """Of the policy that it holds; None without one."""
        return self._document.mode if self._document and self.etag else None

    def apply(self, etag: str, document: PolicyDocument) -> int:
        """Hold a policy; the number of its rules. Raises KernelRefused."""
        self._released = False
        rules = self._kernel.apply(document)
        self._document, self.etag = document, etag
        self.looked_after = self.told = True
        self._flows.follow(document)
        self._flows.ledger.owners = port_owners(self._kernel.open_ports())
        return rules

    def restore(self) -> None:
        """Apply again what is held."""
        if self._document is not None:
            self._kernel.apply(self._document)

    def intact(self) -> bool:
        """Whether the kernel holds what it should."""
        return self._document is None or self._kernel.intact()

    def release(self) -> None:
        """It is not managed: leave nothing of ours in it."""
        self.etag, self._document = "", None
        self.looked_after = self.told = True
        if not self._released:
            self._kernel.remove()
            self._released = True

    def collect(self, wanted: bool) -> None:
        """Collect flows while it has a policy, as that says."""
        if wanted and self.etag:
            self._flows.start()
            self._collects = True
        elif self._collects and not wanted:
            self._flows.stop()
            self._collects = False

    async def close_window(self) -> tuple[Batch, ...]:
        """End its flow window."""
        return await self._flows.close_window() if self._collects else ()

    def close(self) -> None:
        """Give descriptors back."""
        self.collect(False)
        self._changes.close()
        self._kernel.close()


def kernel_of(data: DataDirectory, identity: Identity, pod: Pod) -> ContainedKernel:
    """The kernel of a pod's network. Raises OSError when the pod has ended."""
    return ContainedKernel(pod.pid, pod.network, folder_of(data, identity, pod.id))


def folder_of(data: DataDirectory, identity: Identity, id: str) -> Path:
    """Where what must be put back in a pod is kept."""
    return data.path / "containers" / str(container_workload_id(identity.ven_id, id))
