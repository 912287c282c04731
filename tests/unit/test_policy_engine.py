"""What the engine does for one change: how much it looks at, and what it says."""

from dataclasses import replace

from pce.policy.change import EstateChange, everything
from pce.policy.estate import Actor, Estate, IpList, IpRange, Rule, RuleSet, Workload
from pce.policy.incremental.engine import Engine
from pce.policy.parts import block_digest, set_digest, version_name
from ven_protocol.policy import Service

APPS = 40
HTTPS = (Service(proto=6, port=443),)


def rule(id, provider, consumer, action="allow", services=HTTPS):
    return Rule(
        id=id, action=action, providers=(provider,), consumers=(consumer,), services=services
    )


def workload(id, app, address, **others):
    return Workload(
        id=id, labels={"app": app}, addresses=(address,), enforcement_mode="full", **others
    )


def org():
    """40 applications of three hosts, each talking within itself, and one that reaches all."""
    hosts = [
        workload(f"w{app}-{n}", f"app{app}", f"10.0.{app}.{n}")
        for app in range(APPS)
        for n in range(3)
    ]
    within = [
        RuleSet(
            id=str(app),
            scopes=((Actor("label", f"app{app}"),),),
            rules=(rule(f"rule_sets/{app}/sec_rules/1", Actor("ams"), Actor("ams")),),
        )
        for app in range(APPS)
    ]
    everywhere = RuleSet(
        id="everywhere",
        rules=(rule("rule_sets/everywhere/sec_rules/1", Actor("ams"), Actor("label", "app0")),),
    )
    return Estate(
        workloads=tuple(hosts),
        label_keys={f"app{app}": "app" for app in range(APPS)},
        ip_lists={"office": IpList((IpRange("192.168.0.0/24"),))},
        rule_sets=(*within, everywhere),
    )


def built(estate, **options):
    engine = Engine(**options)
    engine.apply(everything(estate))
    return engine


def test_a_change_tries_only_selectors_filed_under_the_labels_of_the_workload():
    """A workload in a class of its own is tried against the selectors of its application and
    those that nothing restricts, not against those of 40 applications."""
    engine = built(org())
    named = rule("enforcement_boundaries/1", Actor("workload", "new"), Actor("ams"), "deny")
    engine.apply(EstateChange(boundaries={named.id: named}))
    effect = engine.apply(EstateChange(workloads={"new": workload("new", "app7", "10.9.9.9")}))
    assert effect.statistics.selectors_always_tried == 1
    assert effect.statistics.selectors_tried <= 3


def test_an_address_reaches_those_whose_sets_hold_it():
    """The three hosts of the application and the three that reach everybody hear of an address,
    as one member less and one more of two sets."""
    engine = built(org())
    moved = workload("w7-1", "app7", "10.9.9.9")
    effect = engine.apply(EstateChange(workloads={moved.id: moved}))
    assert effect.targets.keys() == {f"w{app}-{n}" for app in (0, 7) for n in range(3)}
    assert effect.statistics.classes_changed == 2
    changes = {(change.added, change.removed) for change in effect.sets.values()}
    assert len(effect.sets) == 2 and changes == {(("10.9.9.9",), ("10.0.7.1",))}
    assert len(effect.class_parts) == 2 and effect.wide is None


def test_an_address_that_two_workloads_have_leaves_with_the_last_of_them():
    """The set keeps the address while one of its workloads lends it."""
    shared = workload("w7-1", "app7", "10.0.7.0")
    engine = built(replace(org(), workloads=(*org().workloads[:21], shared)))
    first = engine.apply(EstateChange(workloads={"w7-0": None}))
    assert not first.sets
    second = engine.apply(EstateChange(workloads={"w7-1": None}))
    assert {change.removed for change in second.sets.values()} == {("10.0.7.0",)}


def test_a_rule_edit_resolves_that_rule_alone():
    """Another port of one rule resolves that rule and makes the class parts of its two sides."""
    engine = built(org())
    edited = replace(
        org().rule_sets[7],
        rules=(
            rule(
                "rule_sets/7/sec_rules/1", Actor("ams"), Actor("ams"), services=(Service(proto=17),)
            ),
        ),
    )
    effect = engine.apply(EstateChange(rule_sets={"7": edited}))
    assert effect.statistics.rules_resolved == 1
    assert effect.statistics.classes_affected == 1
    assert effect.targets.keys() == {"w7-0", "w7-1", "w7-2"} == effect.tightened
    assert not effect.sets


