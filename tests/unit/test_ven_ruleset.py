"""From a policy document to the text and the set contents of the table ``inet ven``."""

import re
from ipaddress import ip_address, ip_network
from itertools import pairwise, product

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pce.policy.traffic import Traffic
from pce.policy.traffic import service_matches as means
from ven.core.address_sets import BadPolicy
from ven.core.ruleset import (
    Endpoint,
    Held,
    Ruleset,
    changed_sets,
    compile_ruleset,
    member_changes,
    with_kernel_names,
)
from ven.core.services import service_matches
from ven.core.table import Volatile, chain_names, replacing, table_text
from ven_protocol.messages import EnforcementMode
from ven_protocol.policy import Firewall, PolicyDocument, Rule, RuleAction, Service

ANY = Service(proto=-1)
HTTPS = Service(proto=6, port=443)


def rule(
    id: str, action: RuleAction, peers: list[str], services: list[Service], direction: str = "in"
) -> Rule:
    return Rule(id=id, direction=direction, action=action, peers=peers, services=services)  # type: ignore[arg-type]


BY_RULES, BLOCKED_IPV6 = Firewall(), Firewall(ipv6="blocked_in_full")


def document(
    sets: dict[str, list[str]],
    rules: list[Rule],
    mode: EnforcementMode = "full",
    firewall: Firewall = BY_RULES,
) -> PolicyDocument:
    return PolicyDocument(
        mode=mode,
        visibility="flow_summary",
        sets=sets,
        rules=rules,
        firewall=firewall,
    )


def compiled(*arguments: object, **named: object) -> Ruleset:
    ruleset = compile_ruleset(document(*arguments, **named))  # type: ignore[arg-type]
    assert ruleset is not None
    return ruleset


def whole(ruleset: Ruleset, epoch: int = 1) -> str:
    """The text that brings a ruleset into a kernel of which nothing is known."""
    return replacing([], []) + table_text(
        ruleset.chains, Volatile(epoch=epoch), with_counting_sets=True
    )


def chain(ruleset: Ruleset, name: str) -> list[str]:
    """The rules of one chain."""
    found = re.search(rf"chain {name} \{{\n(.*?)\n    \}}", ruleset.chains, re.DOTALL)
    assert found
    return [line.strip() for line in found[1].splitlines()]


def contents(ruleset: Ruleset) -> dict[str, list[str]]:
    """Members as people write them, in order."""

    def written(member: bytes, ranges: bool) -> str:
        half = len(member) // 2
        parts = [member[:half], member[half:]] if ranges else [member]
        return "-".join(str(ip_address(part)) for part in parts)

    return {
        name: [written(member, found.ranges) for member in sorted(found.members)]
        for name, found in ruleset.sets.items()
    }


def test_idle_means_no_table() -> None:
    """The host's firewall is not ours in mode idle."""
    assert compile_ruleset(document({}, [], mode="idle")) is None


