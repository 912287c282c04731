"""The agent's process: be it, start it, wait for it, stop it.

Under systemd it is the service that the package installs; elsewhere a process of its own.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ven.core.kernel import Kernel
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.simulated import SimulatedKernel

if TYPE_CHECKING:
    from ven.upgrade import Upgrades

STOP_TIMEOUT_S = 20
"""For goodbye (4 s) and a request that was under way."""
START_TIMEOUT_S = 20
UNIT = "ven.service"
BOOT_UNIT = "ven-boot.service"
AGENT_THREADS = 4
"""One request, one kernel change, one look at processes, one upgrade or support report at a time.
"""


class CannotDo(Exception):
    """The command makes no sense now; the text says why and what to do."""


def run(data: DataDirectory, kernel_of: Callable[[], Kernel]) -> NoReturn:
    """Be the agent's process until it is stopped; then this process ends, or becomes the next.

    Raises :class:`~ven.edge.files.AlreadyRunning`; what else goes wrong is logged on its way.
    """
    from ven.activation import clear
    from ven.installation import Installation
    from ven.logs import write_logs
    from ven.upgrade import Upgrades

    data.create()
    data.lock()
    write_logs(data.path / "log", also_to_stderr=sys.stderr.isatty())
    kernel = kernel_of()
    workers = ThreadPoolExecutor(AGENT_THREADS, thread_name_prefix="ven")
    installation = Installation.of_this_process()
    upgrades = Upgrades(data, installation)
    try:
        outcome, restore = asyncio.run(_serve(data, kernel, workers, upgrades))
        if outcome == "upgrade":
            upgrades.go_over()
        elif outcome == "give_up_release":
            upgrades.give_up()
    except BaseException:
        logging.getLogger("ven.agent").exception("the VEN ends; the policy stays in force")
        raise
    if outcome == "unpaired":
        clear(data, kernel, restore)
    kernel.close()
    data.unlock()
    if outcome in ("restart", "upgrade", "give_up_release"):
        sys.stdout.flush()
        if installation is not None:
            os.execv(installation.launcher, [str(installation.launcher), *sys.argv[1:]])  # noqa: S606
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    # Worker threads may wait for a network that does not answer; nobody waits for them.
    sys.stdout.flush()
    os._exit(0)


async def _serve(
    data: DataDirectory, kernel: Kernel, workers: ThreadPoolExecutor, upgrades: "Upgrades"
) -> tuple[str, str]:
    from ven.agent import Agent
    from ven.enforcement import load_last_known_good

    held = load_last_known_good(data, kernel)
    agent = Agent(
        data,
        data.identity(),
        kernel,
        held,
        lambda public_ip: host_facts(hostname(kernel), public_ip),
        workers,
        upgrades=upgrades,
    )
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, agent.stop)
    control = None
    if isinstance(kernel, SimulatedKernel):
        from ven.edge.simulated_control import serve

        control = await serve(kernel, data.path / "simulated.sock")
    try:
        return await agent.run(), agent.firewall_restore
    finally:
        if control is not None:
            control.close()


def _command() -> list[str]:
    """What starts another process of this VEN's release in force."""
    launcher = os.environ.get("VEN_LAUNCHER")
    return [launcher] if launcher else [sys.executable, "-m", "ven"]


def has_unit(data: DataDirectory) -> bool:
    """Whether systemd runs this very VEN."""
    if not Path("/run/systemd/system").exists():
        return False
    shown = subprocess.run(
        ["systemctl", "cat", UNIT], capture_output=True, text=True, check=False
    ).stdout
    return f"--data-dir {data.path} " in shown


def start_in_background(data: DataDirectory, flags: Sequence[str]) -> None:
    """Start another process that stays when this one ends; ``flags`` name its kernel."""
    with (data.path / "log" / "start.log").open("ab") as log:
        subprocess.Popen(
            [
                *_command(),
                *("--data-dir", str(data.path), *flags, "start", "--foreground"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def await_start(data: DataDirectory) -> int:
    """Wait until the agent runs; its process id. Raises :class:`CannotDo`."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        pid, status = data.running_pid(), data.status()
        if pid and status is not None and status.pid == pid:
            return pid
        time.sleep(0.05)
    raise CannotDo(f"the VEN did not start; see {data.path / 'log'}")


def stop_agent(data: DataDirectory) -> bool:
    """Stop the running agent and wait for its end; False when none ran."""
    pid = data.running_pid()
    if pid is None:
        return False
    if has_unit(data):
        subprocess.run(["systemctl", "stop", UNIT], check=True)
    else:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while data.running_pid() == pid:
        if time.monotonic() > deadline:
            raise CannotDo(f"process {pid} does not stop; see {data.path / 'log' / 'agent.log'}")
        time.sleep(0.05)
    return True


def hostname(kernel: Kernel) -> str:
    """Name of a simulated host; empty for the real one."""
    return kernel.hostname if isinstance(kernel, SimulatedKernel) else ""
