"""The decision table: what should become of a connection, in every mode, by every kind of rule.

One estate holds all of it: a host for every enforcement mode, and every kind of rule on a port of
its own, so that all rows can be tried at once (``test_decision_table.py``).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pce.policy.estate import (
    Actor,
    Estate,
    IpList,
    IpRange,
    LabelGroup,
    PortOverride,
    Rule,
    RuleSet,
    VirtualService,
    Workload,
)
from pce.policy.traffic import Traffic, Verdict, strictest
from tests.kernel.attempts import ICMP, ICMPV6, TCP, UDP, UNKNOWN
from tests.kernel.namespaces import Network
from ven_protocol.messages import EnforcementMode
from ven_protocol.policy import Service

HOSTS = (
    "idle",
    "visibility_only",
    "selective",
    "full",
    "old",
    "peer",
    "blog",
    "wiki",
    "friend",
    "foe",
    "gone",
)
"""One for each mode; ``old`` has a VEN that knows no rules for IPv6; the rest have none, so they
judge nothing; ``gone`` is offline."""
MODES: tuple[EnforcementMode, ...] = ("idle", "visibility_only", "selective", "full")
MANAGED = (*MODES, "old")

TABLE = """
rules on the service          | idle    | visibility_only     | selective           | full
------------------------------+---------+---------------------+---------------------+--------
none                          | unknown | potentially_blocked | potentially_blocked | blocked
allow                         | unknown | allowed             | allowed             | allowed
deny                          | unknown | potentially_blocked | blocked             | blocked
override_deny                 | unknown | potentially_blocked | blocked             | blocked
boundary                      | unknown | potentially_blocked | blocked             | blocked
allow deny                    | unknown | allowed             | allowed             | allowed
allow boundary                | unknown | allowed             | allowed             | allowed
allow override_deny           | unknown | potentially_blocked | blocked             | blocked
deny override_deny            | unknown | potentially_blocked | blocked             | blocked
allow deny override_deny      | unknown | potentially_blocked | blocked             | blocked
disabled_allow                | unknown | potentially_blocked | potentially_blocked | blocked
disabled_allow deny           | unknown | potentially_blocked | blocked             | blocked
allow disabled_override_deny  | unknown | allowed             | allowed             | allowed
"""
"""Each row's number, from 0, is its port behind 1000 and its code of an ICMP echo request."""


def _table() -> dict[str, dict[EnforcementMode, Verdict]]:
    lines = [[cell.strip() for cell in line.split("|")] for line in TABLE.split("\n")[3:-1]]
    return {kind: dict(zip(MODES, verdicts, strict=True)) for kind, *verdicts in lines}  # type: ignore[arg-type]


EXPECTED = _table()
PORT = {kind: 1000 + number for number, kind in enumerate(EXPECTED)}

SHOP, BLOG, WIKI = "1", "2", "3"
LABEL_KEYS = {SHOP: "app", BLOG: "app", WIKI: "app"}
LABELS = {
    **dict.fromkeys((*MODES, "old", "peer", "gone"), SHOP),
    "blog": BLOG,
    "wiki": WIKI,
}
BOUND = {"selective": frozenset({"desk"}), "full": frozenset({"desk elsewhere"})}
"""Who serves the virtual service ``desk``, under its own port or another."""


def services(kind: str) -> tuple[Service, ...]:
    """TCP, UDP and the echo requests of both families that a kind of rule is about."""
    number = PORT[kind] - 1000
    return (
        Service(proto=TCP, port=PORT[kind]),
        Service(proto=UDP, port=PORT[kind]),
        Service(proto=ICMP, icmp_type=8, icmp_code=number),
        Service(proto=ICMPV6, icmp_type=128, icmp_code=number),
    )


@dataclass(frozen=True)
class Row:
    """One attempt and what becomes of it."""

    why: str
    source: str
    target: str
    family: int
    traffic: Traffic
    verdict: Verdict

    def __str__(self) -> str:
        what = self.traffic
        service = what.port if what.icmp_type is None else f"{what.icmp_type}.{what.icmp_code}"
        return f"{self.why}: {self.source}-{self.target} {what.proto}/{service} v{self.family}"


