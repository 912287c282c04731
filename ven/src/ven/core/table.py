"""The text of the table ``inet ven``; pure.

A packet passes through the base chain ``in`` or ``out`` like this::

    loopback ------------------------------------------------> accept
    judged in this epoch (ct mark, see ven.core.mark) -------> what was decided then
    neighbour discovery, DHCP, IGMP, ICMP errors ------------> accept
    untracked, because a stateless rule allows it -----------> accept
    invalid or untracked otherwise --------------------------> drop in full enforcement, else accept
    any other, of a connection that the peer opened ---------> judge_in
               of a connection that this host opened --------> judge_out

``judge_in`` and ``judge_out`` hold the policy (``ven.core.ruleset``). Each of their rules writes
its verdict into the mark and goes to ``allowed`` or ``refused``, which add the epoch. ``refused``
logs or counts; ``allowed`` notes the user of a new connection and, in sampling mode, counts it
(``ven.core.counting``). ``raw_in`` and ``raw_out`` come before connection tracking and keep from it
what stateless rules allow.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from ven.core.counting import counting_chains, counting_sets
from ven.core.kernel import Decision
from ven.core.mark import (
    BLOCKED,
    DENY_RULE,
    EPOCH_MASK,
    EPOCH_SHIFT,
    NO_RULE,
    OURS,
    OUTBOUND,
    OVERRIDE_DENY,
    VERDICT_SHIFT,
    verdict_bits,
)
from ven.core.services import FAMILIES
from ven_protocol.policy import Firewall

Direction = Literal["in", "out"]
DIRECTIONS: tuple[Direction, ...] = ("in", "out")

TABLE = "ven"
PRIORITIES = {"first": -5, "last": 5}
"""Before other software's filter chains (0), or after them; after destination NAT (-100): we judge
the real destination. The chains of each have names of their own, since a chain keeps its priority
for life."""

NFLOG_GROUP = 4713
"""Unlikely to be anybody else's; a group has one reader per network namespace."""
LOG_PER_SECOND = 200
LOG_BURST = 400
"""Refused packets above this rate are counted in the kernel, not sent one by one."""
LOG_BATCH = 64
"""Packets per read: four times cheaper than one by one. The smaller of this and the reader's
threshold holds."""

ANSWERS_PER_SECOND = 1_000
"""Above it some are missed; reading one costs 30 microseconds."""
ANSWER_BYTES = 65_531
"""Of each: all, as far as a netlink attribute can hold it."""
DNS_PORT = 53

SNAP_BYTES = 96
"""Of each packet: an IPv6 header with an extension, and ports."""


def answers_group(nflog_group: int) -> int:
    """The NFLOG group of name servers' answers, beside that of refused packets."""
    return nflog_group + 1


class Volatile(Struct, frozen=True, kw_only=True):
    """What changes without a change of the rules."""

    epoch: int
    drops: str = "a"
    """The group of sets that is being filled with refused packets (``ven.core.counting``)."""
    begun: str = ""
    """The same for connections that are untold; empty when all are told."""


def table_text(chains: str, volatile: Volatile, with_counting_sets: bool) -> str:
    """The table without the policy's sets, as nft reads it. ``chains``: from
    :func:`policy_chains`."""
    sets = counting_sets() if with_counting_sets else ""
    return f"table inet {TABLE} {{\n{sets}{_volatile_chains(volatile)}{chains}\n}}\n"


def chain_names(text: str) -> frozenset[str]:
    """The chains that a table's text makes."""
    return frozenset(re.findall(r"^ *chain (\w+) \{", text, re.MULTILINE))


def replacing(gone_chains: Iterable[str], gone_sets: Iterable[str]) -> str:
    """What stands before :func:`table_text` so that both together replace the rules at one instant:
    rules go, sets stay except those named."""
    lines = [f"add table inet {TABLE}", f"flush table inet {TABLE}"]
    lines += [f"delete chain inet {TABLE} {name}" for name in gone_chains]
    lines += [f"delete set inet {TABLE} {name}" for name in gone_sets]
    return "\n".join(lines) + "\n"


def _volatile_chains(volatile: Volatile) -> str:
    """Replaced alone, by netlink, with every new epoch and every exchange of counting sets: keep
    ``ven.edge.nft_messages`` the same."""
    epoch = volatile.epoch << EPOCH_SHIFT
    return f"""
    chain fresh {{
        ct mark and {EPOCH_MASK:#010x} == {epoch:#010x} goto decided
    }}
    chain stamp {{
        ct mark set ct mark and {0xFFFFFFFF ^ EPOCH_MASK:#010x} or {epoch:#010x}
    }}
    chain count {{
        jump drops_{volatile.drops}
    }}
    chain sample {{
        {f"jump begun_{volatile.begun}" if volatile.begun else ""}
    }}"""


