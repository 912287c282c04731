"""What a VEN costs a host that is asked for many connections, and whether its counts are exact.
Needs root.

The VEN is the whole agent in a network namespace, paired with a local PCE. Another namespace sends
datagrams, each from a port of its own and so each a connection of its own. This host's kernel
forgets one after a second, so that the connection table, which all namespaces share, does not fill.
"""

import contextlib
import os
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from bench.figure import Figure
from bench.process_cost import cpu_s, resident_mib, ven_process
from demo.operator import Credentials, wait_for
from demo.processes import free_port, start_pce
from demo.world import RealWorld
from ven.edge.files import DataDirectory
from ven_protocol.flows import decode_batch, to_summaries

SERVICE = 7000
"""UDP port to which everything is sent."""
MEASURED_S = 6
SETTLES_S = 60
"""Longest wait for the VEN to enter sampling mode, after ten seconds of a high rate."""
TICK_S = 0.01

SAMPLED_FROM = 10_000
"""A rate at which the VEN samples, on any machine."""
BUDGETS = {1_000: None, 20_000: None, 14_000: 3.0}
"""New connections a second, and the share of a core in percent that they may take. Sampling mode is
entered at the highest rate, where the kernel's buffer of events fills fastest."""
REST_BUDGET = 0.2
MEMORY_BUDGET_MIB = 40
"""Of a VEN at rest; what connections need comes on top."""


def measure() -> list[Figure]:
    """CPU time of the VEN's process in percent of a core, and its memory, at rest and at each rate,
    one after the other; at last the connections that were sent and not counted, of all. Under a
    minute; nothing without root. Counters are read once a minute and so may be left out of CPU."""
    if os.geteuid() != 0:
        return []
    folder = Path(tempfile.mkdtemp(prefix="ven-load-"))
    world = RealWorld(folder, SERVICE)
    pce = None
    try:
        port = free_port(world.pce_host)
        state = folder / "pce"
        pce = start_pce(state, world.pce_host, port, heartbeat_s=300, flows_s=600, sweep_s=60)
        world.pair("web", Credentials.read(state / "credentials.json"))
        world.host("web").run("sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=1")
        world.start("web")
        return list(_loaded(world))
    finally:
        world.close()
        if pce is not None:
            pce.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _loaded(world: RealWorld) -> Iterator[Figure]:
    data = DataDirectory(world.data_dir("web"))
    log = data.path / "log" / "vtap.log"
    wait_for("a first policy", (data.path / "policy.json").exists)
    pid = ven_process(world.vens["web"].pid)
    time.sleep(2)  # its first looks at the host
    share, _ = _share(pid)
    yield Figure("VEN at rest, CPU", share, "% of a core", REST_BUDGET, share <= REST_BUDGET)
    memory = resident_mib(pid)
    within = memory <= MEMORY_BUDGET_MIB
    yield Figure("... memory", memory, "MiB", MEMORY_BUDGET_MIB, within)
    sent = 0
    for rate, budget in BUDGETS.items():
        with _Load(world, rate) as load:
            if rate >= SAMPLED_FROM:
                entered = lambda: "Entering throttle" in log.read_text()  # noqa: E731
                wait_for("sampling mode", entered, timeout_s=SETTLES_S)
            # Connections that were told before have their end told too.
            time.sleep(min(load.round_s, 5))
            before = load.sent
            share, seconds = _share(pid)
            reached = (load.sent - before) / seconds
        sent += load.sent
        time.sleep(2)  # until its last ones are forgotten: the next load has the same ports
        what = f"VEN at {rate:,} new connections a second (reached {reached:,.0f})"
        yield Figure(
            f"{what}, CPU", share, "% of a core", budget, budget is None or share <= budget
        )
        yield Figure("... memory", resident_mib(pid), "MiB", None, within=True)
    # What has timed out is told when the kernel comes to look for it, which may take a minute.
    world.host("web").run("conntrack", "-F")
    time.sleep(1)  # the VEN reads it
    world.vens["web"].stop()  # which ends the window
    missing = sent - _counted(data)
    lost = log.read_text().count("lost")
    yield Figure(f"... connections not counted, of {sent:,}", missing, "", 0, missing == 0)
    yield Figure("... overruns of the kernel's buffer of events", lost, "", None, within=True)


def _share(pid: int) -> tuple[float, float]:
    """Percent of a core that the process uses for a while, and how many seconds that was."""
    used, began = cpu_s(pid), time.monotonic()
    time.sleep(MEASURED_S)
    seconds = time.monotonic() - began
    return (cpu_s(pid) - used) / seconds * 100, seconds


def _counted(data: DataDirectory) -> int:
    """Connections in the batches on disk, which are of one window: each is there once, whether it
    ended or is open."""
    total = 0
    for batch in data.batches():
        for summary in to_summaries(decode_batch(data.batch(batch.seq) or b"")):
            if summary.dst_port == SERVICE:
                total += summary.count
    return total


class _Load(contextlib.AbstractContextManager["_Load"]):
    """Datagrams from ``db`` to ``web``, at an even rate, while it is entered."""

    _PACKET = struct.Struct(">BBHHHBBH4s4s HHHH")
    _FIRST, _LAST = 1_024, 65_535
    """Source ports: at 20,000 a second each is used again after three seconds."""

    def __init__(self, world: RealWorld, rate: int) -> None:
        self.sent = 0
        self._rate = rate
        self._to = world.address("web")
        ends = ip_address(world.address("db")).packed, ip_address(self._to).packed
        self._packets = [
            self._PACKET.pack(0x45, 0, 28, 0, 0, 64, 17, 0, *ends, port, SERVICE, 8, 0)
            for port in range(self._FIRST, self._LAST + 1)
        ]
        with world.host("db").entered():
            self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        # Somebody is there, so that no datagram is answered by ICMP.
        self._receiver = world.host("web").listen(SERVICE, kind=socket.SOCK_DGRAM)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def round_s(self) -> float:
        """Seconds until every port was used again, and what was before is forgotten."""
        return len(self._packets) / self._rate

    def __enter__(self) -> "_Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._raw.close()
        self._receiver.close()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(TICK_S):
            # What a busy machine delayed is not made up for at once.
            due = int((time.monotonic() - began) * self._rate)
            due = min(due, self.sent + int(3 * TICK_S * self._rate))
            for number in range(self.sent, due):
                self._raw.sendto(self._packets[number % len(self._packets)], (self._to, 0))
            self.sent = max(self.sent, due)