def test_members_are_sorted_into_hash_and_interval_sets_by_family() -> None:
    """Addresses go to hash sets; prefixes and ranges go to interval sets, joined where they touch;
    a range of one address is an address."""
    ruleset = compiled(
        {
            "s": [
                "10.0.0.1",
                "10.1.0.0/16",
                "10.2.0.0-10.2.0.9",
                "10.9.9.9/32",
                "fd00::1",
                "fd01::/16",
            ]
        },
        [rule("r", "allow", ["s"], [ANY])],
    )
    assert contents(ruleset) == {
        "a4_s": ["10.0.0.1", "10.9.9.9"],
        "r4_s": ["10.1.0.0-10.2.0.9"],
        "a6_s": ["fd00::1"],
        "r6_s": ["fd01::-fd01:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    }


def test_only_sets_that_rules_use_reach_the_kernel() -> None:
    """A set that nobody names, and a set without members, cost nothing."""
    ruleset = compiled({"used": [], "unused": ["10.0.0.1"]}, [rule("r", "allow", ["used"], [ANY])])
    assert ruleset.sets == {}
    assert chain(ruleset, "judge_in")[:-1] == []


def test_a_rule_without_peers_or_services_selects_nothing() -> None:
    """Empty is nobody, never everybody."""
    sets = {"s": ["10.0.0.1"]}
    for empty in (rule("r", "allow", [], [ANY]), rule("r", "allow", ["s"], [])):
        assert compiled(sets, [empty]).rules == 0


@pytest.mark.parametrize(
    "member", ["10.0.0.256", "web", "10.0.0.9-10.0.0.5", "10.0.0.1/24", "", "::1-10.0.0.1"]
)
def test_a_member_that_is_no_address_is_named(member: str) -> None:
    """The error says which set and which member."""
    with pytest.raises(BadPolicy, match="'web servers'") as caught:
        compiled({"web servers": [member]}, [rule("r", "allow", ["web servers"], [ANY])])
    assert repr(member) in str(caught.value)


def test_a_rule_that_names_a_missing_set_is_refused() -> None:
    """Absent is not empty: such a document is broken, and enforcing half of it would be too."""
    with pytest.raises(BadPolicy, match="'gone'"):
        compiled({}, [rule("r", "deny", ["gone"], [ANY])])


def test_names_from_the_policy_cannot_speak_to_nft() -> None:
    """Whatever set and rule ids hold, the text has no more statements than for plain ones."""
    evil = 'x"; } } flush ruleset; table inet y { chain z { #'
    plain = compiled({"s": ["10.0.0.1"]}, [rule("r", "allow", ["s"], [ANY])])
    ruleset = compiled({evil: ["10.0.0.1"]}, [rule(evil + "\n", "allow", [evil], [ANY])])
    text = whole(ruleset)
    assert "flush ruleset" not in text
    assert len(text.splitlines()) == len(whole(plain).splitlines())
    assert text.count('"') == whole(plain).count('"')


def test_tiers_come_strongest_first_and_the_default_last() -> None:
    """Override deny, allow, deny, then what the mode says."""
    rules = [rule(action, action, ["s"], [ANY]) for action in ("deny", "allow", "override_deny")]
    for mode, default in (
        ("full", "refused"),
        ("selective", "allowed"),
        ("visibility_only", "allowed"),
    ):
        lines = chain(compiled({"s": ["10.0.0.1"]}, rules, mode=mode), "judge_in")
        comments = [re.findall(r'comment "(\w+)"', line) for line in lines]
        assert comments == [["override_deny"], ["allow"], ["deny"], []]
        targets = [line.split("goto ")[1].split()[0] for line in lines]
        denied = "allowed" if mode == "visibility_only" else "refused"
        assert targets == [denied, "allowed", denied, default]


def test_ipv6_is_left_out_when_full_enforcement_blocks_it() -> None:
    """No rule speaks of IPv6, so the default drops it; other modes are not concerned."""
    sets = {"s": ["10.0.0.1", "fd00::1", "fd00::/8"]}
    rules = [rule("r", "allow", ["s"], [ANY])]
    assert set(compiled(sets, rules, firewall=BLOCKED_IPV6).sets) == {"a4_s"}
    selective = compiled(sets, rules, mode="selective", firewall=BLOCKED_IPV6)
    assert set(selective.sets) == {"a4_s", "a6_s", "r6_s"}


def test_lifelines_come_before_every_rule_of_the_policy() -> None:
    """A policy error cannot cut the VEN off from its PCE."""
    policy = document({"s": ["0.0.0.0/0"]}, [rule("r", "override_deny", ["s"], [ANY], "out")])
    lifelines = [
        Endpoint("10.0.0.200", 6, 443),
        Endpoint("10.0.0.201", 6, 443),
        Endpoint("fd00::9", 6, 443),
    ]
    ruleset = compile_ruleset(policy, lifelines)
    assert ruleset is not None
    first, second, override, _default = chain(ruleset, "judge_out")
    assert "@lifeline4_6_443" in first and "@lifeline6_6_443" in second
    assert 'comment "r"' in override
    assert contents(ruleset)["lifeline4_6_443"] == ["10.0.0.200", "10.0.0.201"]


def test_flow_off_reports_no_refused_packets() -> None:
    """Neither logged nor counted, still blocked."""
    policy = PolicyDocument(mode="full", visibility="flow_off", sets={}, rules=[])
    ruleset = compile_ruleset(policy)
    assert ruleset is not None
    assert chain(ruleset, "refused") == ["jump stamp", "goto blocked"]


def test_a_verdict_never_stands_behind_a_counting_set() -> None:
    """A full set ends its rule, and a drop behind it would not happen."""
    ruleset = compiled({}, [])
    for side in ("a", "b"):
        for line in chain(ruleset, f"drops_{side}"):
            assert "update @" in line
            assert not re.search(r"\b(drop|accept|goto|jump)\b", line)
    assert chain(ruleset, "refused")[-1] == "goto blocked"
    assert chain(ruleset, "blocked") == ["drop"]


# --- services


def matches(lines: list[str], traffic: Traffic) -> bool:
    """What the kernel does with the expressions that :func:`service_matches` writes."""
    for line in lines:
        if line == "":
            return True
        protocols = re.match(r"meta l4proto (?:\{ (.*?) \}|(\d+)) ", line)
        assert protocols
        if traffic.proto not in map(int, (protocols[1] or protocols[2]).split(", ")):
            continue
        ports = re.search(r"ct (reply proto-src|original proto-dst) (?:\{ (.*?) \}|(\S+)) $", line)
        if ports is None:
            return True
        if ports[1] == "reply proto-src":
            value = traffic.port or 0
        else:
            value = (traffic.icmp_type or 0) << 8 | (traffic.icmp_code or 0)
        for part in (ports[2] or ports[3]).split(", "):
            first, _, last = part.partition("-")
            if int(first) <= value <= int(last or first):
                return True
    return False


bytes_ = st.one_of(st.none(), st.integers(0, 255))
small_ports = st.sampled_from([0, 1, 79, 80, 81, 443, 65535])
protocols = st.sampled_from([1, 6, 17, 47, 132])
services = st.builds(
    Service,
    proto=st.one_of(st.just(-1), protocols),
    port=st.one_of(st.none(), small_ports),
    to_port=st.one_of(st.none(), st.just(65535)),
    icmp_type=st.one_of(st.none(), st.sampled_from([0, 3, 8])),
    icmp_code=st.one_of(st.none(), st.sampled_from([0, 1])),
)
connections = st.one_of(
    st.builds(Traffic, proto=st.sampled_from([6, 17, 132]), port=small_ports),
    st.builds(
        Traffic,
        proto=st.just(1),
        icmp_type=st.sampled_from([0, 3, 8]),
        icmp_code=st.sampled_from([0, 1]),
    ),
    st.builds(Traffic, proto=st.just(47)),
)


@given(st.lists(services, max_size=4), connections)
def test_services_match_what_the_policy_engine_says(found: list[Service], traffic: Traffic) -> None:
    """The kernel's expressions and the definition of a service agree."""
    assert matches(service_matches(found, 4), traffic) == any(means(s, traffic) for s in found)


# --- changes

addresses = st.integers(0, 40).map(lambda n: str(ip_address("10.0.0.0") + n))
prefixes = st.tuples(st.integers(0, 15), st.integers(28, 31)).map(
    lambda p: str(ip_network((f"10.0.0.{p[0] * 16}", p[1]), strict=False))
)
members = st.lists(st.one_of(addresses, prefixes), min_size=1, max_size=12, unique=True)


def covered(ruleset: Ruleset) -> set[int]:
    """Last byte of every address in the sets."""
    found: set[int] = set()
    for kept in ruleset.sets.values():
        for member in kept.members:
            found.update(range(member[3], member[-1] + 1))
    return found


@given(members)
def test_the_sets_hold_exactly_the_members(given_members: list[str]) -> None:
    """Every address of every member, no other, however they overlap; ranges never touch."""
    ruleset = compiled({"s": given_members}, [rule("r", "allow", ["s"], [ANY])])
    networks = [ip_network(member) for member in given_members]
    assert covered(ruleset) == {int(a) & 255 for network in networks for a in network}
    if "r4_s" in ruleset.sets:
        ranges = sorted(ruleset.sets["r4_s"].members)
        for before, after in pairwise(ranges):
            assert int.from_bytes(before[4:]) + 1 < int.from_bytes(after[:4])


HELD = [f"10.0.0.{n}" for n in range(0, 64, 4)] + ["2001:db8::1"]
odd_members = st.sampled_from(
    [
        *("10.0.0.4/32", "10.0.0.0/28", "10.0.0.8-10.0.0.8", "10.0.0.60", "10.0.0.9"),
        *("2001:db8::1", "2001:db8:0::1", "2001:db8::2"),
    ]
)


@given(
    st.lists(odd_members, max_size=3),
    st.lists(odd_members, max_size=3),
    st.sets(st.sampled_from(HELD), max_size=2),
    st.sampled_from([(BY_RULES, BY_RULES), (BLOCKED_IPV6, BY_RULES), (BY_RULES, BLOCKED_IPV6)]),
    st.sampled_from(["s", "t"]),
)
@example([], [], set(), (BLOCKED_IPV6, BY_RULES), "s")
@example([], ["10.0.0.9"], {"10.0.0.4"}, (BY_RULES, BY_RULES), "s")
@example(["10.0.0.4/32"], [], {"10.0.0.4"}, (BY_RULES, BY_RULES), "s")
def test_what_is_known_of_an_earlier_policy_changes_nothing(
    before: list[str],
    after: list[str],
    gone: set[str],
    firewalls: tuple[Firewall, Firewall],
    peer: str,
) -> None:
    """Compiled from what differs is compiled whole: however members overlap or are written, and
    whichever families and sets the earlier policy's rules were about."""
    earlier = document(
        {"s": sorted({*HELD, *before}), "t": []},
        [rule("r", "allow", [peer], [ANY])],
        firewall=firewalls[0],
    )
    later = document(
        {"s": sorted({*HELD, *after} - gone)},
        [rule("r", "allow", ["s"], [ANY])],
        firewall=firewalls[1],
    )
    known = compile_ruleset(earlier)
    assert known is not None
    assert compile_ruleset(later, before=(earlier, known)) == compile_ruleset(later)


@given(members, members)
def test_a_member_change_leads_to_the_desired_sets(before: list[str], after: list[str]) -> None:
    """Removing and adding what it says gives the desired members, and it touches no other."""
    rules = [rule("r", "allow", ["s"], [ANY])]
    held, desired = compiled({"s": before}, rules), compiled({"s": after}, rules)
    changes = member_changes(held, desired)
    if changes is None:
        assert held.sets.keys() != desired.sets.keys()
        return
    for name, new in desired.sets.items():
        removed, added = changes.get(name, (frozenset(), frozenset()))
        assert removed <= held.sets[name].members
        assert (held.sets[name].members - removed) | added == new.members
        assert not removed & added


PEERS = [f"10.0.0.{n}" for n in range(4)]
random_sets = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(PEERS), min_size=1, unique=True) for name in ("s", "t")}
)
random_rules = st.lists(
    st.tuples(st.sampled_from(["override_deny", "allow", "deny"]), st.sampled_from([["s"], ["t"]])),
    min_size=1,
    max_size=3,
)