def traffics(kind: str, family: int) -> tuple[Traffic, Traffic, Traffic]:
    echo = (ICMP, 8) if family == 4 else (ICMPV6, 128)
    return (
        Traffic(TCP, PORT[kind]),
        Traffic(UDP, PORT[kind]),
        Traffic(echo[0], icmp_type=echo[1], icmp_code=PORT[kind] - 1000),
    )


def judged_by_one() -> Iterator[Row]:
    """The whole table, from and to a host without a VEN."""
    for kind, mode, family in itertools.product(EXPECTED, MODES, (4, 6)):
        for traffic in traffics(kind, family):
            for ends in (("peer", mode), (mode, "peer")):
                yield Row(kind, *ends, family, traffic, EXPECTED[kind][mode])


def judged_by_both() -> Iterator[Row]:
    """Between two hosts with VENs the stricter one decides."""
    for kind, source, target in itertools.product(EXPECTED, MODES, MODES):
        if source != target:
            verdict = strictest((EXPECTED[kind][source], EXPECTED[kind][target]))
            yield Row(kind, source, target, 4, Traffic(TCP, PORT[kind]), verdict)


def tcp(port: int) -> Traffic:
    return Traffic(TCP, port)


def udp(port: int) -> Traffic:
    return Traffic(UDP, port)


PING, PING6 = Traffic(ICMP, icmp_type=8, icmp_code=99), Traffic(ICMPV6, icmp_type=128, icmp_code=99)
TIMESTAMP = Traffic(ICMP, icmp_type=13, icmp_code=0)
EITHER = (4, 6)

CASES: tuple[tuple[str, str, str, tuple[int, ...], Traffic, Verdict], ...] = (
    ("scope", "peer", "full", EITHER, tcp(2000), "allowed"),
    ("scope", "blog", "full", EITHER, tcp(2000), "blocked"),
    ("extra-scope", "blog", "full", EITHER, tcp(2001), "allowed"),
    ("extra-scope", "full", "blog", EITHER, tcp(2001), "blocked"),
    ("two scopes", "peer", "full", EITHER, tcp(2002), "allowed"),
    ("two scopes", "blog", "full", EITHER, tcp(2002), "blocked"),
    ("label group", "blog", "full", EITHER, tcp(2003), "allowed"),
    ("label group", "wiki", "full", EITHER, tcp(2003), "blocked"),
    ("label exclusion", "wiki", "full", EITHER, tcp(2004), "allowed"),
    ("label exclusion", "blog", "full", EITHER, tcp(2004), "blocked"),
    ("workload", "wiki", "full", EITHER, tcp(2005), "allowed"),
    ("workload", "blog", "full", EITHER, tcp(2005), "blocked"),
    ("ip list", "wiki", "full", EITHER, tcp(2006), "allowed"),
    ("ip list, excluded", "blog", "full", EITHER, tcp(2006), "blocked"),
    ("to an ip list", "full", "wiki", EITHER, udp(2007), "allowed"),
    ("to an ip list, excluded", "full", "blog", EITHER, udp(2007), "blocked"),
    ("boundary to an ip list", "selective", "wiki", EITHER, tcp(2008), "blocked"),
    ("boundary to an ip list", "selective", "blog", EITHER, tcp(2008), "potentially_blocked"),
    ("virtual service", "peer", "selective", EITHER, tcp(2010), "allowed"),
    ("virtual service", "full", "selective", EITHER, tcp(2010), "allowed"),
    ("port override", "peer", "full", EITHER, tcp(2011), "allowed"),
    ("port override", "peer", "full", EITHER, tcp(2010), "blocked"),
    ("port override", "full", "selective", EITHER, tcp(2011), "blocked"),
    ("ip override", "full", "wiki", EITHER, tcp(2012), "allowed"),
    ("ip override", "full", "blog", EITHER, tcp(2012), "blocked"),
    ("below a range", "peer", "full", EITHER, tcp(2019), "blocked"),
    ("range", "peer", "full", EITHER, tcp(2020), "allowed"),
    ("range", "full", "peer", EITHER, udp(2029), "allowed"),
    ("above a range", "peer", "full", EITHER, tcp(2030), "blocked"),
    ("service by name", "peer", "full", EITHER, tcp(2040), "allowed"),
    ("service by name", "peer", "full", EITHER, udp(2041), "allowed"),
    ("service by name", "peer", "full", EITHER, tcp(2041), "blocked"),
    ("all services", "friend", "full", EITHER, tcp(2050), "allowed"),
    ("all services", "friend", "full", EITHER, udp(2050), "allowed"),
    ("all services", "friend", "full", (4,), PING, "allowed"),
    ("all services", "friend", "full", (6,), PING6, "allowed"),
    ("all services", "friend", "full", EITHER, Traffic(UNKNOWN), "allowed"),
    ("unknown protocol", "full", "wiki", EITHER, Traffic(UNKNOWN), "blocked"),
    ("all services denied", "foe", "selective", EITHER, tcp(2050), "blocked"),
    ("all services denied", "foe", "selective", EITHER, udp(2050), "blocked"),
    ("all services denied", "foe", "selective", (4,), PING, "blocked"),
    ("all services denied", "foe", "selective", (6,), PING6, "blocked"),
    ("all services denied", "foe", "selective", EITHER, Traffic(UNKNOWN), "blocked"),
    ("all services denied", "selective", "foe", EITHER, tcp(2050), "potentially_blocked"),
    ("one protocol denied", "selective", "foe", EITHER, udp(2051), "blocked"),
    ("icmp type", "peer", "full", (4,), TIMESTAMP, "allowed"),
    ("icmp type", "full", "peer", (4,), TIMESTAMP, "blocked"),
    ("another icmp type", "peer", "full", (4,), PING, "blocked"),
    ("offline", "gone", "full", EITHER, tcp(PORT["allow"]), "blocked"),
    ("offline", "gone", "selective", EITHER, tcp(PORT["deny"]), "potentially_blocked"),
    ("ipv6 without rules", "peer", "old", (6,), tcp(PORT["deny"]), "allowed"),
    ("ipv6 without rules", "old", "peer", (6,), udp(PORT["none"]), "allowed"),
    ("ipv6 without rules", "peer", "old", (4,), tcp(PORT["deny"]), "blocked"),
)  # fmt: skip

