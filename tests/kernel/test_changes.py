"""How policies get into the kernel: small changes, refusals, other hands, and the way out."""

import json
import random
import re
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.kernel.namespaces import Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, broken, policy
from ven.core.address_sets import AddressSet
from ven.core.kernel import KernelRefused
from ven.core.mark import epoch_of
from ven.core.ruleset import Ruleset, compile_ruleset
from ven.edge import nftables
from ven.edge.conntrack import live_marks
from ven.edge.nftables import Firewall
from ven_protocol.policy import PolicyDocument


def lets_in(*members: str) -> PolicyDocument:
    return policy("full", {"peers": sorted(members)}, allow(["peers"], HTTP))


def compiled(document: PolicyDocument) -> Ruleset:
    ruleset = compile_ruleset(document)
    assert ruleset is not None
    return ruleset


def in_kernel(db: ProtectedHost, name: str) -> list[str]:
    """The elements of a set as nft tells them."""
    (found,) = (
        item["set"]
        for item in json.loads(db.nft("-j", "list", "table", "inet", "ven"))["nftables"]
        if "set" in item and item["set"]["name"].partition(".")[0] == name
    )
    return [str(element) for element in found.get("elem", [])]


def test_one_address_more_or_less_is_told_alone(
    network: Network, db: ProtectedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No nft program is started for it, and the set holds what it should."""
    db.apply(lets_in("10.0.0.1", "10.0.0.2", "10.1.0.0/16"))
    monkeypatch.setattr(
        Firewall, "_run_nft", lambda *_: pytest.fail("one element needs no program")
    )
    db.apply(lets_in("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.0/16"))
    assert in_kernel(db, "a4_peers") == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    db.apply(lets_in("10.0.0.3", "10.1.0.0/16", "10.3.0.0-10.3.0.6"))
    assert in_kernel(db, "a4_peers") == ["10.0.0.3"]
    assert len(in_kernel(db, "r4_peers")) == 2


def kernel_name(db: ProtectedHost, name: str) -> str:
    (found,) = re.findall(rf"set ({name}\.\d+) ", db.nft("list", "table", "inet", "ven"))
    return str(found)


@pytest.mark.timeout(300)
def test_many_random_changes_leave_exactly_the_desired_sets(db: ProtectedHost) -> None:
    """Prefixes and ranges that overlap, touch, split and reach both ends of the address space:
    after each change the kernel's set is the one that nft makes of the desired list."""
    dice = random.Random("ranges")
    pool = [
        f"10.0.{dice.randrange(4)}.{dice.randrange(0, 256, 2**bits)}/{32 - bits}"
        for bits in (1, 2, 3, 4, 5)
        for _ in range(6)
    ]
    pool += ["0.0.0.0/8", "255.0.0.0/8", "0.0.0.0/0", "10.0.1.250-10.0.2.5", "10.0.0.7-10.0.0.8"]
    for _ in range(40):
        desired = compiled(lets_in(*dice.sample(pool, dice.randint(1, 12))))
        db.load(desired)
        assert db.firewall.verify()
        elements = ", ".join(
            f"{ip_address(member[:4])}-{ip_address(member[4:])}"
            for member in desired.sets["r4_peers"].members
        )
        db.nft(
            "add table inet fresh;"
            " add set inet fresh r4_peers { type ipv4_addr; flags interval; };"
            f" add element inet fresh r4_peers {{ {elements} }}"
        )
        wanted = db.nft("list", "set", "inet", "fresh", "r4_peers")
        name = kernel_name(db, "r4_peers")
        found = db.nft("list", "set", "inet", "ven", name)
        assert found.replace(name, "r4_peers").replace("inet ven", "inet fresh") == wanted
        db.nft("delete", "table", "inet", "fresh")


def test_large_sets_of_every_kind(db: ProtectedHost) -> None:
    """Thousands of members arrive whole, and go in part, in batches of several messages."""
    members = [f"10.{n >> 8}.{n & 255}.1" for n in range(6000)]
    members += [f"fd00::{n:x}:1" for n in range(3000)]
    members += [f"172.16.{n >> 4 & 255}.{(n & 15) * 16}/30" for n in range(2000)]
    members += [f"fd01:{n:x}::/64" for n in range(2000)]
    db.apply(lets_in(*members))
    db.apply(lets_in(*members[::2]))
    assert db.firewall.verify()
    db.apply(lets_in(*members))
    assert db.firewall.verify()
    assert len(in_kernel(db, "a4_peers")) == 6000


def test_a_failing_nft_leaves_the_old_policy(network: Network, db: ProtectedHost) -> None:
    """The error names the line, nothing of the refused policy is in the kernel, and small changes
    go on from what is."""
    server = db.host.listen(80)
    web = network["web"]
    db.apply(lets_in(web.ipv4))
    before = db.nft("list", "table", "inet", "ven")
    with pytest.raises(KernelRefused, match=r"nft, line \d+: .*judge_in"):
        db.load(broken(compiled(policy("full", {}))))
    assert db.nft("list", "table", "inet", "ven") == before
    assert web.reaches(db.host, 80)
    assert db.firewall.verify()
    db.apply(lets_in(web.ipv4, "10.0.0.9"))
    assert web.reaches(db.host, 80)
    server.close()


def test_a_refused_first_policy_leaves_no_table(db: ProtectedHost) -> None:
    """All or nothing holds for the first time too."""
    with pytest.raises(KernelRefused):
        db.load(broken(compiled(lets_in("10.0.0.1"))))
    assert "inet ven" not in db.nft("list", "tables")
    assert not db.firewall.verify()


def test_a_missing_nft_program_is_named(db: ProtectedHost, tmp_path: Path) -> None:
    """The error says what to install."""
    with db.host.entered():
        firewall = Firewall(tmp_path, nft_program="nft-that-is-not-there")
        with pytest.raises(KernelRefused, match="install the package nftables"):
            firewall.apply(compiled(lets_in("10.0.0.1")))
        firewall.close()


TAMPERING = {
    "flush the ruleset": "flush ruleset",
    "flush a chain": "flush chain inet ven judge_in",
    "add a rule": "insert rule inet ven in accept",
    "another default": "chain inet ven in { policy accept; }",
    "add an element": "add element inet ven a4_peers.1 { 10.66.0.1 }",
    "delete an element": "delete element inet ven a4_peers.1 { 10.0.0.1 }",
    "empty a set": "flush set inet ven a4_peers.1",
}


@pytest.mark.parametrize("command", TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering_is_seen_and_undone(db: ProtectedHost, command: str) -> None:
    """Whatever is done to the table, verify says so, and the same policy again puts it back."""
    document = lets_in("10.0.0.1", "10.0.0.2")
    db.apply(document)
    before = db.nft("list", "table", "inet", "ven")
    assert db.firewall.verify()
    db.nft(command)
    assert not db.firewall.verify()
    db.apply(document)
    assert db.firewall.verify()
    after = db.nft("list", "table", "inet", "ven")
    assert without_epoch(after) == without_epoch(before)


def without_epoch(listing: str) -> str:
    """The listing without the two rules that name the epoch and the numbers of sets."""
    listing = re.sub(r"chain (fresh|stamp) \{.*?\}", "", listing, flags=re.DOTALL)
    return re.sub(r"([ar]\d_\w+)\.\d+", r"\1", listing)


def test_small_changes_survive_other_hands(db: ProtectedHost) -> None:
    """Somebody commits to a table of his own between two changes of ours, then to ours: the next
    change takes effect both times, and the second time everything is put back."""
    db.apply(lets_in("10.0.0.1"))
    db.nft("add table inet somebody")
    assert db.firewall.verify()
    db.nft("delete table inet somebody")
    db.apply(lets_in("10.0.0.1", "10.0.0.2"))
    assert in_kernel(db, "a4_peers") == ["10.0.0.1", "10.0.0.2"]
    db.nft("flush chain inet ven judge_in")
    db.apply(lets_in("10.0.0.1", "10.0.0.3"))
    assert db.firewall.verify()
    assert in_kernel(db, "a4_peers") == ["10.0.0.1", "10.0.0.3"]
    assert "@a4_peers." in db.nft("list", "chain", "inet", "ven", "judge_in")


def test_tampered_members_are_seen_after_our_own_change(db: ProtectedHost) -> None:
    """A change of ours right after theirs does not hide it."""
    db.apply(lets_in("10.0.0.1"))
    db.nft("add element inet ven a4_peers.1 { 10.66.0.1 }")
    db.apply(lets_in("10.0.0.1", "10.0.0.2"))
    assert not db.firewall.verify()
    db.apply(lets_in("10.0.0.1", "10.0.0.2"))
    assert db.firewall.verify()
    assert in_kernel(db, "a4_peers") == ["10.0.0.1", "10.0.0.2"]


def test_the_same_policy_again_changes_nothing(db: ProtectedHost) -> None:
    """Not even the generation."""
    db.apply(lets_in("10.0.0.1"))
    before = db.nft("-a", "list", "table", "inet", "ven")
    db.apply(lets_in("10.0.0.1"))
    assert db.nft("-a", "list", "table", "inet", "ven") == before


def test_only_our_table_is_touched(db: ProtectedHost) -> None:
    """Another firewall's table is the same before, during and after ours."""
    db.nft(
        "table inet theirs { chain c { type filter hook input priority 0; tcp dport 22 accept; }; }"
    )
    theirs = db.nft("list", "table", "inet", "theirs")
    for document in (
        lets_in("10.0.0.1"),
        lets_in("10.0.0.2"),
        policy("full", {}),
        policy("idle", {}),
    ):
        db.apply(document)
        assert db.nft("list", "table", "inet", "theirs") == theirs


def test_a_new_agent_takes_an_epoch_that_no_connection_has(
    network: Network, db: ProtectedHost
) -> None:
    """Otherwise a connection would keep the verdict of another policy."""
    server = db.host.listen(80)
    db.apply(lets_in(network["web"].ipv4))
    client = network["web"].connect(db.host, 80)
    with db.host.entered():
        (old,) = {epoch_of(mark) for mark in live_marks()}
    db.restarted()
    db.apply(policy("full", {}))
    fresh = db.nft("list", "chain", "inet", "ven", "fresh")
    assert f"{old << 20:#010x}" not in fresh
    client.close()
    server.close()


def test_epochs_go_round(
    network: Network, db: ProtectedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When all were used, those without a connection are used again."""
    server = db.host.listen(80)
    web = network["web"]
    monkeypatch.setattr(
        nftables, "free_epochs", lambda live: (e for e in range(1, 4) if e not in live)
    )
    db.apply(lets_in(web.ipv4))
    client = web.connect(db.host, 80)
    with db.host.entered():
        (old,) = {epoch_of(mark) for mark in live_marks()}
    for number in range(10):
        db.apply(lets_in(web.ipv4, f"10.0.0.{number}"))
        assert f"{old << 20:#010x}" not in db.nft("list", "chain", "inet", "ven", "fresh")
    client.close()
    server.close()


def test_the_firewall_needs_no_program_to_go(
    db: ProtectedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpairing works on a host from which nft was removed."""
    db.apply(lets_in("10.0.0.1"))

    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError

    with monkeypatch.context() as patched, db.host.entered():
        patched.setattr(subprocess, "run", gone)
        db.firewall.remove()
    assert "inet ven" not in db.nft("list", "tables")


def test_sets_come_and_go_with_their_members(db: ProtectedHost) -> None:
    """A set that becomes empty leaves the kernel, and comes back filled."""
    rules = allow(["peers"], HTTP)
    for members in (["10.0.0.1"], [], ["fd00::1", "10.1.0.0/16"], ["10.0.0.1", "10.0.0.0/8"]):
        ruleset = compiled(policy("full", {"peers": members}, rules))
        db.load(ruleset)
        assert db.firewall.verify()
        listed = db.nft("list", "table", "inet", "ven")
        for name in ("a4_peers", "a6_peers", "r4_peers", "r6_peers"):
            assert (f"set {name}." in listed) == isinstance(ruleset.sets.get(name), AddressSet)
