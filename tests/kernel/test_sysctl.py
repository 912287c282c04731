"""The host's connection tracking settings: set while the VEN enforces, then as they were."""

from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, policy
from ven.edge.conntrack_room import make_conntrack_room
from ven_protocol.policy import PolicyDocument

SETTINGS = {
    "nf_conntrack_acct": "1",
    "nf_conntrack_timestamp": "1",
    "nf_conntrack_tcp_timeout_established": "28800",
}


def lets_in(*members: str) -> PolicyDocument:
    return policy("full", {"peers": sorted(members)}, allow(["peers"], HTTP))


def test_a_value_that_somebody_set_is_reverted_at_the_next_start(db: ProtectedHost) -> None:
    """By the VEN that starts again, with the policy that it loads; until then it stands."""
    db.apply(lets_in("10.0.0.1"))
    timeout = "net.netfilter.nf_conntrack_tcp_timeout_established"
    db.host.run("sysctl", "-qw", f"{timeout}=999")
    firewall = db.restarted()
    db.apply(lets_in("10.0.0.1"))
    assert db.sysctl("nf_conntrack_tcp_timeout_established") == "28800"
    with db.host.entered():
        firewall.remove()


def test_sysctls_are_put_back(db: ProtectedHost) -> None:
    """They are set with the first policy and return to what they were when the VEN goes, even if
    the agent that set them was killed; a value that somebody set since is left alone."""
    before = {name: db.sysctl(name) for name in SETTINGS}
    assert before["nf_conntrack_tcp_timeout_established"] != "28800"
    db.apply(lets_in("10.0.0.1"))
    assert {name: db.sysctl(name) for name in SETTINGS} == SETTINGS
    firewall = db.restarted()
    db.apply(lets_in("10.0.0.2"))
    with db.host.entered():
        firewall.remove()
    assert {name: db.sysctl(name) for name in SETTINGS} == before
    assert "inet ven" not in db.nft("list", "tables")

    db.apply(lets_in("10.0.0.1"))
    db.host.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_established=999")
    with db.host.entered():
        firewall.remove()
        firewall.remove()
    after = {name: db.sysctl(name) for name in SETTINGS}
    assert after == before | {"nf_conntrack_tcp_timeout_established": "999"}
    db.host.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_established=432000")


def test_they_are_set_while_the_host_is_idle(db: ProtectedHost) -> None:
    """As soon as the VEN is installed, before any policy and without a table."""
    before = {name: db.sysctl(name) for name in SETTINGS}
    firewall = db.restarted()
    for step in (firewall.prepare, lambda: db.apply(policy("idle", {})), firewall.prepare):
        with db.host.entered():
            step()
        assert {name: db.sysctl(name) for name in SETTINGS} == SETTINGS
        assert "inet ven" not in db.nft("list", "tables")
        db.host.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_established=432000")
    with db.host.entered():
        firewall.remove()
    assert {name: db.sysctl(name) for name in SETTINGS} == before


def test_what_is_the_whole_machines_is_left_alone(network: Network, db: ProtectedHost) -> None:
    """Time-outs are a namespace's own; the size of the table is not, and only the first namespace
    may set it: elsewhere nothing is tried again and again, or said."""
    other = network["other"]
    established = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"
    others, room = other.run("cat", established), db.sysctl("nf_conntrack_max")
    db.apply(lets_in("10.0.0.1"))
    with db.host.entered():
        assert make_conntrack_room() == ""
    assert db.sysctl("nf_conntrack_max") == room
    assert other.run("cat", established) == others != "28800\n"
    with db.host.entered():
        db.restarted().remove()