def passes(lookups: list[tuple[str, bool]], default: bool) -> bool:
    """What a host does, given (action, was the peer found) in the order of the tiers."""
    for action, found in lookups:
        if found:
            return action == "allow"
    return default


@given(random_sets, random_sets, random_rules, st.sampled_from(["selective", "full"]))
def test_a_packet_under_way_sees_no_third_policy(
    before: dict[str, list[str]],
    after: dict[str, list[str]],
    actions: list[tuple[RuleAction, list[str]]],
    mode: EnforcementMode,
) -> None:
    """When sets are changed in place, a packet that finds some of them old and some new, in any
    order, never passes unless the old or the new policy lets it pass."""
    order = ["override_deny", "allow", "deny"]
    actions = sorted(actions, key=lambda pair: order.index(pair[0]))
    rules = [rule(str(n), action, peers, [ANY]) for n, (action, peers) in enumerate(actions)]
    old, new = compiled(before, rules, mode=mode), compiled(after, rules, mode=mode)
    if member_changes(old, new) is None:
        return
    for peer in PEERS:
        stages = [
            [(action, peer in sets[s[0]]) for action, s in actions] for sets in (before, after)
        ]
        allowed = {passes(stage, mode == "selective") for stage in stages}
        for seen in product((0, 1), repeat=len(actions)):
            mixed = [stages[stage][place] for place, stage in enumerate(seen)]
            if passes(mixed, mode == "selective"):
                assert True in allowed, (peer, seen)


