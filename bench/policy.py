"""The full recompute of an org of 2,000 workloads and 200 rules, skewed like a real one."""

import random
import time

from bench.figure import Figure
from pce.policy.estate import Actor, Estate, IpList, IpRange, Rule, RuleSet, Scope, Workload
from pce.policy.recompute import recompute
from ven_protocol.policy import Service, policy_delta

WORKLOADS = 2_000
RULES = 200
SEED = 7


def estate_of(workloads: int, rules: int, seed: int = SEED) -> Estate:
    """An org of few large and many small applications in five environments: four rules inside each
    application's scope, a few across all (monitoring, a jump host, a scanner's IP list)."""
    rng = random.Random(seed)
    apps = max(1, rules // 4)
    labels = {f"app{n}": "app" for n in range(apps)}
    labels |= {f"env{n}": "env" for n in range(5)} | {f"role{n}": "role" for n in range(5)}
    labels |= {f"loc{n}": "loc" for n in range(8)}
    sizes = [1 / (n + 1) ** 0.8 for n in range(apps)]
    hosts = tuple(
        Workload(
            id=f"w{number}",
            labels={
                "app": f"app{app}",
                "env": f"env{rng.randrange(5)}",
                "role": f"role{rng.randrange(5)}",
                "loc": f"loc{rng.randrange(8)}",
            },
            addresses=(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",),
            enforcement_mode="full",
        )
        for number, app in enumerate(rng.choices(range(apps), sizes, k=workloads))
    )
    rule_sets = tuple(
        RuleSet(
            id=str(app),
            scopes=(_scope(f"app{app}", "env0"), _scope(f"app{app}", "env1")),
            rules=tuple(
                Rule(
                    id=f"rule_sets/{app}/sec_rules/{tier}",
                    action="allow",
                    providers=(Actor("label", f"role{tier}"),),
                    consumers=(Actor("label", f"role{tier + 1}"),),
                    services=(Service(proto=6, port=8000 + tier),),
                    unscoped_consumers=tier == 3,
                )
                for tier in range(4)
            ),
        )
        for app in range(apps - 1)
    )
    everywhere = RuleSet(
        id="everywhere",
        rules=tuple(
            Rule(
                id=f"rule_sets/everywhere/sec_rules/{number}",
                action="deny" if number == 3 else "allow",
                providers=(Actor("ams"),),
                consumers=(consumer,),
                services=(Service(proto=6, port=22 + number),),
            )
            for number, consumer in enumerate(
                (
                    Actor("label", "app0"),
                    Actor("workload", "w0"),
                    Actor("ip_list", "scanners"),
                    Actor("ams"),
                )
            )
        ),
    )
    return Estate(
        workloads=hosts,
        label_keys=labels,
        ip_lists={"scanners": IpList((IpRange("192.168.0.0/24"),))},
        rule_sets=(*rule_sets, everywhere),
    )


def _scope(*labels: str) -> Scope:
    return tuple(Actor("label", label) for label in labels)


def measure() -> list[Figure]:
    """Recompute the org once, hash every document, and make one delta."""
    estate = estate_of(WORKLOADS, RULES)
    start = time.perf_counter()
    recomputed = recompute(estate)
    seconds = time.perf_counter() - start
    etags = recomputed.etags()
    etag_seconds = time.perf_counter() - start - seconds
    base, new = recomputed.documents["w0"], recomputed.documents["w1"]
    start = time.perf_counter()
    policy_delta(base, new)
    delta_seconds = time.perf_counter() - start
    return [
        Figure(
            name=f"full recompute, {WORKLOADS} workloads x {RULES} rules",
            value=seconds,
            unit="s",
            budget=3.0,
            within=seconds <= 3.0,
        ),
        Figure(
            name=f"etags of {len(set(etags.values()))} distinct documents",
            value=etag_seconds,
            unit="s",
            budget=3.0,
            within=etag_seconds <= 3.0,
        ),
        Figure(
            name=f"delta of two documents with sets of {WORKLOADS}",
            value=delta_seconds * 1000,
            unit="ms",
            budget=20.0,
            within=delta_seconds <= 0.020,
        ),
    ]
