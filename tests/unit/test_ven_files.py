"""The data directory: what a VEN still knows after it was killed."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.fleet.simulator import SETTINGS, document
from ven.configuration import Identity, InvalidServer, Server
from ven.core.outbox import Batch
from ven.edge.files import AlreadyRunning, DataDirectory, KeptPolicy, NotActivated
from ven_protocol.paths import AgentToken
from ven_protocol.policy import policy_digest


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    made = DataDirectory(tmp_path / "data")
    made.create()
    return made


def identity() -> Identity:
    return Identity(
        server="pce.example:443",
        ven_href="/orgs/1/vens/x",
        workload_href="/orgs/1/workloads/x",
        agent_token=str(AgentToken.new(1, uuid.uuid4())),
        settings=SETTINGS,
    )


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_identity_is_kept_for_its_owner_only(data: DataDirectory) -> None:
    """The token is a secret: directory 0700, file 0600, and no repr shows it."""
    with pytest.raises(NotActivated, match="activate"):
        data.identity()
    kept = identity()
    data.save_identity(kept)
    assert data.identity() == kept
    assert mode_of(data.path) == 0o700
    assert mode_of(data.path / "identity.json") == 0o600
    assert kept.agent_token not in repr(kept)


def test_policy_falls_back_to_the_one_before(data: DataDirectory) -> None:
    """A damaged last-known-good is noticed by its digest; its etag says nothing of its content."""
    assert data.policy() is None
    first, second = document(1), document(2)
    data.save_policy("one.1", first)
    data.save_policy("two.7", second)
    assert data.policy() == KeptPolicy("two.7", policy_digest(second), second)
    text = (data.path / "policy.json").read_text()
    (data.path / "policy.json").write_text(text.replace("10.0.0.2", "10.0.0.9"))
    assert data.policy() == KeptPolicy("one.1", policy_digest(first), first)
    (data.path / "policy.json").write_text(text[:50])
    assert data.policy() == KeptPolicy("one.1", policy_digest(first), first)


def test_sequence_numbers_never_repeat(data: DataDirectory) -> None:
    """Not when a batch was never stored, not when the file is lost while batches wait."""
    assert [data.next_sequence(), data.next_sequence()] == [1, 2]
    data.save_batch(2, b"two")
    (data.path / "sequence").unlink()
    assert DataDirectory(data.path).next_sequence() == 3


def test_batches_wait_in_order(data: DataDirectory) -> None:
    """Oldest first, also beyond ten; forgetting twice is no error."""
    for seq in (9, 10, 11):
        data.save_batch(seq, b"x" * seq)
    assert data.batches() == (Batch(9, 9), Batch(10, 10), Batch(11, 11))
    assert data.batch(10) == b"x" * 10
    data.forget_batch(10)
    data.forget_batch(10)
    assert data.batch(10) is None
    assert [batch.seq for batch in data.batches()] == [9, 11]


def test_one_agent_at_a_time(data: DataDirectory) -> None:
    """The lock ends with its process, however it ends."""
    assert data.running_pid() is None
    data.lock()
    assert DataDirectory(data.path).running_pid() == os.getpid()
    with pytest.raises(AlreadyRunning):
        DataDirectory(data.path).lock()
    data.unlock()
    assert data.running_pid() is None


def test_a_kill_while_writing_leaves_the_old_or_the_new(data: DataDirectory) -> None:
    """Killed at random moments while the policy is replaced again and again: what is read back is
    always a whole policy."""
    script = (
        "import sys, itertools\n"
        "from pathlib import Path\n"
        "from tests.fleet.simulator import document\n"
        "from ven.edge.files import DataDirectory\n"
        "data = DataDirectory(Path(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    made = document(number)\n"
        "    data.save_policy(f'etag.{number}', made)\n"
        "    print(number, flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for lines in (1, 3, 7, 20, 2, 11):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(data.path)],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=Path(__file__).parents[2],
        ) as child:
            assert child.stdout is not None
            seen = [int(child.stdout.readline()) for _ in range(lines)]
            child.kill()
        kept = data.policy()
        assert kept is not None
        number = int(kept.etag.removeprefix("etag."))
        assert kept.document == document(number)
        assert number >= seen[-1]


def test_forgetting_leaves_nothing_of_the_pairing(data: DataDirectory) -> None:
    """Only logs and the batch number stay."""
    data.save_identity(identity())
    data.save_policy(policy_digest(document(1)), document(1))
    data.save_batch(data.next_sequence(), b"x")
    data.suspend()
    data.save_ca(b"pem")
    data.forget_all()
    left = {path.name for path in data.path.rglob("*") if path.is_file()}
    assert left <= {"sequence", "agent.lock"}
    assert not data.suspended


def test_management_server_forms() -> None:
    """HOST:PORT, HOST, IPv6 in brackets; anything else is an error that shows it."""
    assert Server.parse("pce.example:8443") == Server("pce.example", 8443)
    assert Server.parse("pce.example") == Server("pce.example", 443)
    assert Server.parse("[fd00::1]:8443") == Server("fd00::1", 8443)
    assert str(Server("fd00::1", 8443)) == "[fd00::1]:8443"
    for wrong in ("", ":443", "https://pce.example", "pce.example:", "pce:99999", "pce:x"):
        with pytest.raises(InvalidServer):
            Server.parse(wrong)