def test_ordinary_changes_are_made_in_place() -> None:
    """Peers that come and go in sets that only allow rules use, however many; additions to, or
    removals from, sets that only deny."""
    sets = {"s": ["10.0.0.1", "10.0.0.2"], "t": ["10.0.0.3", "10.0.0.4"]}
    moved = {"s": ["10.0.0.1", "10.0.0.3"], "t": ["10.0.0.2", "10.0.0.4"]}
    grown = {"s": [*sets["s"], "10.0.0.9"], "t": sets["t"]}
    allows = [rule("s", "allow", ["s"], [ANY]), rule("t", "allow", ["t"], [HTTPS])]
    denies = [rule("s", "deny", ["s"], [ANY]), rule("t", "deny", ["t"], [HTTPS])]
    for rules, after, in_place in (
        (allows, moved, True),
        (allows, grown, True),
        (denies, grown, True),
        (denies, moved, False),
        ([allows[0], denies[1]], grown, True),
        ([allows[0], denies[1]], moved, False),
    ):
        changes = member_changes(compiled(sets, rules), compiled(after, rules))
        assert (changes is not None) == in_place
        seen = compiled(sets, rules, mode="visibility_only")
        assert member_changes(seen, compiled(after, rules, mode="visibility_only")) is not None


def test_a_changed_rule_is_more_than_a_member_change() -> None:
    """Rules go through a whole transaction."""
    sets = {"s": ["10.0.0.1"]}
    held = compiled(sets, [rule("r", "allow", ["s"], [ANY])])
    assert member_changes(held, compiled(sets, [rule("r", "allow", ["s"], [HTTPS])])) is None


