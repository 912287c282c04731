"""The PCE's timers in real time: two real VENs, a real local PCE, a heartbeat a second.

``tests/integration/test_clocks.py`` has what each timer does to the second, on a clock of its own.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.operator import Credentials, Operator, wait_for
from demo.processes import free_port, start_pce
from demo.world import RealWorld
from ven.edge.files import DataDirectory

PORT = 5432
OFFLINE_S = 5
"""Long enough for a heartbeat that a busy machine delays; the warning comes after two."""
GOODBYE_S = 2
MISSED = "system_task.agent_missed_heartbeats_check"
OFFLINE = "system_task.agent_offline_check"


class Segment:
    """``db`` is enforced and lets ``web`` in; ``web`` comes and goes."""

    def __init__(self, world: RealWorld, operator: Operator) -> None:
        self.world, self.operator, self.org = world, operator, operator.org
        self.href = ""

    def build(self) -> None:
        """Short timers, two VENs, one rule."""
        settings = {
            "workload_disconnected_timeout_seconds": [{"scope": [], "value": OFFLINE_S}],
            "workload_goodbye_timeout_seconds": [{"scope": [], "value": GOODBYE_S}],
        }
        self.operator.update(f"{self.org}/settings/workloads", settings)
        for name in ("web", "db"):
            self.world.pair(name, self.operator.credentials)
            self.world.start(name)
        labels = {name: self.operator.label("role", name) for name in ("web", "db")}
        for name, label in labels.items():
            workload = wait_for(name, lambda name=name: self.operator.workload(name))  # type: ignore[misc]
            mode = "full" if name == "db" else "visibility_only"
            changes = {"labels": [{"href": label}], "enforcement_mode": mode}
            self.operator.update(workload["href"], changes)
        self.href = self.operator.workload("web")["href"]
        rules = self.operator.create(
            f"{self.org}/sec_policy/draft/rule_sets", {"name": "db", "scopes": [[]]}
        )
        rule = {
            "enabled": True,
            "providers": [{"label": {"href": labels["db"]}}],
            "consumers": [{"label": {"href": labels["web"]}}],
            "ingress_services": [{"proto": 6, "port": PORT}],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        }
        self.operator.create(f"{rules['href']}/sec_rules", rule)
        self.operator.provision("web may use db")
        self.is_here()

    def ven(self, *words: str) -> str:
        """A command of the VEN on ``web``."""
        command = self.world.command("web", *words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout + done.stderr

    def told(self, event_type: str, text: str = "") -> int:
        """How many events of a type name ``web``."""
        return sum(self.href.rpartition("/")[2] in str(event) and text in str(event)
                   for event in self.operator.events(event_type))  # fmt: skip

    def shown(self) -> Any:
        """The workload ``web`` as the API shows it."""
        return self.operator.get(self.href)

    def status(self) -> str:
        """Of the VEN on ``web``."""
        return str(self.operator.get(self.href.replace("workloads", "vens"))["status"])

    def is_here(self) -> None:
        """See ``web`` online, in the policy that db's kernel holds, and served."""
        wait_for("web online", lambda: self.shown()["online"])
        address = self.world.address("web")
        wait_for("web in db's kernel", lambda: self.world.enforces("db", address))
        wait_for("an answer of db", lambda: self.world.connects("web", "db", PORT))

    def is_gone(self) -> None:
        """See ``web`` offline, out of the policy that db's kernel holds, and served no more."""
        wait_for("web offline", lambda: not self.shown()["online"])
        address = self.world.address("web")
        wait_for("db's kernel without web", lambda: not self.world.enforces("db", address))
        assert not self.world.connects("web", "db", PORT)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """The VEN of ``web`` stands still, as if its host had lost power."""
        pid = self.world.vens["web"].pid
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """``web`` does not reach the PCE: whatever it tries is refused at once."""
        host = self.world.host("web")
        rule = f"ip daddr {self.world.pce_host} reject with icmp type admin-prohibited"
        hook = "{ type filter hook output priority -300; }"
        host.run("nft", f"add table inet fault; add chain inet fault out {hook};"
                 f" add rule inet fault out {rule}")  # fmt: skip
        try:
            yield
        finally:
            host.run("nft", "delete", "table", "inet", "fault")


def kill(data: DataDirectory) -> None:
    """End the VEN that a command of its own left running."""
    if pid := data.running_pid():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    folder = tmp_path_factory.mktemp("timers")
    world = RealWorld(folder, PORT)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(world.close)
        cleanup.callback(kill, DataDirectory(world.data_dir("web")))
        pce = start_pce(
            folder / "pce", world.pce_host, free_port(world.pce_host),
            heartbeat_s=1, flows_s=2, sweep_s=1,
        )  # fmt: skip
        cleanup.callback(pce.stop)
        known = Credentials.read(Path(folder, "pce", "credentials.json"))
        found = Segment(world, Operator(known))
        found.build()
        yield found


def test_silence_isolates_and_a_heartbeat_brings_back(segment: Segment) -> None:
    """Warned about and still in its peer's kernel, then offline and out of it; each told once. With
    the first heartbeat it is back in both."""
    kinds = (MISSED, OFFLINE, "workload.online")
    before = [segment.told(kind) for kind in kinds]
    with segment.silent():
        wait_for("the warning", lambda: segment.told(MISSED) > before[0])
        assert segment.world.connects("web", "db", PORT) or segment.told(OFFLINE) > before[1]
        segment.is_gone()
    segment.is_here()
    assert [segment.told(kind) for kind in kinds] == [count + 1 for count in before]


def test_a_goodbye_isolates_sooner_and_without_a_warning(segment: Segment) -> None:
    """After the goodbye timer; started again it is back."""
    segment.world.vens["web"].stop()
    wait_for("the goodbye", lambda: segment.told("agent.goodbye"))
    warned = segment.told(MISSED)
    segment.is_gone()
    assert segment.status() == "stopped"
    assert segment.told(OFFLINE, "offline_after_ven_goodbye") == 1
    assert segment.told(MISSED) == warned
    segment.world.start("web")
    segment.is_here()
    assert segment.status() == "active"


def test_a_suspension_that_the_pce_did_not_hear_of_is_silence(segment: Segment) -> None:
    """The VEN says so and takes its rules away all the same; offline after the timer. The end of
    it that was not heard either is told as soon as it can be."""
    with segment.cut_off():
        assert "the PCE was not told" in segment.ven("suspend")
        segment.is_gone()
        assert segment.status() == "active"
    segment.ven("suspend")
    assert segment.status() == "suspended"
    segment.is_here()
    with segment.cut_off():
        assert "the PCE was not told" in segment.ven("unsuspend")
        assert segment.status() == "suspended"
    wait_for("active", lambda: segment.status() == "active")
