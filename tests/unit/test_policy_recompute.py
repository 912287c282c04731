"""The meaning of policy, one statement at a time, read off the documents."""

import pytest

from pce.policy.estate import (
    Actor,
    Coexistence,
    Estate,
    FirewallSettings,
    IpList,
    IpRange,
    LabelGroup,
    Rule,
    RuleSet,
    Workload,
)
from pce.policy.recompute import PolicyProblem, recompute
from ven_protocol.policy import Service

WEB, DB, PROD, DEV = "web", "db", "prod", "dev"
LABEL_KEYS = {WEB: "role", DB: "role", "cache": "role", PROD: "env", DEV: "env"}
HTTP = Service(proto=6, port=80)


def label(name, *, exclusion=False):
    return Actor("label", name, exclusion)


def group(name, *, exclusion=False):
    return Actor("label_group", name, exclusion)


AMS = Actor("ams")


def host(name, address, *labels, **facts):
    facts.setdefault("enforcement_mode", "full")
    return Workload(name, {LABEL_KEYS[one]: one for one in labels}, (address,), **facts)


HOSTS = (
    host("web-prod", "10.0.0.1", WEB, PROD),
    host("web-dev", "10.0.0.2", WEB, DEV),
    host("db-prod", "10.0.0.3", DB, PROD),
    host("db-dev", "10.0.0.4", DB, DEV),
    host("bare", "10.0.0.5"),
)
NAMES = {workload.addresses[0]: workload.id for workload in HOSTS}


def rule(providers, consumers, number=1, **facts):
    facts.setdefault("services", (HTTP,))
    facts.setdefault("action", "allow")
    return Rule(
        id=f"rule_sets/1/sec_rules/{number}",
        providers=tuple(providers),
        consumers=tuple(consumers),
        **facts,
    )


def estate(*rules, scopes=((),), workloads=HOSTS, **facts):
    facts.setdefault("rule_sets", (RuleSet("1", tuple(rules), tuple(scopes)),))
    return Estate(workloads=workloads, label_keys=LABEL_KEYS, **facts)


def peers(document, direction):
    """Names of the hosts, and other members, that some rule of this direction names."""
    return {
        NAMES.get(member, member)
        for line in document.rules
        if line.direction == direction
        for set_id in line.peers
        for member in document.sets[set_id]
    }


def arrows(facts):
    """Every (consumer, provider) pair, checked to be the same from both ends."""
    documents = recompute(facts).documents
    outward = {(n, p) for n, d in documents.items() for p in peers(d, "out")}
    inward = {(p, n) for n, d in documents.items() for p in peers(d, "in")}
    assert outward == inward
    return outward


def test_labels_of_one_key_are_ored_and_of_different_keys_anded():
    """web or db, and prod."""
    side = (label(WEB), label(DB), label(PROD))
    assert {p for _, p in arrows(estate(rule(side, [label(DEV), label(WEB)])))} == {
        "web-prod",
        "db-prod",
    }
    assert {c for c, _ in arrows(estate(rule(side, [label(DEV), label(WEB)])))} == {"web-dev"}


def test_exclusion_takes_out_and_alone_means_all_but():
    """All but prod, which a workload without that label key belongs to, and ams with an
    exclusion is the same selector."""
    alone = estate(rule([label(PROD, exclusion=True)], [label(DB), label(PROD)]))
    assert {p for _, p in arrows(alone)} == {"web-dev", "db-dev", "bare"}
    with_ams = estate(rule([AMS, label(PROD, exclusion=True)], [label(DB), label(PROD)]))
    assert recompute(with_ams).etags() == recompute(alone).etags()


def test_all_workloads_are_managed_and_unmanaged_ones():
    """ams selects everybody, labelled or not."""
    hosts = (*HOSTS, host("printer", "10.0.0.6", managed=False))
    documents = recompute(estate(rule([AMS], [label(WEB)]), workloads=hosts)).documents
    assert "printer" not in documents
    assert peers(documents["web-prod"], "out") == {*NAMES.values(), "10.0.0.6"}


def test_label_groups_nest_and_rings_end():
    """A group is its labels and those of its sub groups, once each."""
    groups = {
        "outer": LabelGroup("role", (), ("inner",)),
        "inner": LabelGroup("role", (WEB,), ("outer",)),
    }
    by_group = estate(rule([group("outer")], [label(DB)]), label_groups=groups)
    by_label = estate(rule([label(WEB)], [label(DB)]))
    assert recompute(by_group).etags() == recompute(by_label).etags()