def test_only_sets_that_differ_are_made_anew() -> None:
    """Unchanged ones stay in the kernel with their members, whatever happens to the rules."""
    rules = [rule("r", "allow", ["same", "other"], [ANY]), rule("x", "allow", ["gone"], [ANY])]
    sets = {"same": ["10.0.0.1"], "other": ["10.0.0.2"], "gone": ["10.0.0.3"]}
    first, second = compiled(sets, rules), compiled(sets | {"other": ["10.0.0.4"]}, rules[:1])
    held = Held(first, {name: f"{name}.1" for name in first.sets})
    assert changed_sets(None, first).keys() == {"a4_same", "a4_other", "a4_gone"}
    assert changed_sets(held, second).keys() == {"a4_other"}


def test_rules_name_sets_as_the_kernel_does() -> None:
    """Every reference to a set of the policy, and no other word."""
    ruleset = compiled({"s": ["10.0.0.1"]}, [rule("a4_s", "allow", ["s"], [ANY])])
    text = with_kernel_names(ruleset.chains, {"a4_s": "a4_s.7"})
    assert text.replace("@a4_s.7 ", "@a4_s ") == ruleset.chains
    assert text.count("@a4_s.7 ") == 1


def test_rules_are_replaced_in_one_transaction() -> None:
    """What goes and what comes are in one text, and the table is never without rules in between."""
    text = replacing(["theirs"], ["a4_old.1"]) + table_text(
        "", Volatile(epoch=2), with_counting_sets=False
    )
    lines = text.splitlines()
    assert lines[:4] == [
        "add table inet ven",
        "flush table inet ven",
        "delete chain inet ven theirs",
        "delete set inet ven a4_old.1",
    ]
    assert "drops4_a" not in text
    assert "drops4_a" in table_text("", Volatile(epoch=2), with_counting_sets=True)


def test_the_chains_of_a_table_are_known_by_name() -> None:
    """By these names what others put into the table is told apart, and so is what a policy with
    stateless rules left there."""
    plain, stateless = (
        chain_names(whole(compiled({"s": ["10.0.0.1"]}, [made])))
        for made in (rule("r", "allow", ["s"], [HTTPS]), stateless_rule("r", ["s"], [HTTPS]))
    )
    assert {"in", "out", "judge_in", "judge_out", "fresh", "stamp", "count"} <= plain
    assert stateless - plain == {"raw_in", "raw_out", "asked_in", "answered_in"}


