"""An org of 100,000 workloads and 20,000 rules, skewed like a real one."""

import random
from dataclasses import replace

from pce.policy.estate import (
    Actor,
    Estate,
    IpList,
    IpRange,
    LabelGroup,
    Rule,
    RuleSet,
    Workload,
)
from ven_protocol.policy import Service

APPS = 1000
ENVS = 5
ROLES = 5
LOCATIONS = 8
SEED = 7


def large_estate(workloads: int = 100_000, rules: int = 20_000, apps: int = APPS) -> Estate:
    """Few large and many small applications in five environments; the rules lie in scopes of one
    application and environment, between its roles and towards other applications. A handful of
    rules is about everybody: monitoring, a scanner, DNS, a jump host, a boundary.

    The same arguments give the same estate. Cost: 3 s at full size.
    """
    rng = random.Random(SEED)
    keys = {f"app{n}": "app" for n in range(apps)} | {f"env{n}": "env" for n in range(ENVS)}
    keys |= {f"role{n}": "role" for n in range(ROLES)} | {
        f"loc{n}": "loc" for n in range(LOCATIONS)
    }
    sizes = [1 / (n + 1) ** 0.8 for n in range(apps)]
    hosts = tuple(
        _host(number, app, rng)
        for number, app in enumerate(rng.choices(range(apps), sizes, k=workloads))
    )
    inside = tuple(_rule_set(number, apps, rng) for number in range(rules // 4))
    return Estate(
        workloads=hosts,
        label_keys=keys,
        label_groups={"prod": LabelGroup("env", ("env0", "env1"))},
        ip_lists={
            "internet": IpList((IpRange("0.0.0.0/0"), IpRange("10.0.0.0/8", exclusion=True))),
            "offices": IpList((IpRange("192.168.0.0/20"),)),
        },
        services={"https": (Service(proto=6, port=443),), "ssh": (Service(proto=6, port=22),)},
        rule_sets=(*inside, _everywhere(apps)),
        boundaries=(
            Rule(
                id="enforcement_boundaries/1",
                action="deny",
                providers=(Actor("label_group", "prod"),),
                consumers=(Actor("ip_list", "internet"),),
                services=("ssh",),
            ),
        ),
    )


def apart(estate: Estate) -> Estate:
    """The same estate at its worst: every workload has a label of its own that a rule asks about,
    so that no two are alike."""
    labels = [f"host{number}" for number in range(len(estate.workloads))]
    hosts = (
        replace(workload, labels={**workload.labels, "host": label})
        for workload, label in zip(estate.workloads, labels, strict=True)
    )
    admin = Rule(
        id="rule_sets/apart/sec_rules/0",
        action="allow",
        providers=(Actor("label_group", "hosts"),),
        consumers=(Actor("ip_list", "offices"),),
        services=("ssh",),
    )
    return replace(
        estate,
        workloads=tuple(hosts),
        label_keys={**estate.label_keys, **dict.fromkeys(labels, "host")},
        label_groups={**estate.label_groups, "hosts": LabelGroup("host", tuple(labels))},
        rule_sets=(*estate.rule_sets, RuleSet(id="apart", rules=(admin,))),
    )


def _host(number: int, app: int, rng: random.Random) -> Workload:
    return Workload(
        id=f"{number:08x}-0000-4000-8000-000000000000",
        labels={
            "app": f"app{app}",
            "env": f"env{rng.choices(range(ENVS), (8, 4, 4, 2, 2))[0]}",
            "role": f"role{rng.randrange(ROLES)}",
            "loc": f"loc{rng.randrange(LOCATIONS)}",
        },
        addresses=(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",),
        managed=rng.random() < 0.95,
        enforcement_mode=rng.choices(
            ("full", "selective", "visibility_only", "idle"), (6, 2, 1, 1)
        )[0],
    )


def _rule_set(number: int, apps: int, rng: random.Random) -> RuleSet:
    """Of one application in one environment: three rules between its roles, one for another
    application (of the same number of rules, not of the same size)."""
    app, env = number % apps, number // apps % ENVS

    def rule(n: int, provider: Actor, consumer: Actor, *, unscoped: bool = False) -> Rule:
        return Rule(
            id=f"rule_sets/{number}/sec_rules/{n}",
            action="allow",
            providers=(provider,),
            consumers=(consumer,),
            services=("https",) if n == 0 else (Service(proto=6, port=8000 + n),),
            unscoped_consumers=unscoped,
        )

    web, service, database, batch = (
        Actor("label", f"role{n}") for n in rng.sample(range(ROLES), 4)
    )
    if rng.random() < 0.9:
        outside = Actor("label", f"app{rng.randrange(apps)}")
    else:
        outside = Actor("ip_list", "offices")
    return RuleSet(
        id=str(number),
        scopes=((Actor("label", f"app{app}"), Actor("label", f"env{env}")),),
        rules=(
            rule(0, service, web),
            rule(1, database, service),
            rule(2, database, batch),
            rule(3, web, outside, unscoped=True),
        ),
    )


def _everywhere(apps: int) -> RuleSet:
    """Rules without a scope. The hosts that reach everybody are few: the last, smallest apps."""

    def rule(n: int, provider: Actor, consumer: Actor, service: Service) -> Rule:
        return Rule(
            id=f"rule_sets/everywhere/sec_rules/{n}",
            action="allow",
            providers=(provider,),
            consumers=(consumer,),
            services=(service,),
        )

    anybody = Actor("ams")
    monitoring, scanner, jump_host, resolver = (
        Actor("label", f"app{apps - n}") for n in (1, 2, 3, 4)
    )
    return RuleSet(
        id="everywhere",
        rules=(
            rule(0, anybody, monitoring, Service(proto=6, port=9100)),
            rule(1, anybody, scanner, Service(proto=-1)),
            rule(2, anybody, jump_host, Service(proto=6, port=22)),
            rule(3, resolver, anybody, Service(proto=17, port=53)),
            rule(
                4, Actor("ip_list", "internet"), Actor("label", "role0"), Service(proto=6, port=443)
            ),
        ),
    )