ROWS: tuple[Row, ...] = (
    *judged_by_one(),
    *judged_by_both(),
    *(
        Row(why, source, target, family, traffic, verdict)
        for why, source, target, families, traffic, verdict in CASES
        for family in families
    ),
)

ROWS_WITHOUT_IPV6 = (
    Row("ipv6 blocked", "peer", "full", 6, tcp(2021), "blocked"),
    Row("ipv6 blocked", "full", "peer", 6, udp(2022), "blocked"),
    Row("ipv6 blocked", "peer", "old", 6, tcp(2021), "blocked"),
    Row("ipv6 blocked", "peer", "full", 4, tcp(2021), "allowed"),
    Row("ipv6 blocked in full only", "peer", "selective", 6, tcp(2021), "allowed"),
    Row("ipv6 blocked in full only", "foe", "selective", 6, tcp(2021), "blocked"),
)
"""With the firewall settings that block IPv6 whole in full enforcement. None of them is in ``ROWS``
too: traffic logs still tell of those."""

EVERYBODY = Actor("ams")
SHOPS = Actor("label", SHOP)


def rule(
    number: int,
    providers: tuple[Actor, ...],
    consumers: tuple[Actor, ...],
    *named: Service | str,
    action: Literal["allow", "deny", "override_deny"] = "allow",
    **more: bool,
) -> Rule:
    return Rule(f"rule {number}", action, providers, consumers, named, **more)  # type: ignore[arg-type]


def rules_of_the_table() -> Iterator[Rule]:
    """Among all shops, both ways, every action that a kind of rule names."""
    number = itertools.count()
    for kind in EXPECTED:
        for word in kind.split():
            action = word.removeprefix("disabled_")
            if action in ("allow", "deny", "override_deny"):
                yield rule(
                    next(number),
                    (SHOPS,),
                    (SHOPS,),
                    *services(kind),
                    action=action,  # type: ignore[arg-type]
                    enabled=action == word,
                )


def boundaries_of_the_table() -> Iterator[Rule]:
    for number, kind in enumerate(EXPECTED):
        if "boundary" in kind.split():
            yield Rule(f"boundary {number}", "deny", (SHOPS,), (SHOPS,), services(kind))