BEGINS = "tcp flags & (fin | syn | rst | ack) == syn return"


def stateless_rule(
    id: str, peers: list[str], services: list[Service], direction: str = "in"
) -> Rule:
    return msgspec.structs.replace(rule(id, "allow", peers, services, direction), stateless=True)


def test_a_stateless_rule_matches_packets_and_the_answers_from_the_services_port() -> None:
    """The peer is the source of what arrives and the target of what leaves, of either direction;
    nothing is left of the rule among those that judge connections."""
    sets = {"s": ["10.0.0.1"]}
    inbound = compiled(sets, [stateless_rule("r", ["s"], [HTTPS])])
    allow = 'notrack accept comment "r"'
    assert chain(inbound, "asked_in") == [
        f"ip saddr @a4_s meta l4proto 6 th dport {{ 443 }} {allow}"
    ]
    assert chain(inbound, "answered_in") == [
        BEGINS,
        f"ip daddr @a4_s meta l4proto 6 th sport {{ 443 }} {allow}",
    ]
    assert chain(inbound, "raw_in")[1:] == ["iif lo accept", "jump asked_in"]
    assert chain(inbound, "raw_out")[1:] == ["oif lo accept", "jump answered_in"]
    assert len(chain(inbound, "judge_in")) == 1
    assert (inbound.rules, inbound.uses) == (3, {"a4_s": {("in", "allow")}})
    outbound = compiled(sets, [stateless_rule("r", ["s"], [HTTPS], "out")])
    assert chain(outbound, "asked_out")[0].startswith("ip daddr @a4_s meta l4proto 6 th dport")
    assert chain(outbound, "answered_out")[1].startswith("ip saddr @a4_s meta l4proto 6 th sport")


def test_an_override_deny_stands_above_a_stateless_rule() -> None:
    """What it names stays tracked, so that it is judged; of its own direction only."""
    sets = {"s": ["10.0.0.1"], "t": ["10.0.0.0/8"]}
    rules = [
        rule("d", "override_deny", ["t"], [HTTPS]),
        rule("o", "override_deny", ["t"], [ANY], "out"),
        stateless_rule("r", ["s"], [HTTPS]),
    ]
    ruleset = compiled(sets, rules)
    assert chain(ruleset, "asked_in") == [
        'ip saddr @r4_t meta l4proto 6 th dport { 443 } return comment "d"',
        'ip saddr @a4_s meta l4proto 6 th dport { 443 } notrack accept comment "r"',
    ]
    assert "@r4_t" not in "".join(chain(compiled(sets, rules[1:]), "answered_in"))


def test_invalid_packets_are_compared_with_deny_rules_where_others_pass() -> None:
    """Of either direction, as question and as answer; only in mode selective is there a need."""
    rules = [
        rule("d", "deny", ["s"], [HTTPS]),
        rule("o", "override_deny", ["s"], [HTTPS], "out"),
        rule("a", "allow", ["s"], [ANY]),
    ]
    sets = {"s": ["10.0.0.1"]}
    ruleset = compiled(sets, rules, mode="selective")
    peer = "addr @a4_s meta l4proto 6 th"
    assert chain(ruleset, "stray_in") == [
        f'ip s{peer} dport {{ 443 }} drop comment "d"',
        f'ip s{peer} sport {{ 443 }} drop comment "o"',
    ]
    assert chain(ruleset, "stray_out") == [
        f'ip d{peer} sport {{ 443 }} drop comment "d"',
        f'ip d{peer} dport {{ 443 }} drop comment "o"',
    ]
    for mode in ("visibility_only", "full"):
        assert "stray_" not in compiled(sets, rules, mode=mode).chains
    assert "stray_" not in compiled(sets, rules[2:], mode="selective").chains


@pytest.mark.parametrize("service", [ANY, Service(proto=6), Service(proto=17), Service(proto=1)])
def test_where_answers_look_like_questions_a_stateless_rule_has_connections(
    service: Service,
) -> None:
    """Its answers would let the peers in on everything."""
    sets = {"s": ["10.0.0.1"]}
    stateful = compiled(sets, [rule("r", "allow", ["s"], [HTTPS, service])])
    assert compiled(sets, [stateless_rule("r", ["s"], [HTTPS, service])]) == stateful


