"""``make demo``: pair three hosts, segment them, kill things; every step is seen or it fails."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from demo.operator import Credentials, Operator, wait_for
from demo.processes import Program, free_port, start_pce
from demo.world import World, world_of_this_machine

PORT = 5432
HEARTBEAT_S = 1
FLOWS_S = 2
SWEEP_S = 1
OFFLINE_S = 12
"""The offline timer of the demo; the warning comes at a quarter of it."""

_Value = TypeVar("_Value")


class Story:
    """Tells what happens, with the time that each step took."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._number = 0

    def chapter(self, text: str) -> None:
        """A new part of the story."""
        self._number += 1
        print(f"\n{self._number}. {text}", flush=True)

    def tell(self, text: str) -> None:
        """One line, stamped with the seconds since the beginning."""
        print(f"   {time.monotonic() - self._began:6.1f} s  {text}", flush=True)

    def see(
        self,
        text: str,
        look: Callable[[], _Value],
        good: Callable[[_Value], bool] = bool,
        timeout_s: float = 30,
    ) -> _Value:
        """Wait until something is seen, and tell how long that took; TimeoutError otherwise."""
        began = time.monotonic()
        seen = wait_for(text, look, good, timeout_s)
        self.tell(f"{text}  (after {time.monotonic() - began:.2f} s)")
        return seen


