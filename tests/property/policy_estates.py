"""Random estates, small enough that things meet: few labels, few addresses, many rules.

They contain what the API refuses, too: references to nothing, rings of label groups, ranges that
run backwards, addresses that are none.

Hypothesis draws one seed and plain ``random`` does the rest: built from Hypothesis' own parts, nine
estates of ten had no rule that met a workload. A failing example prints the whole estate.
"""

from dataclasses import replace
from random import Random

from hypothesis import strategies as st

from pce.policy.change import EstateChange
from pce.policy.decide import Endpoint
from pce.policy.estate import (
    EVERYTHING,
    Actor,
    Backend,
    Coexistence,
    CustomRule,
    Estate,
    FirewallSettings,
    IpList,
    IpRange,
    LabelGroup,
    PortOverride,
    Rule,
    RuleSet,
    VirtualService,
    Workload,
)
from pce.policy.traffic import Traffic
from ven_protocol.policy import Service

LABEL_KEYS = {"1": "app", "2": "app", "3": "app", "4": "env", "5": "env", "6": "zone"}
LABELS_OF = {"app": ("1", "2", "3"), "env": ("4", "5"), "zone": ("6",)}
WORKLOAD_IDS = tuple(f"w{number}" for number in range(6))
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "192.168.7.9", "fd00::1", "fd00::2")
OUTSIDE = ("10.0.0.9", "8.8.8.8", "2001:db8::5")
USELESS = ("127.0.0.1", "169.254.3.3", "::1", "fe80::1", "nonsense")
MISSING = "missing"

TRAFFIC = (
    Traffic(6, 80),
    Traffic(6, 443),
    Traffic(17, 53),
    Traffic(1, icmp_type=8, icmp_code=0),
    Traffic(58, icmp_type=128, icmp_code=0),
    Traffic(47),
)
SERVICES = (
    Service(proto=-1),
    Service(proto=6),
    Service(proto=6, port=80),
    Service(proto=6, port=443),
    Service(proto=6, port=1, to_port=1023),
    Service(proto=6, port=80, to_port=80),
    Service(proto=17, port=53),
    Service(proto=1, icmp_type=8),
    Service(proto=58, icmp_type=128, icmp_code=0),
    Service(proto=6, port=443, to_port=80),  # runs backwards
)
RANGES = (
    IpRange("0.0.0.0/0"),
    IpRange("::/0"),
    IpRange("10.0.0.0/24"),
    IpRange("10.0.0.9/32"),
    IpRange("10.0.0.3/31"),  # host bits set
    IpRange("10.0.0.1", "10.0.0.2"),
    IpRange("10.0.0.2", "10.0.1.1"),
    IpRange("fd00::/16"),
    IpRange("10.0.0.2", exclusion=True),
    IpRange("10.0.0.0/30", exclusion=True),
    IpRange("fd00::2", exclusion=True),
)
BINDINGS = ("v1", "v1:6-80-443", "v2")
VIRTUAL_SERVICES = ("v1", "v2")
VIRTUAL_SERVERS = ("lb1", "lb2")
BAD_RANGES = (IpRange("10.0.0.9", "10.0.0.1"), IpRange("10.0.0.1", "::1"), IpRange("nonsense"))


def _some(random, items, least, most):
    return tuple(random.choice(items) for _ in range(random.randint(least, most)))


def _rarely(random):
    return random.random() < 0.08


def _label_or_group(random):
    if random.random() < 0.6:
        kind, names = "label", tuple(LABEL_KEYS)
    else:
        kind, names = "label_group", ("g1", "g2", "g3")
    name = MISSING if _rarely(random) else random.choice(names)
    return Actor(kind, name, exclusion=random.random() < 0.2)


def _actor(random):
    kind = random.choice(
        (
            *("ams", "labels", "labels", "labels"),
            *("workload", "ip_list", "virtual_service", "virtual_server"),
        )
    )
    if kind == "labels":
        return _label_or_group(random)
    if kind == "ams":
        return Actor("other", "secure_connect_gateway") if _rarely(random) else Actor("ams")
    if kind == "virtual_service":
        if random.random() < 0.2:
            return Actor("container_host")
        return Actor(kind, MISSING if _rarely(random) else random.choice(VIRTUAL_SERVICES))
    if kind == "virtual_server":
        return Actor(kind, MISSING if _rarely(random) else random.choice(VIRTUAL_SERVERS))
    if kind == "workload":
        return Actor(kind, MISSING if _rarely(random) else random.choice(WORKLOAD_IDS))
    return Actor(kind, MISSING if _rarely(random) else random.choice(("i1", "i2", "i3")))


def _actors(random):
    return tuple(_actor(random) for _ in range(random.choice((1, 1, 2, 3))))


def _scope(random):
    if random.random() < 0.4:
        return EVERYTHING
    return tuple(_label_or_group(random) for _ in range(random.choice((1, 1, 2))))


def _service(random):
    if random.random() < 0.3:
        return MISSING if _rarely(random) else random.choice(("s1", "s2"))
    return random.choice(SERVICES)


