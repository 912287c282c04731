"""Somebody else's hands on the VEN's table, on a real kernel with a whole VEN."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.pce import wait_until
from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, allow, policy
from tests.kernel.real_ven import START_TIMEOUT_S, RealVen, pce_on
from ven_protocol.messages import Tampering

KINDS = {
    "a rule added": "insert rule inet ven judge_in accept",
    "rules of a chain flushed": "flush chain inet ven judge_in",
    "all rules flushed": "flush table inet ven",
    "the table deleted": "delete table inet ven",
    "everything flushed": "flush ruleset",
    "a chain added": "add chain inet ven more { type filter hook input priority -300; }",
}
"""What somebody else does, as nft takes it. Rules and set members that are deleted or changed have
tests of their own: their names and numbers are only known then."""

STORM_S = 3


@pytest.fixture(scope="module")
def ven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealVen]:
    """A VEN that enforces; its host has one other to talk to."""
    folder = tmp_path_factory.mktemp("tampering")
    with (
        Network("a", "b") as network,
        pce_on(network["a"], folder) as pce,
        contextlib.closing(RealVen(network["a"], folder, pce)) as found,
    ):
        pce.set_policy(policy("full", {"b": [network["b"].ipv4]}, allow(["b"], HTTP)))
        found.start()
        found.await_policy()
        yield found


def tamper(ven: RealVen, command: str) -> None:
    """Do it, and see it put back and told."""
    before, told = ven.table(), len(ven.pce.tampering())
    assert before
    ven.host.run("nft", command)
    wait_until("the table as it was", lambda: ven.table() == before)
    reports = wait_until("the report", lambda: ven.pce.tampering()[told:])
    assert [(each.revert_succeeded, each.num_reverts) for each in reports] == [(True, 1)]
    assert reports[0].process_name == "nft"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_change_is_put_back_and_told(ven: RealVen, kind: str) -> None:
    """Whatever was added, flushed or deleted: the table is the same again, and the report says who
    it was and that it worked."""
    tamper(ven, KINDS[kind])


def test_a_deleted_rule_is_put_back(ven: RealVen) -> None:
    """One single rule."""
    listed = ven.host.run("nft", "-a", "list", "chain", "inet", "ven", "judge_in")
    handle = [line.rsplit(" ", 1)[1] for line in listed.splitlines() if "# handle" in line][-1]
    tamper(ven, f"delete rule inet ven judge_in handle {handle}")


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_members_of_sets_are_put_back(ven: RealVen, verb: str) -> None:
    """An address more, or the one that the policy names less."""
    lines = ven.host.run("nft", "list", "table", "inet", "ven").splitlines()
    at = next(n for n, line in enumerate(lines) if "elements" in line and "10.77.0.2" in line)
    name = next(line.split()[1] for line in reversed(lines[:at]) if line.startswith("\tset "))
    address = {"add": "10.77.0.99", "delete": "10.77.0.2"}[verb]
    tamper(ven, f"{verb} element inet ven {name} {{ {address} }}")


def test_a_storm_of_changes_costs_a_bounded_share(ven: RealVen) -> None:
    """Somebody opens the table as fast as he can: the VEN reverts at a pace that it can bear, says
    so in few reports, goes on with its heartbeats, and has the last word."""
    ven.kill()
    beats = len(ven.pce.heartbeats())
    ven.start()  # a fresh one has not used up its reports
    wait_until("its first heartbeat", lambda: len(ven.pce.heartbeats()) > beats, START_TIMEOUT_S)
    before, told = ven.table(), len(ven.pce.tampering())
    beats, used_s = len(ven.pce.heartbeats()), cpu_s(ven.pid)
    storm = "while :; do nft insert rule inet ven judge_in accept 2>/dev/null; done"
    began = time.monotonic()
    with subprocess.Popen(ven.host.command("timeout", str(STORM_S), "sh", "-c", storm)) as storming:
        storming.wait(60)
    lasted_s, used_s = time.monotonic() - began, cpu_s(ven.pid) - used_s
    print(f"storm of {lasted_s:.1f} s: {used_s:.2f} s of CPU")
    wait_until("the table as it was", lambda: ven.table() == before, 60)
    reports = wait_until("the last report", lambda: good_end(ven.pce.tampering()[told:]))
    print(f"{sum(report.num_reverts for report in reports)} reverts in {len(reports)} reports")
    assert used_s < 0.35 * lasted_s
    assert len(reports) <= 11
    assert len(ven.pce.heartbeats()) > beats


def good_end(reports: list[Tampering]) -> list[Tampering]:
    """The reports, once the last one says that all is well."""
    return reports if reports and reports[-1].revert_succeeded else []


def cpu_s(pid: int) -> float:
    """CPU of a process, and of those that it has waited for (nft)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(ticks) for ticks in fields[11:15]) / 100