def test_an_empty_label_group_selects_nobody():
    """Not everybody."""
    empty = estate(rule([group("empty")], [AMS]), label_groups={"empty": LabelGroup("role")})
    assert arrows(empty) == set()


def test_each_scope_joins_only_its_own_two_sides():
    """Intra-scope: prod with prod and dev with dev, never across."""
    two = estate(rule([label(DB)], [label(WEB)]), scopes=((label(PROD),), (label(DEV),)))
    assert arrows(two) == {("web-prod", "db-prod"), ("web-dev", "db-dev")}


def test_extra_scope_leaves_consumers_free():
    """unscoped_consumers: the scope restricts the providers alone."""
    extra = estate(
        rule([label(DB)], [label(WEB)], unscoped_consumers=True), scopes=((label(PROD),),)
    )
    assert arrows(extra) == {("web-prod", "db-prod"), ("web-dev", "db-prod")}


def test_entries_of_a_scope_are_anded_and_may_exclude():
    """web and not dev; the empty scope is everybody."""
    scoped = estate(rule([AMS], [AMS]), scopes=((label(WEB), label(DEV, exclusion=True)),))
    assert arrows(scoped) == {("web-prod", "web-prod")}
    assert len(arrows(estate(rule([AMS], [AMS])))) == len(HOSTS) ** 2


def test_a_label_outside_the_scope_selects_nobody():
    """A rule cannot reach out of its scope by naming another label of the scope's key."""
    assert arrows(estate(rule([label(DEV)], [label(WEB)]), scopes=((label(PROD),),))) == set()


def test_a_named_workload_counts_inside_the_scope():
    """By id, beside labels; a scope holds it like any other workload."""
    named = rule(
        [Actor("workload", "bare"), label(DB), label(DEV)], [Actor("workload", "web-prod")]
    )
    assert arrows(estate(named)) == {("web-prod", "bare"), ("web-prod", "db-dev")}
    assert arrows(estate(named, scopes=((label(PROD),),))) == set()


def test_ip_lists_are_peers_and_no_hosts():
    """Scope or not, the list's addresses with exclusions taken out, IPv4 and IPv6; being inside a
    list gives a workload no rules."""
    lists = {
        "corp": IpList(
            (
                IpRange("10.0.0.0/24"),
                IpRange("10.0.0.0", "10.0.0.127", exclusion=True),
                IpRange("2001:db8::1", "2001:db8::2"),
            )
        )
    }
    facts = estate(
        rule([label(WEB)], [Actor("ip_list", "corp")]), scopes=((label(PROD),),), ip_lists=lists
    )
    documents = recompute(facts).documents
    assert peers(documents["web-prod"], "in") == {"10.0.0.128/25", "2001:db8::1-2001:db8::2"}
    assert not any(d.rules for name, d in documents.items() if name != "web-prod")


def test_names_of_an_ip_list_travel_with_its_set():
    """FQDNs are for each VEN to resolve: the set has no members here, and its names go along."""
    facts = estate(
        rule([label(WEB)], [Actor("ip_list", "cdn")]),
        ip_lists={"cdn": IpList(fqdns=("*.example.com",))},
    )
    result = recompute(facts)
    document = result.documents["web-prod"]
    assert peers(document, "in") == set()
    assert list(document.names.values()) == [["*.example.com"]]
    assert document.names.keys() == document.sets.keys()
    assert result.problems == ()


def test_services_by_reference_and_inline_are_canonical():
    """Sorted, without repeats, one spelling for one meaning; unsound ones reported and dropped."""
    services = {"many": (Service(proto=17, port=53), Service(proto=6, port=80, to_port=80))}
    inline = (
        HTTP,
        Service(proto=6, port=0, to_port=65535),
        Service(proto=1, icmp_type=8),
        Service(proto=6, port=90, to_port=80),
    )
    result = recompute(estate(rule([AMS], [AMS], services=("many", *inline)), services=services))
    line = result.documents["bare"].rules[0]
    assert line.services == [
        Service(proto=1, icmp_type=8),
        Service(proto=6),
        Service(proto=6, port=80),
        Service(proto=17, port=53),
    ]
    assert [problem.where for problem in result.problems] == ["rule_sets/1/sec_rules/1"]


