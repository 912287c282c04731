"""What an idle VEN finds on a real host that may get in the way of policy."""

from pathlib import Path

import pytest

from tests.kernel.namespaces import Host, Network
from ven.edge.compatibility import about, forwarded, read_compatibility
from ven_protocol.messages import CompatibilityReport

OTHERS = """
add table ip filter
add chain ip filter INPUT { type filter hook input priority 0; policy drop; }
add rule ip filter INPUT tcp dport 22 accept
add table ip6 filter
add chain ip6 filter INPUT { type filter hook input priority 0; }
add rule ip6 filter INPUT accept
add table inet other
add chain inet other raw { type filter hook prerouting priority raw; }
add rule inet other raw udp dport 53 notrack
add table bridge b
add chain bridge b c
add rule bridge b c accept
add table inet ven
add chain inet ven in
add rule inet ven in accept
"""


@pytest.fixture
def host(network: Network) -> Host:
    return network["other"]


def found_on(host: Host) -> CompatibilityReport:
    with host.entered():
        return read_compatibility()


def test_a_host_of_its_own_has_nothing_in_the_way(host: Host) -> None:
    """No rules, nothing forwarded, nothing missing: this report makes a green one."""
    assert found_on(host) == CompatibilityReport()


def test_rules_of_others_are_counted(host: Host) -> None:
    """Those that see IPv4, those that see IPv6, a chain that drops by default; what takes packets
    away from connection tracking. Not the VEN's own table, nor bridges'."""
    host.run("nft", OTHERS)
    try:
        assert found_on(host) == CompatibilityReport(ipv4_rules=3, ipv6_rules=2, untracking_rules=1)
    finally:
        host.run("nft", "flush ruleset")


@pytest.mark.parametrize(("program", "field"), [("", "ipv4_rules"), ("6", "ipv6_rules")])
def test_so_are_those_of_the_older_iptables(host: Host, program: str, field: str) -> None:
    """They run on the same hooks, and nft does not show them."""
    legacy = f"ip{program}tables-legacy"
    host.run(legacy, "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    host.run(legacy, "-A", "INPUT", "-j", "DROP")
    try:
        assert getattr(found_on(host), field) == 2
    finally:
        host.run(legacy, "-F")
    assert getattr(found_on(host), field) == 0


def test_forwarding_ipsec_and_ipv6(network: Network, host: Host) -> None:
    """As the kernel of this network namespace has them."""
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    policy = ("src", "10.9.0.0/24", "dst", "10.8.0.0/24", "dir", "out")
    host.run("ip", "xfrm", "policy", "add", *policy, "tmpl", "proto", "esp", "mode", "transport")
    web = network["web"]
    web.run("ip", "route", "add", "10.99.0.0/24", "via", host.ipv4)
    host.run("ip", "route", "add", "10.99.0.0/24", "via", network["db"].ipv4)
    try:
        with host.listen(8080, family=6), web.connect(host, 8080, family=6):
            web.run("ping", "-c", "1", "-W", "0.1", "10.99.0.1", check=False)
            assert found_on(host) == CompatibilityReport(
                ipv4_forwarding=True, ipv4_forwarded_packets=1, ipv6_connections=1, ipsec=True
            )
    finally:
        web.run("ip", "route", "del", "10.99.0.0/24")
        host.run("ip", "route", "del", "10.99.0.0/24")
        host.run("ip", "xfrm", "policy", "flush")
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")


def test_counts_are_told_by_their_size() -> None:
    """So that a busy router is reported a dozen times in its life, and not every five minutes."""
    assert [about(n) for n in (0, 1, 9, 10, 12_345)] == [0, 1, 1, 10, 10_000]
    told = "Ip: Forwarding ForwDatagrams InUnknownProtos\nIp: 1 77 0\nIcmp: InMsgs\nIcmp: 5\n"
    assert forwarded(told) == 77
    assert forwarded("") == 0


def test_firewall_services_that_run(tmp_path: Path) -> None:
    """By what systemd keeps of the units that are active."""
    units = tmp_path / "run/systemd/units"
    units.mkdir(parents=True)
    for name in ("ufw", "firewalld", "ssh"):
        (units / f"invocation:{name}.service").symlink_to("6d3a")
    assert read_compatibility(tmp_path).firewall_services == ["firewalld", "ufw"]