def _rule(random, rule_id, actions=("allow", "allow", "allow", "deny", "override_deny")):
    return Rule(
        id=rule_id,
        action=random.choice(actions),
        providers=_actors(random),
        consumers=_actors(random),
        services=tuple(_service(random) for _ in range(random.randint(1, 3))),
        enabled=not _rarely(random),
        unscoped_consumers=random.random() < 0.4,
        stateless=_rarely(random),
        provider_labels_are_workloads=not _rarely(random),
        provider_labels_are_services=random.random() < 0.15,
        consumer_labels_are_workloads=not _rarely(random),
        consumer_labels_are_services=random.random() < 0.15,
        unenforceable=("encryption",) if _rarely(random) else (),
    )


def random_rule_set(random: Random, rule_set_id: str) -> RuleSet:
    """A rule set of up to four rules in up to three scopes."""
    return RuleSet(
        id=rule_set_id,
        rules=tuple(
            _rule(random, f"rule_sets/{rule_set_id}/sec_rules/{number}")
            for number in range(random.randint(0, 4))
        ),
        scopes=tuple(_scope(random) for _ in range(random.choice((1, 1, 2, 3)))),
        enabled=not _rarely(random),
        custom_rules=(
            (CustomRule(f"rule_sets/{rule_set_id}/ip_tables_rules/1", _actors(random)),)
            if _rarely(random)
            else ()
        ),
    )


def _workload(random, workload_id):
    return Workload(
        id=workload_id,
        labels={key: random.choice(ids) for key, ids in LABELS_OF.items() if random.random() < 0.7},
        addresses=tuple(
            sorted(set(_some(random, ADDRESSES, 1, 2)) | set(_some(random, USELESS, 0, 1)))
        ),
        managed=random.random() < 0.85,
        in_policy=random.random() < 0.85,
        enforcement_mode=random.choice(
            ("idle", "visibility_only", "selective", "full", "full", "full")
        ),
        visibility_level=random.choice(("flow_summary", "flow_drops")),
        loopback_addresses=("10.0.2.2",) if _rarely(random) else (),
        ipv6_support=random.choice(("by_rules",) * 8 + ("all_or_nothing", "never_blocked")),
        bound=frozenset(_some(random, BINDINGS, 0, 2)),
        container_host=_rarely(random),
    )


def _ip_list(random):
    ranges = _some(random, RANGES, 0, 4)
    if _rarely(random):
        ranges += (random.choice(BAD_RANGES),)
    return IpList(ranges, ("example.com",) if _rarely(random) else ())


def _label_group(random):
    key = random.choice(tuple(LABELS_OF))
    sub_groups = _some(random, ("g1", "g2", "g3"), 0, 1)
    if _rarely(random):
        sub_groups += (MISSING,)
    return LabelGroup(key, _some(random, LABELS_OF[key], 0, 2), sub_groups)


def _virtual_service(random, id):
    moved = tuple(binding for binding in BINDINGS if binding.startswith(f"{id}:"))
    return VirtualService(
        labels={key: random.choice(ids) for key, ids in LABELS_OF.items() if random.random() < 0.6},
        services=tuple(_service(random) for _ in range(random.choice((1, 1, 2)))),
        ip_overrides=_some(random, RANGES[2:8], 1, 2) if random.random() < 0.3 else (),
        port_overrides={binding: (PortOverride(6, 80, 443),) for binding in moved},
    )


def _virtual_server(random):
    """One that is enforced, mostly. Its members are said by label, by group or by name."""
    labels = {key: random.choice(ids) for key, ids in LABELS_OF.items() if random.random() < 0.6}
    if random.random() < 0.15:
        return VirtualService(labels=labels)
    members = (
        Actor("workload", random.choice(WORKLOAD_IDS))
        if random.random() < 0.3
        else _label_or_group(random)
        for _ in range(random.randint(0, 2))
    )
    return VirtualService(
        labels=labels,
        services=(random.choice(SERVICES),),
        ip_overrides=(IpRange(random.choice((*ADDRESSES, *OUTSIDE))),),
        backend=Backend(
            members=tuple(members),
            services=tuple(_service(random) for _ in range(random.choice((1, 1, 2)))),
            sources=_some(random, RANGES[3:8], 1, 2) if random.random() < 0.6 else (),
        ),
    )


def _firewall(random):
    return FirewallSettings(
        ipv6="blocked_in_full" if random.random() < 0.2 else "by_policy",
        older_ipv6="blocked_in_full" if random.random() < 0.2 else "allowed",
        reject_scopes=(_scope(random),) if random.random() < 0.2 else (),
        loopback_scopes=(_scope(random),) if random.random() < 0.2 else (),
        static_scopes=(_scope(random),) if random.random() < 0.2 else (),
        container_scopes=(_scope(random),) if random.random() < 0.2 else (),
        forwarding_scopes=(_scope(random),) if random.random() < 0.2 else (),
        coexistence=tuple(_coexistence(random) for _ in range(random.choice((0, 0, 0, 1, 2)))),
    )


