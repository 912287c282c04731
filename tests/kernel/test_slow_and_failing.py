"""A kernel edge that is slow, or fails, keeps the ruleset that it has."""

import errno
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, policy
from ven.core.kernel import KernelRefused
from ven.edge import nftables
from ven.edge.netlink import NetlinkError
from ven_protocol.policy import PolicyDocument, Service


def lets_in(network: Network, name: str, port: int = 80) -> PolicyDocument:
    return policy("full", {"p": [network[name].ipv4]}, allow(["p"], Service(proto=6, port=port)))


def program(folder: Path, text: str) -> str:
    """An ``nft`` of our own."""
    found = folder / "nft"
    found.write_text(f"#!/bin/sh\n{text}\n")
    found.chmod(0o755)
    return str(found)


def still_as(network: Network, db: ProtectedHost, allowed: str, refused: str) -> None:
    """The policy that lets ``allowed`` in is in force, whole, and nothing else is left about."""
    assert network[allowed].reaches(db.host, 80)
    assert network[refused].misses(db.host, 80)
    assert db.firewall.verify()
    assert ".2 {" not in db.nft("list", "table", "inet", "ven")


def test_the_old_ruleset_holds_while_a_slow_one_is_loaded(
    network: Network, db: ProtectedHost, tmp_path: Path
) -> None:
    """Until the last moment nobody comes in whom the old policy refuses, nor is anybody refused
    whom it allows; then at once the new one is in force."""
    with closing(db.host.listen(80)), closing(db.host.listen(81)):
        db.apply(lets_in(network, "web"))
        begun, may_go = tmp_path / "begun", tmp_path / "may_go"
        db.firewall._nft = program(
            tmp_path, f'touch {begun}\nwhile [ ! -e {may_go} ]; do sleep 0.05; done\nexec nft "$@"'
        )
        worker = threading.Thread(target=db.apply, args=(lets_in(network, "other", 81),))
        worker.start()
        try:
            while not begun.exists():
                assert worker.is_alive()
            assert network["web"].reaches(db.host, 80)
            assert network["other"].misses(db.host, 81)
        finally:
            may_go.touch()
            worker.join(20)
        assert network["other"].reaches(db.host, 81)
        assert network["web"].misses(db.host, 80)


@pytest.mark.parametrize("end", ["exit 1", "kill -9 $$", "cat >/dev/null; exec sleep 60"])
def test_a_failing_nft_changes_nothing(
    network: Network, db: ProtectedHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """It fails, is killed, or never ends: refused, the old ruleset holds, and what was prepared is
    taken away; a working one takes the same policy afterwards."""
    with closing(db.host.listen(80)):
        db.apply(lets_in(network, "web"))
        wanted = policy("full", {"q": [network["other"].ipv4]}, allow(["q"], HTTP))
        with monkeypatch.context() as patched:
            patched.setattr(nftables, "NFT_TIMEOUT_S", 1)
            patched.setattr(db.firewall, "_nft", program(tmp_path, end))
            with pytest.raises(KernelRefused):
                db.apply(wanted)
        still_as(network, db, "web", "other")
        db.apply(wanted)
        assert network["other"].reaches(db.host, 80)


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMSGSIZE, errno.EPERM])
def test_a_failing_netlink_changes_nothing(
    network: Network, db: ProtectedHost, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Of a change in place too: no member comes or goes."""

    def fail(*_: object) -> None:
        raise NetlinkError(number, 0)

    with closing(db.host.listen(80)):
        db.apply(lets_in(network, "web"))
        with monkeypatch.context() as patched:
            patched.setattr(db.firewall._netlink, "commit", fail)
            with pytest.raises(KernelRefused):
                db.apply(lets_in(network, "other"))
        still_as(network, db, "web", "other")
        db.apply(lets_in(network, "other"))
        assert network["other"].reaches(db.host, 80)
