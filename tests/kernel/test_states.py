"""What is left in a real kernel when a VEN stops, is suspended, or is unpaired."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.pce import wait_until
from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, allow, eventually, policy
from tests.kernel.real_ven import RealVen, pce_on
from ven_protocol.messages import Action

FOREIGN = "add table inet other; add chain inet other more { type filter hook input priority 5; }"
ESTABLISHED = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"


@pytest.fixture
def ven(network: Network, tmp_path: Path) -> Iterator[RealVen]:
    """A VEN on ``db`` that lets ``web`` in to port 80; somebody else has a table there too."""
    host = network["db"]
    with pce_on(host, tmp_path) as pce, contextlib.closing(RealVen(host, tmp_path, pce)) as found:
        host.run("nft", FOREIGN)
        pce.set_policy(policy("full", {"web": [network["web"].ipv4]}, allow(["web"], HTTP)))
        yield found


def test_a_suspended_ven_leaves_nothing(network: Network, ven: RealVen) -> None:
    """Stopped, its policy stays and it says goodbye. Suspended, no rule of it is there, no process,
    no sysctl, also after a boot; the PCE is told. Unsuspended, all is as before."""
    host, untouched = ven.host, network["other"].run("cat", ESTABLISHED)
    assert host.run("cat", ESTABLISHED) == "28800\n" != untouched, "set when it was paired"
    with host.listen(81):
        ven.start()
        ven.await_policy()
        table = ven.table()
        ven.stop()
        assert ven.pce.told("goodbye") and ven.table() == table
        assert network["web"].misses(host, 81)
        ven.start()
        wait_until("a heartbeat", lambda: ven.data.running_pid())
        ven.run("suspend")
        assert ven.table() == "" and ven.data.running_pid() is None
        assert host.run("cat", ESTABLISHED) == untouched
        assert "suspended" in ven.run("load-policy") and ven.table() == ""
        assert network["web"].reaches(host, 81)
        assert len(ven.pce.told("suspend")) == 1 and len(ven.pce.told("goodbye")) == 1
        assert "inet other" in host.run("nft", "list", "tables")
        ven.run("unsuspend")
        eventually(lambda: ven.table() == table)
        assert len(ven.pce.told("unsuspend")) == 1
        ven.run("stop")


@pytest.mark.parametrize("restore", ["recommended", "saved", "open"])
def test_what_an_unpaired_ven_leaves(network: Network, ven: RealVen, restore: str) -> None:
    """recommended: SSH and ICMP alone come in. saved and open: all that was there before, and what
    others put there."""
    host, web = ven.host, network["web"]
    with host.listen(22), host.listen(81):
        ven.start()
        ven.await_policy()
        ven.run("unpair", restore)
        assert len(ven.pce.told("deactivate")) == 1
        assert not (ven.data.path / "identity.json").exists()
        assert ven.data.running_pid() is None
        assert web.reaches(host, 22) and web.pings(host)
        assert web.misses(host, 81) is (restore == "recommended")
        assert bool(ven.table()) is (restore == "recommended")
        assert "inet other" in host.run("nft", "list", "tables")


@pytest.mark.parametrize(("said", "closed"), [("default", True), ("disable", False)])
def test_unpaired_by_the_pce_in_the_words_of_its_api(
    network: Network, ven: RealVen, said: str, closed: bool
) -> None:
    """default is recommended, disable is open."""
    ven.start()
    ven.await_policy()
    ven.pce.actions = [Action(id="u", type="unpair", params={"firewall_restore": said})]
    eventually(lambda: not (ven.data.path / "identity.json").exists(), 30)
    eventually(lambda: ven.data.running_pid() is None, 30)
    assert bool(ven.table()) is closed
    assert ven.pce.told("deactivate")