def _coexistence(random):
    modes = random.choice((("full", "selective"), ("visibility_only",)))
    return Coexistence(_scope(random), random.random() < 0.5, frozenset(modes))


def random_estate(random: Random) -> Estate:
    """An estate of a handful of workloads and rules."""
    return Estate(
        workloads=tuple(
            _workload(random, name) for name in random.sample(WORKLOAD_IDS, random.randint(2, 6))
        ),
        label_keys=LABEL_KEYS,
        label_groups={name: _label_group(random) for name in ("g1", "g2", "g3")},
        ip_lists={name: _ip_list(random) for name in ("i1", "i2", "i3")},
        services={name: _some(random, SERVICES, 1, 2) for name in ("s1", "s2")},
        rule_sets=tuple(random_rule_set(random, str(n)) for n in range(random.randint(1, 3))),
        boundaries=tuple(
            _rule(random, f"enforcement_boundaries/{n}", ("deny",))
            for n in range(random.randint(0, 1))
        ),
        virtual_services={
            **{name: _virtual_service(random, name) for name in VIRTUAL_SERVICES},
            **{name: _virtual_server(random) for name in VIRTUAL_SERVERS},
        },
        firewall=_firewall(random),
    )


def random_change(random: Random, estate: Estate) -> EstateChange:
    """One or two facts that came, went or became another."""
    change = _change(random, estate)
    return change.then(_change(random, estate)) if random.random() < 0.3 else change


def _change(random, estate):
    often = ("workload", "workload", "workload", "rule_set", "rule_set", "rule_set")
    seldom = ("label", "group", "list", "service", "boundary", "firewall")
    virtual = ("virtual_service", "virtual_server")
    kind = random.choice((*often, *seldom, *virtual))
    gone = random.random() < 0.2
    if kind == "workload":
        name = random.choice(WORKLOAD_IDS)
        return EstateChange(
            workloads={name: None if gone else _changed_workload(random, name, estate)}
        )
    if kind == "rule_set":
        name = random.choice(("0", "1", "2"))
        return EstateChange(
            rule_sets={name: None if gone else _changed_rules(random, name, estate)}
        )
    if kind == "label":
        name = random.choice(tuple(LABEL_KEYS))
        key = "zone" if _rarely(random) else LABEL_KEYS[name]
        return EstateChange(label_keys={name: None if random.random() < 0.5 else key})
    if kind == "group":
        name = random.choice(("g1", "g2", "g3"))
        return EstateChange(label_groups={name: None if gone else _label_group(random)})
    if kind == "list":
        name = random.choice(("i1", "i2", "i3"))
        return EstateChange(ip_lists={name: None if gone else _ip_list(random)})
    if kind == "service":
        name = random.choice(("s1", "s2"))
        return EstateChange(services={name: None if gone else _some(random, SERVICES, 1, 2)})
    if kind == "boundary":
        name = "enforcement_boundaries/0"
        return EstateChange(boundaries={name: None if gone else _rule(random, name, ("deny",))})
    if kind == "virtual_service":
        name = random.choice(VIRTUAL_SERVICES)
        return EstateChange(
            virtual_services={name: None if gone else _virtual_service(random, name)}
        )
    if kind == "virtual_server":
        name = random.choice(VIRTUAL_SERVERS)
        return EstateChange(virtual_services={name: None if gone else _virtual_server(random)})
    return EstateChange(firewall=_firewall(random))


def _changed_workload(random, name, estate):
    """A new one, or the old one with another address, mode or label, or off or on line."""
    old = next((workload for workload in estate.workloads if workload.id == name), None)
    new = _workload(random, name)
    if old is None:
        return new
    fields = random.choice(
        (("addresses",), ("labels",), ("in_policy",), ("enforcement_mode",), ("bound", "managed"))
    )
    return replace(old, **{field: getattr(new, field) for field in fields})


def _changed_rules(random, name, estate):
    """A new rule set, or the old one with a rule more, less or different, or other scopes."""
    old = next((rule_set for rule_set in estate.rule_sets if rule_set.id == name), None)
    if old is None or random.random() < 0.2:
        return random_rule_set(random, name)
    if random.random() < 0.2:
        return replace(old, scopes=random_rule_set(random, name).scopes)
    changed = _rule(random, f"rule_sets/{name}/sec_rules/{random.randint(0, 4)}")
    others = tuple(rule for rule in old.rules if rule.id != changed.id)
    return replace(old, rules=others if _rarely(random) else (*others, changed))


def endpoints(estate: Estate) -> list[Endpoint]:
    """Every address of every workload that can open connections, and some of nobody."""
    return [
        Endpoint(address, workload.id)
        for workload in estate.workloads
        for address in workload.addresses
        if address not in USELESS
    ] + [Endpoint(address) for address in OUTSIDE]


seeds = st.randoms(use_true_random=True)
estates = seeds.map(random_estate)
