"""Many VENs with real sockets against a running PCE: how soon a change is in all their kernels.

    python -m tests.fleet.swarm --vens 1000 --disturbed

starts a PCE, pairs the VENs, provisions a rule for all of them through the management API and
prints the time from the reply until it is applied: p50, p99 and the last. ``--disturbed`` does it
again while a tenth of the bolts are lost, late or repeated, and the PCE is killed and started again
in the middle. ``--seconds`` lets them live for so long in between, with a little traffic.

Exit status 1 when anything failed: an error logged by a VEN, a missed heartbeat, a VEN without its
bolt channel or without the policy that the PCE wants it to hold, a heartbeat too few, a VEN that
had no bolt and heard of a change after all who had one.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.operator import Credentials, Operator
from pce.usecases.announce_policy import REPORTS_AT_ONCE
from tests.fakes.local_host import ROOT, LocalHost, free_port
from tests.fleet.vens import Complaints, Measured, Vens, measure_requests, until
from ven_protocol.limits import REPORT_WITHIN_S

DESCRIPTORS_PER_VEN = 10
PAIRING_LIMIT_S = 120
CHANGE_LIMIT_S = 60
LAST_BOLT_S = 10
"""After a change is everywhere, for the bolts of those who had heard of it otherwise."""
QUIET_S = 1
"""Between the last report of one change and the next change."""
SETTLED_S = 3
"""Without a bolt after pairing, which changes everybody's policy until the last has joined: who has
a bolt under way gets no other, and what is measured would be the fetch after that one."""
KILL_AT_SHARE = 0.1
"""Of the VENs that have applied the change when the PCE is killed."""
DISTURB = "SWARM_DISTURB"
"""Environment variable: the file whose existence makes the fan-out bad."""


@dataclass
class Report:
    """What was seen, and what of it is wrong."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)
        print(text, flush=True)


def provision_rule(operator: Operator) -> tuple[int, float]:
    """Provision that all workloads may connect to all on a new port; the port, and when (monotonic
    seconds) the reply came."""
    mark, port = f"swarm {random.getrandbits(64):016x}", random.randrange(1024, 65536)
    everybody = [{"actors": "ams"}]
    rules = operator.create(
        f"{operator.org}/sec_policy/draft/rule_sets", {"name": mark, "scopes": [[]]}
    )
    operator.create(
        rules["href"] + "/sec_rules",
        {
            "enabled": True,
            "providers": everybody,
            "consumers": everybody,
            "ingress_services": [{"proto": 6, "port": port}],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        },
    )
    operator.provision(mark)
    return port, time.monotonic()