def policy_chains(
    judges: Mapping[Direction, Iterable[str]],
    stateless: Mapping[str, Iterable[str]],
    strays: Mapping[str, Iterable[str]],
    firewall: Firewall,
    *,
    closed: bool,
    reported: bool,
    nflog_group: int,
    resolvers: Iterable[str] = (),
    containers: Iterable[str] = (),
) -> str:
    """All chains that do not change with the epoch.

    ``judges``: the rules of ``judge_in`` and ``judge_out``, each list ending with a verdict about
    everything. ``stateless``: the chains ``asked_in``, ``answered_in``, ``asked_out`` and
    ``answered_out``, as far as there are stateless rules. ``strays``: the chains ``stray_in`` and
    ``stray_out`` for invalid packets, as far as some are dropped where others pass. ``closed``:
    what cannot be judged is dropped. ``reported``: refused packets are logged or counted.
    ``resolvers``: name servers whose answers are logged. ``containers``: interfaces behind which
    this host's containers are; what it forwards to and from them is judged, too."""
    # Emptied by somebody else, a chain of full enforcement fails closed.
    policy = unjudged = "drop" if closed else "accept"
    prefix = "" if firewall.order == "first" else "late_"
    priority = PRIORITIES[firewall.order]
    rejects = firewall.reject_blocked
    last = [f"ct state invalid,untracked {unjudged}"]
    if firewall.ipv6 == "allowed":
        last.insert(0, "meta nfproto ipv6 ct state invalid,untracked accept")
    inbound = [
        *_observed(resolvers, answers_group(nflog_group)),
        *("iif lo accept", "jump fresh", "jump essential"),
        *(_DHCP_IN if firewall.allow_dhcp_client else ()),
        *_jumps(stateless, _ARRIVING, "ct state untracked "),
        *_jumps(strays, ("stray_in",), "ct state invalid "),
        *last,
    ]
    outbound = [
        *("oif lo goto own", *(_REJECTION if rejects else ()), "jump fresh", "jump essential"),
        *(_DHCP_OUT if firewall.allow_dhcp_client else ()),
        *_jumps(stateless, _LEAVING, "ct state untracked "),
        *_jumps(strays, ("stray_out",), "ct state invalid "),
        *last,
    ]
    return f"""
    chain blocked {{
        {_lines(_REJECT if rejects else ("drop",))}
    }}
    chain decided {{
        ct mark and {BLOCKED:#010x} == {BLOCKED:#010x} goto blocked
        accept
    }}
    chain allowed {{
        jump stamp
        {_FIRST_PACKET} goto begun
        accept
    }}
    chain begun {{
        ct mark and {OUTBOUND:#010x} == {OUTBOUND:#010x} jump used
        jump sample
        accept
    }}
    chain own {{
        {_FIRST_PACKET} jump sample
        accept
    }}
{counting_chains()}
{_logging_chain(nflog_group)}
    chain refused {{
        jump stamp{_FORWARDED if reported and containers else ""}{_REPORT if reported else ""}
        goto blocked
    }}
    chain judge_in {{
        {_lines(judges["in"])}
    }}
    chain judge_out {{
        {_lines(judges["out"])}
    }}
    chain essential {{
        {_lines(_essential(firewall))}
    }}{_chains(strays)}{_stateless_chains(stateless)}
    chain {prefix}in {{
        type filter hook input priority {priority}; policy {policy};
        {_lines(inbound)}
        ct direction original goto judge_in
        goto judge_out
    }}
    chain {prefix}out {{
        type filter hook output priority {priority}; policy {policy};
        {_lines(outbound)}
        ct direction original goto judge_out
        goto judge_in
    }}{_forward_chain(f"{prefix}forward", priority, containers, last)}"""


def _forward_chain(name: str, priority: int, containers: Iterable[str], last: list[str]) -> str:
    """Judges what goes to and from containers as if their ends were this host's. What goes from one
    container of the host to another is like loopback; other forwarded traffic is left alone."""
    inside = ", ".join(f'"{container}"' for container in sorted(containers))
    if not inside:
        return ""
    lines = [
        f"iifname {{ {inside} }} oifname {{ {inside} }} accept",
        f"iifname != {{ {inside} }} oifname != {{ {inside} }} accept",
        *("jump fresh", "jump essential", *last),
        f"iifname {{ {inside} }} ct direction original goto judge_out",
        f"oifname {{ {inside} }} ct direction reply goto judge_out",
        "goto judge_in",
    ]
    return f"""
    chain {name} {{
        type filter hook forward priority {priority}; policy accept;
        {_lines(lines)}
    }}"""


_FORWARDED = """
        iif != 0 oif != 0 jump count
        iif != 0 oif != 0 goto blocked"""
"""Forwarded packets are only counted: of one that is logged it does not show which end is the
responder."""

_FIRST_PACKET = "ct status and confirmed == 0"
"""A connection is confirmed when its first packet has passed all hooks. Only before that can it be
said which of its events are told."""