def at(port: int, to_port: int | None = None, proto: int = TCP) -> Service:
    return Service(proto=proto, port=port, to_port=to_port)


ALL_BUT_BLOG = Actor("ip_list", "all but blog")
PEER, WIKI_HOST, FRIEND, FOE = (Actor("workload", n) for n in ("peer", "wiki", "friend", "foe"))
EVERY_SERVICE = Service(proto=-1)

RULE_SETS_OF_CASES = (
    RuleSet("scoped", (rule(100, (EVERYBODY,), (EVERYBODY,), at(2000)),), ((SHOPS,),)),
    RuleSet(
        "extra-scope",
        (rule(101, (EVERYBODY,), (EVERYBODY,), at(2001), unscoped_consumers=True),),
        ((SHOPS,),),
    ),
    RuleSet(
        "two scopes",
        (rule(102, (EVERYBODY,), (EVERYBODY,), at(2002)),),
        ((SHOPS,), (Actor("label", BLOG),)),
    ),
    RuleSet(
        "without scope",
        (
            rule(103, (SHOPS,), (Actor("label_group", "outer"),), at(2003)),
            rule(104, (SHOPS,), (EVERYBODY, Actor("label", BLOG, exclusion=True)), at(2004)),
            rule(105, (SHOPS,), (WIKI_HOST,), at(2005)),
            rule(106, (SHOPS,), (ALL_BUT_BLOG,), at(2006)),
            rule(107, (ALL_BUT_BLOG,), (SHOPS,), at(2007, proto=UDP)),
            rule(110, (Actor("virtual_service", "desk"),), (EVERYBODY,)),
            rule(112, (Actor("virtual_service", "balanced"),), (EVERYBODY,)),
            rule(120, (SHOPS,), (SHOPS,), at(2020, 2029), at(2020, 2029, UDP)),
            rule(140, (SHOPS,), (SHOPS,), "named"),
            rule(150, (SHOPS,), (FRIEND,), EVERY_SERVICE),
            rule(151, (SHOPS,), (FOE,), EVERY_SERVICE, action="override_deny"),
            rule(152, (FOE,), (SHOPS,), Service(proto=UDP), action="deny"),
            rule(153, (SHOPS,), (PEER,), Service(proto=ICMP, icmp_type=13)),
        ),
    ),
)


def estate_on(network: Network) -> Estate:
    """The estate of all rows, with the addresses of ``network``."""

    def addresses(name: str) -> tuple[str, str]:
        return network[name].ipv4, network[name].ipv6

    def workload(name: str) -> Workload:
        return Workload(
            id=name,
            labels={"app": LABELS[name]} if name in LABELS else {},
            addresses=addresses(name),
            managed=name in MANAGED,
            in_policy=name != "gone",
            enforcement_mode=name if name in MODES else "full",  # type: ignore[arg-type]
            visibility_level="enhanced_data_collection",
            ipv6_support="all_or_nothing" if name == "old" else "by_rules",
            bound=BOUND.get(name, frozenset()),
        )

    others = IpList(
        (
            IpRange("10.77.0.0/24"),
            IpRange("fd77::/64"),
            *(IpRange(address, exclusion=True) for address in addresses("blog")),
        )
    )
    return Estate(
        workloads=tuple(workload(name) for name in network.hosts),
        label_keys=LABEL_KEYS,
        label_groups={
            "outer": LabelGroup("app", sub_groups=("inner",)),
            "inner": LabelGroup("app", (BLOG,)),
        },
        ip_lists={"all but blog": others},
        services={"named": (at(2040), at(2041, proto=UDP))},
        virtual_services={
            "desk": VirtualService(
                services=(at(2010),),
                port_overrides={"desk elsewhere": (PortOverride(TCP, 2010, 2011),)},
            ),
            "balanced": VirtualService(
                services=(at(2012),), ip_overrides=tuple(map(IpRange, addresses("wiki")))
            ),
        },
        rule_sets=(RuleSet("table", tuple(rules_of_the_table())), *RULE_SETS_OF_CASES),
        boundaries=(
            *boundaries_of_the_table(),
            Rule("boundary ip", "deny", (ALL_BUT_BLOG,), (SHOPS,), (at(2008),)),
        ),
    )