def test_a_wide_change_writes_no_targets():
    """Where 120 VENs have a block, one more address in its set is one set version and one head."""
    engine = built(org(), wide_from=50)
    assert len(engine.head.parts) == 2  # the block of everybody, and the set that it mentions
    moved = workload("new", "app0", "10.9.9.9", managed=False)
    effect = engine.apply(EstateChange(workloads={moved.id: moved}))
    assert effect.wide is not None and effect.wide.generation == engine.head.generation == 2
    heard = {id for id, target in engine.targets().items() if target.slots & effect.changed_slots}
    assert len(heard) == 3 * APPS
    assert effect.targets.keys() == {"w0-0", "w0-1", "w0-2"}  # their own application's set grew
    assert not effect.blocks and not effect.tightened_slots


def test_only_what_may_take_access_away_is_called_tightening():
    """An allow rule less, a deny rule more, an allowed address less: tightening. The opposite of
    each is not."""
    engine = built(org())
    denied = rule(
        "enforcement_boundaries/1", Actor("label", "app7"), Actor("ip_list", "office"), "deny"
    )
    everything_less = EstateChange(rule_sets={"7": None})
    back = EstateChange(rule_sets={"7": org().rule_sets[7]})
    hosts = {"w7-0", "w7-1", "w7-2"}
    assert engine.apply(everything_less).tightened == hosts
    assert engine.apply(back).tightened == set()
    assert engine.apply(EstateChange(boundaries={denied.id: denied})).tightened == hosts
    larger = IpList((IpRange("192.168.0.0/24"), IpRange("172.16.0.0/24")))
    assert engine.apply(EstateChange(ip_lists={"office": larger})).tightened == hosts
    smaller = org().ip_lists["office"]
    assert engine.apply(EstateChange(ip_lists={"office": smaller})).tightened == set()
    assert engine.apply(EstateChange(boundaries={denied.id: None})).tightened == set()
    gone = engine.apply(EstateChange(workloads={"w7-0": None}))
    assert gone.targets["w7-0"] is None
    assert gone.tightened >= {"w7-1", "w7-2"}


def test_a_digest_depends_on_the_members_alone():
    """The digest of members is that of any order, and of the engine's running sum."""
    engine = built(org())
    effect = engine.apply(EstateChange(workloads={"w7-1": workload("w7-1", "app7", "10.9.9.9")}))
    for set_id, change in effect.sets.items():
        members = engine.members(set_id)
        assert change.digest == set_digest(members) == set_digest(reversed(members))


def test_a_block_that_was_narrow_for_a_while_is_wide_as_it_is_now():
    """A block leaves the head, its rule is edited, and it comes back: under the digest of its lines
    of now. The version that left is retired with the head that no longer names it."""
    engine = built(org(), wide_from=4)
    before = engine.head.parts.keys()
    more = {f"more{n}": workload(f"more{n}", "app7", f"10.1.0.{n}") for n in range(3)}
    first = engine.apply(EstateChange(workloads=more))
    [block] = first.blocks
    left = version_name(block, first.blocks[block])
    gone = dict.fromkeys((*more, "w7-0", "w7-1"))
    leaves = engine.apply(EstateChange(workloads=gone))
    assert block in leaves.wide.leaving and left not in leaves.retired
    edited = rule(
        "rule_sets/7/sec_rules/1", Actor("ams"), Actor("ams"), services=(Service(proto=17),)
    )
    engine.apply(EstateChange(rule_sets={"7": replace(org().rule_sets[7], rules=(edited,))}))
    dropped = engine.apply(EstateChange(workloads={"w0-0": None}))  # a member less of a wide set
    assert dropped.wide.parts.keys() == before and left in dropped.retired
    again = engine.apply(
        EstateChange(workloads=more | {"w7-0": workload("w7-0", "app7", "10.2.0.1")})
    )
    assert again.blocks == {block: block_digest(engine.block(block))} != first.blocks
