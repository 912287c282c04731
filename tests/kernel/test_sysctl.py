"""The host's connection tracking settings: set while the VEN enforces, then as they were."""

from tests.kernel.protected_host import HTTP, ProtectedHost, allow, policy
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
