"""A host changes under a running VEN: links come, go and are renamed, IPv6 appears, other name
servers answer. What is enforced and what is reported follow."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.pce import FakePce, wait_until
from tests.kernel.faulty_network import NETNS_FILES
from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, allow, eventually, policy
from tests.kernel.real_ven import RealVen, pce_on
from ven_protocol.policy import Firewall

IPV6 = "net.ipv6.conf.eth0.disable_ipv6"


@pytest.fixture
def host(network: Network) -> Iterator[Host]:
    """``db``, with a table of name servers of its own, and IPv4 alone at first."""
    host = network["db"]
    etc = NETNS_FILES / host.namespace
    etc.mkdir(parents=True)
    (etc / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    host.run("sysctl", "-qw", f"{IPV6}=1")
    # Behind links that lead nowhere else are containers.
    host.run("ip", "route", "add", "default", "via", network["web"].ipv4)
    yield host
    shutil.rmtree(etc)


def links_of(pce: FakePce) -> set[str]:
    """Names of the interfaces that were reported last."""
    return {interface.name for interface in pce.interfaces()[-1].interfaces}


def test_the_firewall_and_the_reports_follow(network: Network, host: Host, tmp_path: Path) -> None:
    """Within a second of a link's or address's change, within ten of a name server's; the VEN
    fetches nothing for that."""
    web, other = network["web"], network["other"]
    document = policy(
        "full",
        {"web": [web.ipv4, web.ipv6]},
        allow(["web"], HTTP),
        firewall=Firewall(containers="by_policy"),
    )
    with pce_on(host, tmp_path) as pce, contextlib.closing(RealVen(host, tmp_path, pce)) as ven:
        pce.set_policy(document)
        ven.start()
        ven.await_policy()
        assert "forward" not in ven.table() and "192.0.2.1" in ven.table()
        assert links_of(pce) == {"eth0", "lo"}

        host.run("ip", "link", "add", "c1", "type", "veth", "peer", "name", "p1")
        host.run("ip", "link", "set", "c1", "up")
        host.run("ip", "addr", "add", "172.29.1.1/24", "dev", "c1")
        eventually(lambda: "hook forward" in ven.table() and '"c1"' in ven.table())
        wait_until("the new link", lambda: links_of(pce) == {"c1", "eth0", "lo"})

        host.run("ip", "link", "set", "c1", "down")
        host.run("ip", "link", "set", "c1", "name", "c2")
        host.run("ip", "link", "set", "c2", "up")
        eventually(lambda: '"c2"' in ven.table() and '"c1"' not in ven.table())
        wait_until("its new name", lambda: links_of(pce) == {"c2", "eth0", "lo"})

        host.run("ip", "link", "del", "c2")
        eventually(lambda: "hook forward" not in ven.table())
        wait_until("its end", lambda: links_of(pce) == {"eth0", "lo"})

        host.run("sysctl", "-qw", f"{IPV6}=0")
        host.run("ip", "addr", "add", f"{host.ipv6}/64", "dev", "eth0", "nodad")
        with host.listen(80, family=6):
            assert web.reaches(host, 80, family=6) and other.misses(host, 80, family=6)
        wait_until(
            "the first IPv6 address",
            lambda: host.ipv6 in {i.address for i in pce.interfaces()[-1].interfaces},
        )

        (NETNS_FILES / host.namespace / "resolv.conf").write_text("nameserver 192.0.2.77\n")
        eventually(lambda: "192.0.2.77" in ven.table(), within_s=30)
        assert "192.0.2.1 " not in ven.table()
        assert len(pce.told("policy")) == 1
        ven.stop()