@pytest.mark.parametrize(
    ("service", "asked", "answered"),
    [
        (Service(proto=1, icmp_type=8), ["2048-2303"], ["0-255"]),
        (Service(proto=1, icmp_type=8, icmp_code=0), ["{ 2048 }"], ["{ 0 }"]),
        (Service(proto=1, icmp_type=3), ["768-1023"], []),
    ],
)
def test_an_icmp_answer_has_another_type(
    service: Service, asked: list[str], answered: list[str]
) -> None:
    """An echo request is answered by an echo reply; an error by nothing."""
    ruleset = compiled({"s": ["10.0.0.1"]}, [stateless_rule("r", ["s"], [service])])
    for name, ranges in (("asked_in", asked), ("answered_in", answered)):
        side = "saddr" if name == "asked_in" else "daddr"
        start = f"ip {side} @a4_s meta l4proto 1 @th,0,16 "
        found = [line for line in chain(ruleset, name) if line != BEGINS]
        assert found == [f'{start}{text} notrack accept comment "r"' for text in ranges]


@pytest.mark.parametrize("mode", ["visibility_only", "selective", "full"])
def test_ipv6_can_be_allowed_whatever_the_rules_say(mode: EnforcementMode) -> None:
    """Before every rule, and also what connection tracking does not understand."""
    deny = rule("d", "override_deny", ["s"], [ANY])
    ruleset = compiled({"s": ["::/0"]}, [deny], mode, Firewall(ipv6="allowed"))
    for name in ("judge_in", "judge_out"):
        assert chain(ruleset, name)[0].startswith("meta nfproto ipv6 ct mark set")
        assert chain(ruleset, name)[0].endswith("goto allowed")
    assert ruleset.sets == {}
    assert "meta nfproto ipv6 ct state invalid,untracked accept" in chain(ruleset, "in")


def test_addresses_of_names_are_members_of_a_sibling_set() -> None:
    """It is there while it is empty, so that what is learned changes members alone; a set that the
    document gives no names never gets any."""
    policy = msgspec.structs.replace(
        document({"s": ["10.0.0.1"], "t": ["10.0.0.2"]}, [rule("r", "allow", ["s", "t"], [ANY])]),
        names={"s": ["www.example.com"]},
    )
    address, address6 = ip_address("192.0.2.1").packed, ip_address("2001:db8::1").packed
    before = compile_ruleset(policy, resolvers=["10.0.0.53"])
    learned = {"s": [address, address6], "t": [address]}
    after = compile_ruleset(policy, resolvers=["10.0.0.53"], learned=learned)
    assert before is not None
    assert after is not None
    assert set(before.sets) == {"a4_s", "a4_t", "n4_s", "n6_s"}
    assert contents(after)["a4_s"] == ["10.0.0.1"]
    assert member_changes(before, after) == {
        "n4_s": (frozenset(), {address}),
        "n6_s": (frozenset(), {address6}),
    }


def test_answers_of_name_servers_are_logged_only_while_there_are_names() -> None:
    """And only those of this host's own name servers, to questions of this host."""
    plain = document({"s": []}, [rule("r", "allow", ["s"], [ANY])])
    named = msgspec.structs.replace(plain, names={"s": ["www.example.com"]})
    logged = [
        [line for line in chain(made, "in") if "log group" in line]
        for made in (
            compile_ruleset(given, resolvers=["10.0.0.53", "fd00::53"]) for given in (plain, named)
        )
        if made is not None
    ]
    assert logged[0] == []
    assert [line.split(" limit")[0] for line in logged[1]] == [
        f"{ip} saddr {{ {server} }} meta l4proto {{ tcp, udp }} th sport 53 ct direction reply"
        for ip, server in (("ip", "10.0.0.53"), ("ip6", "fd00::53"))
    ]


def test_the_epoch_is_named_in_the_volatile_chains_only() -> None:
    """A new epoch replaces two small chains, however many rules there are."""
    first = whole(compiled({}, []), 0x12)
    second = whole(compiled({}, []), 0x34)
    differing = [a for a, b in zip(first.splitlines(), second.splitlines(), strict=True) if a != b]
    assert len(differing) == 2