@pytest.mark.parametrize(
    "service",
    [
        Service(proto=6, to_port=80),
        Service(proto=-1, port=80),
        Service(proto=47, port=80),
        Service(proto=6, icmp_type=8),
        Service(proto=1, port=8),
        Service(proto=1, icmp_code=0),
        Service(proto=6, port=65536),
        Service(proto=256),
    ],
)
def test_a_service_that_no_filter_can_match_selects_no_traffic(service):
    """It is not widened to what can be matched: the rule vanishes and is reported."""
    result = recompute(estate(rule([AMS], [AMS], services=(service,))))
    assert not any(document.rules for document in result.documents.values())
    assert len(result.problems) == 1


def test_enabled_flags_of_rule_set_and_rule():
    """Both must be on."""
    off = rule([AMS], [AMS], enabled=False)
    assert arrows(estate(off)) == set()
    on = RuleSet("1", (rule([AMS], [AMS]),), enabled=False)
    assert arrows(estate(rule_sets=(on,))) == set()


def test_deny_rules_and_boundaries_keep_their_tier():
    """Each becomes rules at both ends, of its own action."""
    facts = estate(
        rule([label(DB)], [label(WEB)], 1, action="override_deny"),
        rule([label(DB)], [label(WEB)], 2, action="deny"),
        boundaries=(
            Rule("enforcement_boundaries/5", "deny", (AMS,), (AMS,), (Service(proto=6, port=22),)),
        ),
    )
    document = recompute(facts).documents["web-prod"]
    assert [(line.id, line.direction, line.action) for line in document.rules] == [
        ("enforcement_boundaries/5/in", "in", "deny"),
        ("enforcement_boundaries/5/out", "out", "deny"),
        ("rule_sets/1/sec_rules/1/out", "out", "override_deny"),
        ("rule_sets/1/sec_rules/2/out", "out", "deny"),
    ]


def test_idle_has_no_rules_and_other_modes_have():
    """The mode goes along; visibility and the IPv6 switch too."""
    hosts = (
        host("a", "10.0.0.1", enforcement_mode="idle"),
        host(
            "b",
            "10.0.0.2",
            enforcement_mode="visibility_only",
            visibility_level="flow_off",
        ),
    )
    facts = estate(
        rule([AMS], [AMS]), workloads=hosts, firewall=FirewallSettings(reject_scopes=((),))
    )
    documents = recompute(facts).documents
    assert (documents["a"].rules, documents["a"].sets) == ([], {})
    assert documents["b"].rules and documents["b"].visibility == "flow_off"
    assert documents["b"].mode == "visibility_only" and documents["b"].firewall.reject_blocked


def firewall_of(settings, **workload):
    facts = estate(workloads=(host("a", "10.0.0.1", **workload),), firewall=settings)
    return recompute(facts).documents["a"].firewall


def test_who_forwards_everything_inherits_nothing():
    """A host's rules judge its containers inside the scope, unless it may forward anything."""
    everywhere = ((),)
    assert firewall_of(FirewallSettings()).containers == "untouched"
    inherit = FirewallSettings(container_scopes=everywhere)
    assert firewall_of(inherit).containers == "by_policy"
    router = FirewallSettings(container_scopes=everywhere, forwarding_scopes=everywhere)
    assert firewall_of(router).containers == "untouched"


def test_the_first_entry_that_means_a_host_says_whose_firewall_goes_first():
    """By labels and mode; ours where no entry speaks."""
    enforced, illuminated = frozenset({"full", "selective"}), frozenset({"visibility_only"})
    settings = FirewallSettings(
        coexistence=(Coexistence((), False, enforced), Coexistence((), True, enforced))
    )
    assert firewall_of(settings, enforcement_mode="full").order == "last"
    assert firewall_of(settings, enforcement_mode="visibility_only").order == "first"
    settings = FirewallSettings(coexistence=(Coexistence((label(DB),), False, illuminated),))
    assert firewall_of(settings, enforcement_mode="visibility_only").order == "first"


def test_offline_workloads_keep_their_own_policy():
    """Nobody's sets hold it, but it may call any moment and must find its document."""
    hosts = (host("a", "10.0.0.1"), host("b", "10.0.0.2", in_policy=False))
    documents = recompute(estate(rule([AMS], [AMS]), workloads=hosts)).documents
    for document in documents.values():
        assert list(document.sets.values()) == [["10.0.0.1"]]
        assert len(document.rules) == 2