class Demo:
    """One run of the story."""

    def __init__(self, folder: Path, story: Story) -> None:
        self.folder = folder
        self.story = story
        self.world: World = world_of_this_machine(folder, PORT)
        self.port = 0
        self.pce: Program | None = None
        self.operator: Operator
        self.labels: dict[str, str] = {}

    def run(self) -> None:
        """The whole story."""
        self.begin()
        self.pair()
        self.observe()
        self.segment()
        self.lose_a_ven()
        self.lose_the_pce()

    def start_pce(self) -> None:
        """Start the PCE, or start it again on its state."""
        self.port = self.port or free_port(self.world.pce_host)
        self.pce = start_pce(
            self.folder / "pce",
            self.world.pce_host,
            self.port,
            heartbeat_s=HEARTBEAT_S,
            flows_s=FLOWS_S,
            sweep_s=SWEEP_S,
        )

    def begin(self) -> None:
        """A PCE, and shorter timers through the settings API."""
        story = self.story
        story.chapter(f"A PCE and three hosts with {self.world.kernels}")
        if self.world.kernels.startswith("simulated"):
            story.tell("not root: the kernels are simulated; run as root to see real ones")
        self.start_pce()
        self.operator = Operator(Credentials.read(self.folder / "pce" / "credentials.json"))
        story.tell(f"PCE ready at {self.operator.credentials.url}")
        timer = [{"scope": [], "value": OFFLINE_S, "ven_type": "server"}]
        self.operator.update(
            f"{self.operator.org}/settings/workloads",
            {"workload_disconnected_timeout_seconds": timer},
        )
        story.tell(
            f"offline timer set to {OFFLINE_S} s, so the warning comes after {OFFLINE_S // 4} s"
        )

    def pair(self) -> None:
        """Three VENs become three workloads."""
        self.story.chapter("Pair")
        for name in ("web", "db", "outsider"):
            self.world.pair(name, self.operator.credentials)
            self.world.start(name)
        for name in ("web", "db", "outsider"):
            self.story.see(
                f"{name} ({self.world.address(name)}) is paired and enforces its first policy",
                lambda name=name: self.in_sync(name),  # type: ignore[misc]
            )

    def observe(self) -> None:
        """Labels, and what would be blocked."""
        story = self.story
        story.chapter("Label, and watch what would be blocked")
        for name in ("web", "db", "outsider"):
            app = "shop" if name != "outsider" else "elsewhere"
            refs = [
                {"href": self.operator.label("role", name)},
                {"href": self.operator.label("app", app)},
            ]
            self.labels |= {name: refs[0]["href"], app: refs[1]["href"]}
            changes: dict[str, Any] = {"labels": refs}
            if name == "db":
                changes["visibility_level"] = "enhanced_data_collection"
            self.operator.update(self.workload(name)["href"], changes)
        story.tell("web and db are labelled as application shop; db counts bytes")
        for name in ("web", "outsider"):
            self.must_connect(name, "no rule exists, but nothing is enforced yet")
        story.see(
            "the traffic log shows both as potentially blocked",
            lambda: {
                (record["src"]["ip"], record["policy_decision"]) for record in self.traffic_to_db()
            },
            lambda seen: (
                {(self.world.address(name), "potentially_blocked") for name in ("web", "outsider")}
                <= seen
            ),
        )

    def segment(self) -> None:
        """One rule set, provisioned, reaches the kernels."""
        story, org = self.story, self.operator.org
        story.chapter("Segment: a rule set is provisioned")
        rule_set = self.operator.create(
            f"{org}/sec_policy/draft/rule_sets",
            {
                "name": "shop",
                "enabled": True,
                "scopes": [[{"label": {"href": self.labels["shop"]}}]],
            },
        )["href"]
        rule = {
            "enabled": True,
            "providers": [{"label": {"href": self.labels["db"]}}],
            "consumers": [{"label": {"href": self.labels["web"]}}],
            "ingress_services": [{"proto": 6, "port": PORT}],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        }
        self.operator.create(f"{rule_set}/sec_rules", rule)
        self.operator.provision("web may reach db")
        story.see(
            "db's kernel names web: bolt, fetch and kernel update",
            lambda: self.world.enforces("db", self.world.address("web")),
        )
        self.enforce_in_full("web", "db")
        self.must_connect("web", "the rule lets it in")
        self.must_not_connect("outsider", "no rule lets it in")
        story.see("the traffic log shows web allowed with bytes", self.allowed_with_bytes)
        story.see(
            "the traffic log shows outsider blocked",
            lambda: self.seen("outsider", "blocked"),
        )

    def lose_a_ven(self) -> None:
        """A VEN dies; the PCE warns, then isolates it; it comes back."""
        story, world = self.story, self.world
        story.chapter("Lose a VEN: db's is killed with SIGKILL")
        db_href = self.workload("db")["href"]
        killed = time.monotonic()
        world.vens.pop("db").kill()
        check = "system_task.agent_missed_heartbeats_check"
        story.see(f"the event {check}", lambda: self.about(check, db_href))
        warned = time.monotonic() - killed
        # Silence begins with the last heartbeat, before the kill, and is counted in whole seconds.
        if not OFFLINE_S / 4 - HEARTBEAT_S - 1 <= warned <= OFFLINE_S / 2:
            raise AssertionError(f"the warning came after {warned:.1f} s")
        story.see(
            "db is offline", lambda: not self.workload("db")["online"], timeout_s=2 * OFFLINE_S
        )
        offline = time.monotonic() - killed
        if offline < OFFLINE_S - HEARTBEAT_S - 1:
            raise AssertionError(
                f"offline after {offline:.1f} s, before the timer of {OFFLINE_S} s"
            )
        story.see(
            "web's kernel has lost db", lambda: not world.enforces("web", world.address("db"))
        )
        self.must_not_connect("web", "db is isolated")
        world.start("db")
        story.see("db is back online", lambda: self.workload("db")["online"])
        story.see("web's kernel names db again", lambda: world.enforces("web", world.address("db")))
        self.must_connect("web", "db is let in again")

    def lose_the_pce(self) -> None:
        """The PCE dies; the VENs keep enforcing; it comes back with everything it acknowledged."""
        story = self.story
        story.chapter("Lose the PCE: it is killed with SIGKILL")
        kept = self.operator.label("env", "acknowledged a moment before")
        versions = self.operator.get(f"{self.operator.org}/sec_policy")
        flows = {self.identity(record) for record in self.traffic_to_db()}
        if self.pce is None:
            raise AssertionError("begin() starts it")
        self.pce.kill()
        self.must_connect("web", "enforced without a PCE")
        self.must_not_connect("outsider", "enforced without a PCE")
        began = time.monotonic()
        self.start_pce()
        story.tell(f"PCE ready again after {time.monotonic() - began:.2f} s")
        self.must_not_connect("outsider", "enforced all along")
        if self.operator.get(kept)["value"] != "acknowledged a moment before":
            raise AssertionError("the last acknowledged label is lost")
        if self.operator.get(f"{self.operator.org}/sec_policy") != versions:
            raise AssertionError("policy versions are lost")
        if not flows <= {self.identity(record) for record in self.traffic_to_db()}:
            raise AssertionError("flows are lost")
        story.tell("the last label, all policy versions and all flows are there")
        self.enforce_in_full("outsider")
        for name in ("web", "db", "outsider"):
            if not self.workload(name)["online"]:
                raise AssertionError(f"{name} was isolated by our own outage")
        story.tell("nobody was isolated by the outage")
        self.world.check()

    def must_connect(self, name: str, why: str) -> None:
        """See a connection to db succeed."""
        self.story.see(
            f"{name} reaches db:{PORT}: {why}",
            lambda: self.world.connects(name, "db", PORT),
        )

    def must_not_connect(self, name: str, why: str) -> None:
        """See a connection to db fail."""
        self.story.see(
            f"{name} does not reach db:{PORT}: {why}",
            lambda: not self.world.connects(name, "db", PORT),
        )

    def workload(self, name: str) -> Any:
        """The workload of a host; fails when it is not there."""
        found = self.operator.workload(name)
        if found is None:
            raise AssertionError(f"no workload {name}")
        return found

    def in_sync(self, name: str) -> bool:
        """Whether a host's VEN has applied the policy that the PCE wants."""
        workload = self.operator.workload(name)
        if workload is None:
            return False
        status = workload["agent"]["status"]
        return bool(
            status["security_policy_sync_state"] == "applied"
            and status["security_policy_applied_at"]
        )

    def enforce_in_full(self, *names: str) -> None:
        """Change the mode of hosts and see each of them apply a policy that it had not before."""
        before = {name: self.applied_at(name) for name in names}
        for name in names:
            self.operator.update(self.workload(name)["href"], {"enforcement_mode": "full"})
        self.story.see(
            f"{' and '.join(names)} enforce in full",
            lambda: all(self.in_sync(n) and self.applied_at(n) != before[n] for n in names),
        )

    def applied_at(self, name: str) -> Any:
        """When a host's kernel took its present policy, by the host's clock."""
        return self.workload(name)["agent"]["status"]["security_policy_applied_at"]

    def traffic_to_db(self) -> list[Any]:
        """What the traffic log knows of connections to db."""
        destination = [[{"workload": {"href": self.workload("db")["href"]}}]]
        return self.operator.traffic(
            destinations={"include": destination, "exclude": []},
            services={"include": [{"port": PORT, "proto": 6}], "exclude": []},
        )

    def seen(self, source: str, decision: str) -> list[Any]:
        """Records of connections from a host to db with this decision."""
        address = self.world.address(source)
        return [
            record
            for record in self.traffic_to_db()
            if record["src"]["ip"] == address and record["policy_decision"] == decision
        ]

    def allowed_with_bytes(self) -> bool:
        """Whether db reported web's allowed connection with the bytes that it answered."""
        return any(
            record.get("dst_tbo", record.get("dst_bo", 0)) >= 1_000
            for record in self.seen("web", "allowed")
        )

    def about(self, event_type: str, workload_href: str) -> list[Any]:
        """Events of a type about a workload."""
        ven = workload_href.replace("/workloads/", "/vens/")
        return [e for e in self.operator.events(event_type) if ven in str(e["notifications"])]

    def identity(self, record: Any) -> tuple[str, str, str, str]:
        """What tells one line of the traffic log from another."""
        return (
            record["src"]["ip"],
            record["dst"]["ip"],
            record["policy_decision"],
            record["flow_direction"],
        )

    def close(self) -> None:
        """Stop everything and take it away."""
        self.world.close()
        if self.pce is not None:
            self.pce.stop()


def main() -> int:
    """Run the story; 0 when every step was seen."""
    folder = Path(tempfile.mkdtemp(prefix="pce-demo-"))
    story = Story()
    began = time.monotonic()
    demo = Demo(folder, story)
    try:
        demo.run()
    except Exception as error:
        print(f"\nFAILED: {type(error).__name__}: {error}", file=sys.stderr)
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{_end_of(log)}", file=sys.stderr)
        return 1
    finally:
        demo.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nEvery step was seen, in {time.monotonic() - began:.0f} s.")
    return 0


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


if __name__ == "__main__":
    sys.exit(main())
