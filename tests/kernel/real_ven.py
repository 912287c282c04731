"""A whole VEN on a host in a namespace, and a PCE for it on that host's loopback interface."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fakes.pce import FakePce, fake_pce, wait_until
from tests.kernel.namespaces import Host
from ven.edge.files import DataDirectory
from ven_protocol.messages import Intervals

START_TIMEOUT_S = 60
"""Of a busy machine."""


@contextlib.contextmanager
def pce_on(host: Host, folder: Path) -> Iterator[FakePce]:
    """A PCE that only this host reaches."""
    with contextlib.ExitStack() as opened:
        with host.entered():
            pce = opened.enter_context(fake_pce(folder))
        pce.intervals = Intervals(heartbeat_s=1, flows_s=600)
        yield pce


class RealVen:
    """The VEN of one host: activated at once, started and killed as the test likes."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        pce: FakePce,
        program: Sequence[str] = (sys.executable, "-m", "ven"),
    ) -> None:
        self.host = host
        self.pce = pce
        self.data = DataDirectory(folder / "ven")
        self._program = [*program, "--data-dir", str(self.data.path)]
        self._process: subprocess.Popen[bytes] | None = None
        self.run("activate", "--management-server", pce.server, "--activation-code", pce.code,
                 "--ca-file", pce.ca_file)  # fmt: skip

    def run(self, *words: str, expect: int = 0) -> str:
        """What a command of the VEN says."""
        done = subprocess.run(
            self.host.command(*self._program, *words),
            capture_output=True, text=True, timeout=120, env=_environment(), check=False,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, as a service manager does."""
        command = self.host.command(*self._program, "start", "--foreground")
        self._process = subprocess.Popen(
            command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Stop it in an orderly way."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0
        self._process = None

    def holds(self, etag: str) -> bool:
        """Whether it has said that the kernel has this policy; a process that finds it there says
        so in its heartbeats alone."""
        said = [applied.etag for applied in self.pce.applied()[-1:] if applied.success]
        return etag in said + [beat.applied_etag for beat in self.pce.heartbeats()[-1:]]

    def await_policy(self) -> None:
        """Until it holds the PCE's newest."""
        wait_until("the policy", lambda: self.holds(self.pce.etag()), START_TIMEOUT_S)

    def table(self) -> str:
        """Its table, without what differs from one process to the next: counts, what was counted,
        the numbers of sets and of the policy, the order of sets, sets that no rule uses any more;
        "" when there is none."""
        told = self.host.run("nft", "--stateless", "list", "table", "inet", "ven", check=False)
        told = re.sub(r"(timeout \S+\n)\s+elements = \{[^}]*\}\n", r"\1", told)
        told = re.sub(r"(set |@)([a-z]\w*)\.\d+|0x[0-9a-f]{8}", r"\1\2", told)
        blocks = told.removeprefix("table inet ven {\n").split("\n\t}\n")
        used = [each for each in blocks if not (name := _set_name(each)) or f"@{name}" in told]
        return "\n\t}\n".join(sorted(used))

    def close(self) -> None:
        """Nothing of it stays."""
        self.kill()
        self.host.run("nft", "flush", "ruleset")
        self.host.run("conntrack", "-F", check=False)


def _set_name(block: str) -> str:
    found = re.match(r"\n?\tset (\S+) \{", block)
    return found[1] if found else ""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VEN_")}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)}