def test_rules_that_say_the_same_are_one():
    """The first by id stays; a rule that differs in anything stays too."""
    same = [rule([label(DB)], [label(WEB)], number) for number in (3, 2)]
    other = rule([label(DB)], [label(WEB)], 4, stateless=True)
    document = recompute(estate(*same, other)).documents["db-prod"]
    assert [line.id for line in document.rules] == [
        "rule_sets/1/sec_rules/2/in",
        "rule_sets/1/sec_rules/4/in",
    ]


def test_two_spellings_of_one_selector_share_a_set():
    """A scope's label and the rule's label, a group and its labels: one condition, one set."""
    facts = estate(
        rule([label(DB)], [label(WEB)], 1, services=(HTTP,)),
        rule([label(DB), label(PROD)], [label(WEB)], 2, services=(Service(proto=6, port=81),)),
        scopes=((label(PROD),),),
    )
    document = recompute(facts).documents["web-prod"]
    assert len(document.rules) == 2
    assert len(document.sets) == 1


def test_set_ids_do_not_depend_on_members():
    """A set keeps its name while workloads come and go, also when nobody is left."""
    full = recompute(estate(rule([AMS], [label(WEB)]))).documents["bare"]
    only = recompute(estate(rule([AMS], [label(WEB)]), workloads=HOSTS[4:])).documents["bare"]
    assert full.rules == only.rules
    assert list(only.sets.values()) == [[]]


@pytest.mark.parametrize(
    ("actor", "what"),
    [
        (label("gone"), "label gone does not exist"),
        (label("gone", exclusion=True), "label gone does not exist"),
        (group("gone"), "label group gone does not exist"),
        (Actor("workload", "gone"), "workload gone does not exist"),
        (Actor("ip_list", "gone"), "ip list gone does not exist"),
        (Actor("other", "virtual_service"), "actors of the kind virtual_service are not enforced"),
    ],
)
def test_a_dangling_actor_selects_nobody_and_is_reported(actor, what):
    """Also as an exclusion: what it would have taken out is unknown, so nothing is left."""
    result = recompute(estate(rule([actor], [AMS])))
    assert result.problems == (PolicyProblem("rule_sets/1/sec_rules/1", what),)
    assert not any(peers(d, "in") or peers(d, "out") for d in result.documents.values())


def test_a_dangling_scope_selects_nobody():
    """A scope that cannot be understood restricts to nothing."""
    result = recompute(estate(rule([AMS], [AMS]), scopes=((label(PROD), label("gone")),)))
    assert not any(d.rules for d in result.documents.values())
    assert result.problems == (
        PolicyProblem("rule_sets/1/sec_rules/1", "label gone does not exist"),
    )


def test_a_dangling_service_leaves_the_others():
    """Only the missing one selects no traffic."""
    result = recompute(estate(rule([AMS], [AMS], services=("gone", HTTP))))
    assert result.documents["bare"].rules[0].services == [HTTP]
    assert result.problems == (
        PolicyProblem("rule_sets/1/sec_rules/1", "service gone does not exist"),
    )


def test_what_cannot_be_enforced_opens_nothing():
    """A rule that demands more than a packet filter can check is left out whole, and reported."""
    result = recompute(estate(rule([AMS], [AMS], unenforceable=("user groups",))))
    assert not any(d.rules for d in result.documents.values())
    assert result.problems == (
        PolicyProblem("rule_sets/1/sec_rules/1", "not enforced, it demands user groups"),
    )


def test_addresses_that_are_nobodys_peer_stay_out():
    """Loopback and link-local are left out quietly, nonsense is reported."""
    odd = Workload("odd", {}, ("127.0.0.1", "fe80::1", "nonsense", "10.1.1.1"))
    result = recompute(estate(rule([AMS], [AMS]), workloads=(odd,)))
    assert list(result.documents["odd"].sets.values()) == [["10.1.1.1"]]
    assert result.problems == (PolicyProblem("workload odd", "nonsense is no address"),)


def test_workloads_that_no_rule_tells_apart_share_one_document():
    """Labels and addresses that no rule asks about make no difference; modes do."""
    documents = recompute(estate(rule([label(WEB)], [label(DB)]))).documents
    assert documents["web-prod"] is documents["web-dev"]
    assert documents["web-prod"] is not documents["db-prod"]
    idle = (*HOSTS[:1], host("web-idle", "10.0.0.9", WEB, enforcement_mode="idle"))
    documents = recompute(estate(rule([label(WEB)], [label(DB)]), workloads=idle)).documents
    assert documents["web-prod"] != documents["web-idle"]
