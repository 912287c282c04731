"""Random estates on the hosts of a network, and random changes to them.

Small, so that things meet: three hosts with VENs, two labels of two keys, few rules about few
services. Among the changes are those that a delta carries (members of sets), those that replace
rules, and those of enforcement modes.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from pce.policy.estate import (
    Actor,
    Estate,
    FirewallSettings,
    IpList,
    IpRange,
    Rule,
    RuleSet,
    Workload,
)
from tests.kernel.namespaces import Host
from tests.kernel.steady_traffic import PORTS
from ven_protocol.policy import Ipv6Handling, Service

LABELS = {"role": ("1", "2"), "env": ("3", "4")}
LABEL_KEYS = {label: key for key, labels in LABELS.items() for label in labels}
SERVICES = (
    Service(proto=-1),
    Service(proto=-1),
    Service(proto=6),
    Service(proto=6, port=PORTS["tcp"]),
    Service(proto=6, port=PORTS["connect"]),
    Service(proto=6, port=7000, to_port=7009),
    Service(proto=17, port=PORTS["udp"]),
    Service(proto=17, port=1, to_port=8000),
    Service(proto=1, icmp_type=8),
    Service(proto=58),
)
MODES = ("idle", *3 * ("visibility_only",), *6 * ("selective",), *10 * ("full",))
ACTIONS = (*6 * ("allow",), "deny", "override_deny")
STRANGERS = ("10.77.0.77", "10.77.0.99", "fd77::77")

Change = Callable[[Estate, Random], Estate]


def random_estate(random: Random, hosts: dict[str, Host]) -> Estate:
    """Everybody managed, rules among everybody."""
    return Estate(
        workloads=tuple(
            Workload(
                id=name,
                labels=_labels(random),
                addresses=(host.ipv4, host.ipv6),
                enforcement_mode=random.choice(MODES),  # type: ignore[arg-type]
            )
            for name, host in hosts.items()
        ),
        label_keys=LABEL_KEYS,
        ip_lists={name: _ip_list(random) for name in ("i1", "i2")},
        rule_sets=(RuleSet("1", tuple(_rule(random, number) for number in range(8))),),
    )


def random_change(random: Random, estate: Estate) -> tuple[str, Estate]:
    """What was done, and what became of it: mostly one change, sometimes three at once."""
    names = random.choices(tuple(_CHANGES), _WEIGHTS, k=random.choice((1, 1, 1, 3)))
    for name in names:
        estate = _CHANGES[name](estate, random)
    return " and ".join(names), estate


def _labels(random: Random) -> dict[str, str]:
    return {key: random.choice(labels) for key, labels in LABELS.items() if random.random() < 0.9}


def _ip_list(random: Random) -> IpList:
    pool = (
        IpRange("10.77.0.0/24"),
        IpRange("fd77::/64"),
        IpRange("10.77.0.0/31"),
        IpRange("10.77.0.2", "10.77.0.3"),
        IpRange("fd77::2", "fd77::9"),
        IpRange("10.77.0.1"),
        IpRange("fd77::3"),
        IpRange("10.77.0.2", exclusion=True),
        IpRange("fd77::1", exclusion=True),
    )
    return IpList(tuple(random.sample(pool, random.randint(1, 4))))


def _actors(random: Random) -> tuple[Actor, ...]:
    pool = (
        Actor("ams"),
        Actor("ams"),
        Actor("ip_list", "i1"),
        Actor("ip_list", "i2"),
        Actor("workload", random.choice("abc")),
        Actor("label", random.choice(tuple(LABEL_KEYS)), exclusion=random.random() < 0.2),
        Actor("label", random.choice(tuple(LABEL_KEYS))),
    )
    return tuple(random.sample(pool, random.choice((1, 1, 2))))


def _rule(random: Random, number: int) -> Rule:
    return Rule(
        id=f"rule_sets/1/sec_rules/{number}",
        action=random.choice(ACTIONS),  # type: ignore[arg-type]
        providers=_actors(random),
        consumers=_actors(random),
        services=tuple(random.choices(SERVICES, k=random.choice((1, 2, 2)))),
        enabled=random.random() < 0.9,
        stateless=random.random() < 0.1,
    )


def _change_a_workload(
    alter: Callable[[Workload, Random], Workload],
) -> Change:
    def change(estate: Estate, random: Random) -> Estate:
        number = random.randrange(3)  # the hosts come first, strangers behind them
        workloads = list(estate.workloads)
        workloads[number] = alter(workloads[number], random)
        return replace(estate, workloads=tuple(workloads))

    return change


def _change_a_rule(alter: Callable[[Rule, Random], Rule]) -> Change:
    def change(estate: Estate, random: Random) -> Estate:
        rules = list(estate.rule_sets[0].rules)
        number = random.randrange(len(rules))
        rules[number] = alter(rules[number], random)
        return replace(estate, rule_sets=(replace(estate.rule_sets[0], rules=tuple(rules)),))

    return change


def _change_strangers(estate: Estate, random: Random) -> Estate:
    """A workload without a VEN comes or goes; nobody has its address."""
    hosts, strangers = estate.workloads[:3], estate.workloads[3:]
    if strangers:
        return replace(estate, workloads=hosts)
    stranger = Workload("stranger", _labels(random), (random.choice(STRANGERS),), managed=False)
    return replace(estate, workloads=(*hosts, stranger))


def _change_an_ip_list(estate: Estate, random: Random) -> Estate:
    return replace(
        estate, ip_lists={**estate.ip_lists, random.choice(("i1", "i2")): _ip_list(random)}
    )


def _change_ipv6(estate: Estate, random: Random) -> Estate:
    handling: tuple[Ipv6Handling, ...] = ("by_policy", "blocked_in_full", "allowed")
    return replace(estate, firewall=FirewallSettings(ipv6=random.choice(handling)))


_CHANGES: dict[str, Change] = {
    "other labels": _change_a_workload(lambda w, r: replace(w, labels=_labels(r))),
    "offline or back": _change_a_workload(lambda w, r: replace(w, in_policy=not w.in_policy)),
    "another ip list": _change_an_ip_list,
    "a stranger": _change_strangers,
    "another rule": _change_a_rule(lambda old, r: replace(_rule(r, 0), id=old.id)),
    "a rule on or off": _change_a_rule(lambda old, r: replace(old, enabled=not old.enabled)),
    "another action": _change_a_rule(lambda old, r: replace(old, action=r.choice(ACTIONS))),  # type: ignore[arg-type]
    "another mode": _change_a_workload(
        lambda w, r: replace(w, enforcement_mode=r.choice(MODES))  # type: ignore[arg-type]
    ),
    "ipv6 handling": _change_ipv6,
}
_WEIGHTS = (4, 3, 4, 1, 4, 2, 2, 3, 1)