def spread_of(times_s: Sequence[float]) -> str:
    """``p50 0.61 s, p99 1.20 s, last 1.24 s`` of sorted times."""
    if not times_s:
        return "none"
    p50, p99 = times_s[len(times_s) // 2], times_s[int(len(times_s) * 0.99)]
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, last {times_s[-1]:.2f} s"


def cpu_s(pce: LocalHost) -> dict[str, float]:
    """Seconds of CPU that each process has used."""
    found = {"VENs": time.process_time()}
    pids = {"PCE": pce.process.pid, "its store": pce.store_process()}
    for name, pid in pids.items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


async def change_policy(vens: Vens, pce: LocalHost, report: Report, which: str) -> None:
    """Provision a rule for all and wait until all have it."""
    loop = asyncio.get_running_loop()
    cpu_before = cpu_s(pce)
    answers_before = Measured.answers.copy()
    vens.bolts.clear()
    operator = Operator(vens.credentials)
    port, replied = await loop.run_in_executor(None, provision_rule, operator)
    await until(lambda: vens.allowing(port) == vens.size, CHANGE_LIMIT_S)
    used = [f"{name} {cpu - cpu_before[name]:.2f} s" for name, cpu in cpu_s(pce).items()]
    asked = Measured.answers - answers_before
    allowed_at = vens.allowed_at(port)
    # On a busy machine the heartbeats of some are answered before their bolts have gone out.
    await until(lambda: len(vens.bolts) == vens.size, LAST_BOLT_S)
    applied = [at - replied for at in allowed_at.values()]
    bolts = sorted(at - replied for at in vens.bolts.values())
    report.say(f"{which} rule for all: {len(bolts)} VENs had bolts: {spread_of(bolts)}")
    report.say(f"{which} rule for all: {len(applied)} VENs applied it: {spread_of(applied)}")
    requests = [f"{count} x {name}" for name, count in sorted(asked.items())]
    report.say(f"until then: CPU {', '.join(used)}; requests {', '.join(requests) or 'none'}")
    if len(applied) < vens.size:
        report.problems.append(f"{vens.size - len(applied)} VENs did not apply the change")
    # Who has a bolt under way gets no other: the fetch that follows it brings the change.
    told = max((at for name, at in allowed_at.items() if name in vens.bolts), default=replied)
    if late := [at for name, at in allowed_at.items() if name not in vens.bolts and at > told]:
        report.problems.append(f"{len(late)} VENs had no bolt, and the change after all others")


async def change_policy_disturbed(
    vens: Vens, pce: LocalHost, interval_s: float, report: Report
) -> None:
    """The same while bolts are lost, late or repeated and the PCE is killed in the middle."""
    loop = asyncio.get_running_loop()
    disturb = Path(os.environ[DISTURB])
    disturb.touch()
    port, replied = await loop.run_in_executor(None, provision_rule, Operator(vens.credentials))
    some = max(1, int(KILL_AT_SHARE * vens.size))
    await until(lambda: vens.allowing(port) >= some, CHANGE_LIMIT_S, every_s=0.005)
    told = vens.allowing(port)
    pce.kill()
    killed = time.monotonic()
    await loop.run_in_executor(None, pce.start)
    back = time.monotonic()
    report.say(
        f"killed {killed - replied:.2f} s after the reply, when {told} VENs had applied it;"
        f" back {back - killed:.2f} s later"
    )
    limit_s = back + interval_s - time.monotonic()
    if not await until(lambda: vens.allowing(port) == vens.size, limit_s):
        report.problems.append(
            f"{vens.size - vens.allowing(port)} VENs had not applied the change one"
            f" heartbeat interval ({interval_s:g} s) after the PCE was back"
        )
    applied = list(vens.allowed_at(port).values())
    report.say(
        f"disturbed: {len(applied)} VENs applied it: {spread_of([at - replied for at in applied])}"
        f" after the reply, the last {applied[-1] - back:.2f} s after the PCE was back"
    )
    disturb.unlink()
    if not await until(vens.settled, CHANGE_LIMIT_S):
        report.problems.append("not every VEN has its bolt channel again")


def requests_table() -> Iterator[str]:
    """How long VENs waited for each resource."""
    yield f"{'request':>16} {'answered':>9} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"
    for name, waits in sorted(Measured.waits.items()):
        ordered = sorted(1000 * wait for wait in waits)
        p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        yield f"{name:>16} {len(ordered):>9} {p50:>8.1f} {p99:>8.1f} {ordered[-1]:>8.1f}"


async def run(pce: LocalHost, size: int, seconds: float, disturbed: bool, folder: Path) -> Report:
    """Pair, live for so long, change; and once more disturbed."""
    report, complaints = Report(), Complaints()
    vens = Vens(Credentials.read(pce.state_dir / "credentials.json"), size, folder)
    began = time.monotonic()
    await vens.start()
    if not await until(vens.settled, PAIRING_LIMIT_S):
        report.problems.append(f"not all have policy and bolt channel in {PAIRING_LIMIT_S} s")
    report.say(f"{size} VENs paired and settled in {time.monotonic() - began:.1f} s")
    traffic = asyncio.create_task(vens.traffic())
    lived = time.monotonic()
    signs_before = Measured.answers["heartbeat"] + Measured.answers["flows"]
    await asyncio.sleep(seconds)
    traffic.cancel()  # a simulated kernel judges in Python, a second for all of them
    if not await until(lambda: vens.quiet(SETTLED_S), PAIRING_LIMIT_S, every_s=0.2):
        report.problems.append(f"bolts still came {PAIRING_LIMIT_S} s after pairing")
    # The first brings every VEN the addresses of all others, the second a line of rules.
    await change_policy(vens, pce, report, "first")
    await until(vens.settled, CHANGE_LIMIT_S)
    last_report_s = max(REPORT_WITHIN_S, 2 * size / REPORTS_AT_ONCE)
    await asyncio.sleep(last_report_s + QUIET_S)
    await change_policy(vens, pce, report, "further")
    lived_s = time.monotonic() - lived
    signs = Measured.answers["heartbeat"] + Measured.answers["flows"] - signs_before
    interval_s = vens.agents[0].state.heartbeat.interval_s
    if signs < int(0.9 * size * (lived_s / interval_s - 1)):
        report.problems.append(f"{signs} signs of life were answered in {lived_s:.0f} s")
    await until(vens.settled, CHANGE_LIMIT_S)  # the kernel has it a moment before the agent knows
    report.problems += complaints_of(vens, complaints)
    if disturbed:
        report.problems += errors_of(pce)
        await change_policy_disturbed(vens, pce, interval_s, report)
    await vens.stop()
    for line in requests_table():
        report.say(line)
    return report


def complaints_of(vens: Vens, complaints: Complaints) -> Iterator[str]:
    """Everything that should not be so while nothing is disturbed."""
    states = [agent.state for agent in vens.agents]
    modes = Counter(s.heartbeat.mode for s in states)
    phases = Counter(s.bolts.phase for s in states)
    if modes != {"normal": vens.size} or any(s.heartbeat.misses for s in states):
        yield f"modes {dict(modes)}, {sum(s.heartbeat.misses for s in states)} heartbeats missed"
    if phases != {"open": vens.size}:
        yield f"bolt channels {dict(phases)}"
    if wrong := sum(s.policy.held != s.policy.wanted for s in states):
        yield f"{wrong} VENs do not hold the policy that they should"
    yield from (f"{count} x {text}" for text, count in Measured.failures.items())
    yield from (f"{count} x logged: {text}" for text, count in complaints.seen.items())
    yield from (f"a VEN ended: {error!r}" for error in vens.crashes)


def errors_of(pce: LocalHost) -> Iterator[str]:
    """What the PCE has logged as errors."""
    errors = [line for line in pce.said().splitlines() if '"ERROR"' in line]
    if errors:
        yield f"the PCE logged {len(errors)} errors: {errors[0][-1000:]}"


@contextmanager
def local_pce(folder: Path, port: int, heartbeat_s: int) -> Iterator[LocalHost]:
    """A PCE whose fan-out can be made bad, and that is otherwise the product's."""
    functions = folder / "functions"
    functions.mkdir()
    for real in (ROOT / "functions").iterdir():
        (functions / real.name).symlink_to(real)
    (functions / "bolts_fan_out").unlink()
    (functions / "bolts_fan_out").symlink_to(ROOT / "tests" / "fleet" / "bad_fan_out")
    os.environ[DISTURB] = str(folder / "disturb")
    settings = {"heartbeat_interval_s": heartbeat_s, "flow_interval_s": 2 * heartbeat_s}
    with LocalHost(folder / "pce", port=port, functions_dir=functions, **settings) as pce:
        yield pce


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vens", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0, help="to live before the change")
    parser.add_argument("--heartbeat-interval", type=int, default=60, metavar="S")
    parser.add_argument("--port", type=int, default=0, help="of the PCE; 0: any")
    parser.add_argument("--disturbed", action="store_true")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(most, 1024 + DESCRIPTORS_PER_VEN * options.vens)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    measure_requests()
    # Data on a RAM disk where there is one: the disk of 1,000 hosts is not what one host has.
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="swarm-", dir=shm) as of_pce,
        tempfile.TemporaryDirectory(prefix="swarm-", dir=shm) as of_vens,
        local_pce(Path(of_pce), options.port or free_port(), options.heartbeat_interval) as pce,
    ):
        report = asyncio.run(
            run(pce, options.vens, options.seconds, options.disturbed, Path(of_vens))
        )
        if not options.disturbed:  # a PCE that is killed has reason to complain
            report.problems += errors_of(pce)
    for problem in report.problems:
        print(f"PROBLEM {problem}", file=sys.stderr)
    print(json.dumps({"vens": options.vens, "problems": len(report.problems)}))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