_DHCP_IN = (
    "udp sport 67 udp dport 68 goto allowed",
    "ip6 saddr fe80::/10 udp sport 547 udp dport 546 goto allowed",
)
_DHCP_OUT = (
    "udp sport 68 udp dport 67 goto allowed",
    "udp sport 546 udp dport 547 goto allowed",
)

_REJECT = ("meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited")
_REJECTION = (
    # What the kernel answers for us belongs to a connection that is blocked, or to none.
    "ct state related tcp flags & rst == rst accept",
    "icmp type destination-unreachable icmp code admin-prohibited accept",
    "icmpv6 type destination-unreachable icmpv6 code admin-prohibited accept",
)

_ARRIVING = ("asked_in", "answered_out")
_LEAVING = ("asked_out", "answered_in")
"""Chains for stateless packets, by which way the packets go."""

_TRACKING = -300
"""Priority of the last chains before connection tracking (-200)."""


def _jumps(stateless: Mapping[str, Iterable[str]], chains: Iterable[str], match: str) -> list[str]:
    return [f"{match}jump {chain}" for chain in chains if chain in stateless]


def _chains(named: Mapping[str, Iterable[str]]) -> str:
    return "".join(
        f"\n    chain {name} {{\n        {_lines(lines)}\n    }}" for name, lines in named.items()
    )


def _stateless_chains(stateless: Mapping[str, Iterable[str]]) -> str:
    """The chains themselves, and those that keep their packets from connection tracking. The same
    lines that said "untracked" there let the packet pass later: another table's untracked packets
    are none of theirs."""
    chains = [_chains(stateless)]
    for name, hook, wanted in (("in", "prerouting", _ARRIVING), ("out", "output", _LEAVING)):
        jumps = _jumps(stateless, wanted, "")
        if jumps:
            loopback = f"{'i' if name == 'in' else 'o'}if lo accept"
            chains.append(f"""
    chain raw_{name} {{
        type filter hook {hook} priority {_TRACKING}; policy accept;
        {_lines([loopback, *jumps])}
    }}""")
    return "".join(chains)


def _essential(firewall: Firewall) -> list[str]:
    """Without which the network does not work, or what the firewall settings let pass."""
    lines = [
        f"icmpv6 type {{ {_DISCOVERY} }} ip6 hoplimit 255 accept",
        f"icmpv6 type {{ {_LISTENERS} }} accept",
        "icmpv6 type { packet-too-big, parameter-problem } accept",
        "icmp type destination-unreachable icmp code frag-needed accept",
        "ct state related meta l4proto { icmp, ipv6-icmp } accept",
    ]
    if firewall.allow_traceroute:
        lines += [
            f"{icmp} type {{ destination-unreachable, time-exceeded }} accept"
            for icmp in ("icmp", "icmpv6")
        ]
    if firewall.allow_igmp:
        lines.append("meta l4proto igmp goto allowed")
    return lines


def _observed(resolvers: Iterable[str], group: int) -> list[str]:
    """Rules that log the answers of name servers to questions of this host."""
    lines = []
    for family, ip in FAMILIES:
        found = sorted(a for a in set(resolvers) if (":" in a) == (family == 6))
        if found:
            lines.append(
                f"{ip} saddr {{ {', '.join(found)} }} meta l4proto {{ tcp, udp }}"
                f" th sport {DNS_PORT} ct direction reply limit rate {ANSWERS_PER_SECOND}/second"
                f" burst {ANSWERS_PER_SECOND} packets"
                f" log group {group} snaplen {ANSWER_BYTES} queue-threshold 1"
            )
    return lines


_REPORT = f"""
        limit rate {LOG_PER_SECOND}/second burst {LOG_BURST} packets goto logged
        jump count"""
"""Every refused packet is either logged or counted, never both: their sum is exact."""


def log_prefix(direction: Direction, qualifier: int) -> str:
    """What comes with every logged packet: the connection's direction, and why it is blocked."""
    return f"{direction} {qualifier}"


LOG_PREFIXES: dict[str, tuple[Direction, int]] = {
    log_prefix(direction, qualifier): (direction, qualifier)
    for direction in DIRECTIONS
    for qualifier in (NO_RULE, DENY_RULE, OVERRIDE_DENY)
}


def _logging_chain(group: int) -> str:
    mask = (0xF << VERDICT_SHIFT) & OURS
    lines = [
        f"ct mark and {mask:#010x} =="
        f" {verdict_bits(Decision.BLOCKED, qualifier, direction, 0):#010x}"
        f' log prefix "{prefix}" group {group} snaplen {SNAP_BYTES} queue-threshold {LOG_BATCH}'
        for prefix, (direction, qualifier) in LOG_PREFIXES.items()
    ]
    return "    chain logged {\n        " + _lines([*lines, "goto blocked"]) + "\n    }"


_DISCOVERY = "nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert"
_LISTENERS = "mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report"


def _lines(rules: Iterable[str]) -> str:
    return "\n        ".join(rules)
