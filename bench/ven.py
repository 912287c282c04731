"""What a VEN costs its host at rest: memory and CPU of the process, on a real kernel as root."""

import shutil
import tempfile
import time
from pathlib import Path

from bench.figure import Figure
from bench.process_cost import cpu_s, resident_mib, ven_process
from demo.operator import Credentials, wait_for
from demo.processes import free_port, start_pce
from demo.world import World, world_of_this_machine
from ven_protocol.limits import HEARTBEAT_INTERVAL_S

HEARTBEAT_S = 2
HEARTBEATS = 15
"""A VEN at rest does nothing but its heartbeat. So heartbeats are made frequent and counted, and
what one costs is spread over the 300 seconds of the default cadence."""
PORT = 5432


def measure() -> list[Figure]:
    """Resident memory and CPU share of one VEN that is paired, connected and has nothing to do."""
    folder = Path(tempfile.mkdtemp(prefix="ven-bench-"))
    world = world_of_this_machine(folder, PORT)
    pce = None
    try:
        port = free_port(world.pce_host)
        pce = start_pce(
            folder / "pce", world.pce_host, port, heartbeat_s=HEARTBEAT_S, flows_s=600, sweep_s=60
        )
        world.pair("web", Credentials.read(folder / "pce" / "credentials.json"))
        world.start("web")
        return _at_rest(world)
    finally:
        world.close()
        if pce is not None:
            pce.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _at_rest(world: World) -> list[Figure]:
    kept = world.data_dir("web") / "policy.json"
    wait_for("a first policy", kept.exists)
    pid = ven_process(world.vens["web"].pid)
    wait_for("the VEN to come to rest", lambda: cpu_s(pid), lambda _: _is_idle(pid), every_s=1)
    before = cpu_s(pid)
    time.sleep(HEARTBEATS * HEARTBEAT_S)  # rest is what is measured
    heartbeat_ms = (cpu_s(pid) - before) / HEARTBEATS * 1000
    share = heartbeat_ms / 1000 / HEARTBEAT_INTERVAL_S * 100
    resident = resident_mib(pid)
    at_rest = f"VEN at rest ({world.kernels})"
    return [
        Figure(f"{at_rest}, memory", resident, "MiB", 40, resident <= 40),
        Figure(f"{at_rest}, CPU of a heartbeat", heartbeat_ms, "ms", None, True),
        Figure(f"{at_rest}, CPU at the default cadence", share, "% of a core", 0.2, share <= 0.2),
    ]


def _is_idle(pid: int) -> bool:
    before = cpu_s(pid)
    time.sleep(1)  # a second of looking
    return cpu_s(pid) - before < 0.02
