"""What this host is: its interfaces, services, users and, while it is idle, what may get in the way
of policy; looked at and reported.

When a report is owed is decided in ``ven.core.reports``. Flow collection is told what was seen, so
that it knows which networks are near and which process owns a port.
"""

import logging
from collections.abc import Callable

from msgspec.structs import replace

from ven.collection import FlowCollection
from ven.core import coordination, reports
from ven.core.flows import port_owners
from ven.core.kernel import Drained, Kernel
from ven.core.neighbourhood import neighbourhood
from ven.edge.host import uptime_s
from ven.edge.http import Refused, RequestFailed
from ven.edge.pce import Pce
from ven.edge.readers import StreamReader
from ven.enforcement import Enforcement
from ven.work import Work
from ven_protocol.messages import (
    CompatibilityReport,
    InteractiveUser,
    Interface,
    InterfacesReport,
    OpenPort,
    Process,
    ServicesReport,
    UsersReport,
)

INTERFACE_SETTLE_S = 0.3
"""Links, addresses and routes change in bursts; what came of them is read this much later."""

_log = logging.getLogger("ven.agent")


class HostReports:
    """Looks at the host and feeds what it sees; holds what was seen last."""

    def __init__(
        self,
        kernel: Kernel,
        pce: Pce,
        flows: FlowCollection,
        enforcement: Enforcement,
        work: Work,
        feed: Callable[[coordination.Event], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._kernel = kernel
        self._pce = pce
        self._flows = flows
        self._enforcement = enforcement
        self._work = work
        self._feed = feed
        self._on_error = on_error
        self._interfaces: list[Interface] = []
        self._services: tuple[list[OpenPort], list[Process]] = ([], [])
        self._users: list[InteractiveUser] = []
        self._compatibility = CompatibilityReport()
        self._reader: StreamReader[None] | None = None

    def start(self) -> None:
        """Look at the interfaces, now and whenever they change. Raises OSError when the kernel
        does not tell."""
        self._reader = StreamReader(
            self._kernel.interface_changes(),
            self._interfaces_changed,
            self._on_error,
            gather_s=INTERFACE_SETTLE_S,
        )
        self._work.spawn(self._observe_interfaces())

    def close(self) -> None:
        """Look no more."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def observe_services(self) -> None:
        """Ends in ``Observed``, where users are reported in two of them."""
        self._services = await self._work.in_thread(self._kernel.open_ports)
        self._flows.ledger.owners = port_owners(self._services[0])
        self._feed(reports.Observed("services", reports.digest(self._services)))
        users = await self._work.in_thread(self._kernel.interactive_users)
        if users is not None:
            self._users = users
            self._feed(reports.Observed("users", reports.digest(users)))

    async def observe_compatibility(self) -> None:
        """Ends in ``Observed``."""
        found = await self._work.in_thread(self._kernel.compatibility)
        # The most that there were: they come and go, and say the same.
        most = max(found.ipv6_connections, self._compatibility.ipv6_connections)
        self._compatibility = replace(found, ipv6_connections=most)
        self._feed(reports.Observed("compatibility", reports.digest(self._compatibility)))

    async def send(self, kind: reports.ReportKind) -> None:
        """Ends in ``ReportAccepted`` or ``ReportFailed``."""
        try:
            if kind == "interfaces":
                await self._work.request(
                    self._pce.interfaces, InterfacesReport(interfaces=self._interfaces)
                )
            elif kind == "users":
                await self._work.request(self._pce.users, UsersReport(users=self._users))
            elif kind == "compatibility":
                await self._work.request(self._pce.compatibility, self._compatibility)
            else:
                ports, processes = self._services
                report = ServicesReport(
                    uptime_seconds=uptime_s(), open_ports=ports, processes=processes
                )
                await self._work.request(self._pce.services, report)
        except RequestFailed as error:
            _log.warning("%s report: %s", kind, error)
            refused = isinstance(error, Refused) and error.is_of_content
            self._feed(reports.ReportFailed(kind, str(error) if refused else ""))
        else:
            self._feed(reports.ReportAccepted(kind))

    def _interfaces_changed(self, drained: Drained[None]) -> None:
        self._work.spawn(self._observe_interfaces())

    async def _observe_interfaces(self) -> None:
        self._interfaces = await self._work.in_thread(self._kernel.interfaces)
        self._flows.ledger.neighbourhood = neighbourhood(self._interfaces)
        await self._work.in_thread(self._enforcement.adapt)
        self._feed(reports.Observed("interfaces", reports.digest(self._interfaces)))
