"""From a policy document to the nftables table that enforces it; pure.

The table ``inet ven`` has two base chains. A packet passes through ``in`` or ``out`` like this::

    loopback ------------------------------------------------> accept
    judged in this epoch (ct mark, see ven.core.mark) -------> what was decided then
    neighbour discovery, DHCP, IGMP, ICMP errors ------------> accept
    invalid or untracked ------------------------------------> drop in full enforcement, else accept
    any other, of a connection that the peer opened ---------> judge_in
               of a connection that this host opened --------> judge_out

``judge_in`` and ``judge_out`` hold one rule per document rule, address set and service, strongest
tier first, then the mode's default. They match the *connection* (``ct original``, ``ct reply``),
not the packet, so that packets of either direction and the far side of address translation are
judged alike. Each writes its verdict into the mark and goes to ``allowed`` or ``refused``.

Members of the document's sets are put in hash sets when they are single addresses and in interval
sets when they are not: a hash set takes a change in constant time whatever its size.
"""

import hashlib
import re
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Literal

from msgspec import Struct

from ven.core.kernel import Decision
from ven.core.mark import (
    BLOCKED,
    DENY_RULE,
    EPOCH_MASK,
    EPOCH_SHIFT,
    NO_RULE,
    OURS,
    OVERRIDE_DENY,
    VERDICT_SHIFT,
    verdict_bits,
)
from ven_protocol.policy import PolicyDocument, Rule, Service

TABLE = "ven"
PRIORITY = -5
"""Before other software's filter chains (0), after destination NAT (-100): we judge the real
destination."""

NFLOG_GROUP = 4713
"""Unlikely to be anybody else's; a group has one reader per network namespace."""
LOG_PER_SECOND = 200
LOG_BURST = 400
"""Refused packets above this rate are counted in the kernel, not sent one by one."""
LOG_BATCH = 64
"""Packets per read: four times cheaper than one by one. The smaller of this and the reader's
threshold holds."""

SNAP_BYTES = 96
"""Of each packet: an IPv6 header with an extension, and ports."""

DROP_KEYS = 65_536
"""Distinct (verdict, source, destination, protocol, port) that are counted between two readings.
Sources can be forged, so there must be a limit; beyond it refused packets are dropped uncounted."""
DROP_KEY_LIFETIME = "15m"
"""Longer than the longest time between two readings, a flow interval of 10 minutes."""

_PORT_PROTOCOLS = (6, 17, 33, 132, 136)
"""TCP, UDP, DCCP, SCTP, UDP-Lite: those whose ports conntrack knows."""
_ICMP = {4: 1, 6: 58}

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_./:-]")

Family = Literal[4, 6]
_FAMILIES: tuple[tuple[Family, str], ...] = ((4, "ip"), (6, "ip6"))
Direction = Literal["in", "out"]
_DIRECTIONS: tuple[Direction, ...] = ("in", "out")


class AddressSet(Struct, frozen=True):
    """Contents of one kernel set."""

    family: Family
    ranges: bool
    """Members are ranges (first and last address joined), else addresses."""
    members: frozenset[bytes]
    """Packed in network order: 4 or 16 bytes, twice that for ranges. Ranges neither overlap nor
    touch."""


class Ruleset(Struct, frozen=True, kw_only=True):
    """The desired table. Two of them with equal ``chains`` and the same sets differ only in
    members, which the kernel can be told one by one."""

    chains: str
    """Text of all chains but the volatile ones (:func:`volatile_chains`)."""
    sets: dict[str, AddressSet]
    """By name in the kernel; only those that a rule uses, and none empty."""
    rules: int
    """Kernel rules that judge connections."""


class Endpoint(Struct, frozen=True, order=True):
    """Something that this host must be able to reach whatever the policy says."""

    address: str
    proto: int
    port: int


class BadPolicy(ValueError):
    """A document that cannot be enforced; the text names the set and the member."""


def compile_ruleset(
    document: PolicyDocument,
    lifelines: Iterable[Endpoint] = (),
    *,
    nflog_group: int = NFLOG_GROUP,
) -> Ruleset | None:
    """The table that enforces ``document``, or None when there must not be one (mode ``idle``).

    ``lifelines``: the PCE and what is needed to find it. Raises :class:`BadPolicy`. Linear in
    members and in rules x sets x services; 10,000 addresses take about 10 ms.
    """
    if document.mode == "idle":
        return None
    families: tuple[Family, ...] = (4, 6)
    if document.mode == "full" and document.block_ipv6_in_full:
        families = (4,)  # nothing allows IPv6, so full enforcement's default drops it

    sets: dict[str, AddressSet] = {}
    by_id: dict[str, list[str]] = {}
    for set_id in sorted({peer for rule in document.rules for peer in rule.peers}):
        if set_id not in document.sets:
            raise BadPolicy(f"rule names set {set_id!r}, which the policy does not hold")
        found = dict(_address_sets(set_id, document.sets[set_id], families))
        by_id[set_id] = sorted(found)
        sets.update(found)

    judges: dict[Direction, list[str]] = {"in": [], "out": list(_lifelines(lifelines, sets))}
    tiers: tuple[tuple[str, int], ...] = (
        ("override_deny", OVERRIDE_DENY),
        ("allow", NO_RULE),
        ("deny", DENY_RULE),
    )
    for action, qualifier in tiers:
        for slot, rule in enumerate(document.rules, 1):
            if rule.action == action:
                names = [name for set_id in rule.peers for name in by_id[set_id]]
                bits, target = _verdict(document, rule, qualifier, slot)
                judges[rule.direction] += _rule_lines(rule, names, sets, bits, target)
    rules = len(judges["in"]) + len(judges["out"])
    return Ruleset(chains=_chains(document, judges, nflog_group), sets=sets, rules=rules)


def volatile_chains(epoch: int, side: str) -> str:
    """The chains that every commit replaces, as text; the edge replaces them alone by netlink.

    ``side``: which of the two groups of counting sets, ``a`` or ``b``, is being filled."""
    return f"""
    chain fresh {{
        ct mark and {EPOCH_MASK:#010x} == {epoch << EPOCH_SHIFT:#010x} goto decided
    }}
    chain stamp {{
        ct mark set ct mark and {0xFFFFFFFF ^ EPOCH_MASK:#010x} or {epoch << EPOCH_SHIFT:#010x}
    }}
    chain count {{
        jump count_{side}
    }}"""


def transaction(desired: Ruleset, held: Ruleset | None, epoch: int, side: str) -> str:
    """Input of ``nft -f`` that turns what the kernel holds into ``desired`` at one instant.

    ``held`` None: the kernel's table is missing or unknown, and is replaced whole. Otherwise the
    counting sets stay, and only sets whose members differ are sent.
    """
    parts = [f"add table inet {TABLE}"]
    kept: dict[str, AddressSet] = {}
    if held is None:
        parts.append(f"delete table inet {TABLE}")
    else:
        parts.append(f"flush table inet {TABLE}")
        for name, contents in held.sets.items():
            if name in desired.sets:
                kept[name] = contents
                if contents != desired.sets[name]:
                    parts.append(f"flush set inet {TABLE} {name}")
            else:
                parts.append(f"delete set inet {TABLE} {name}")
    parts.append(f"table inet {TABLE} {{")
    if held is None:
        parts.append(_counting_sets())
    parts += [
        f"    set {name} {{ {_declaration(contents)} }}"
        for name, contents in desired.sets.items()
        if name not in kept
    ]
    parts += [volatile_chains(epoch, side), desired.chains, "}"]
    parts += [
        f"add element inet {TABLE} {name} {{ {', '.join(members_text(contents))} }}"
        for name, contents in desired.sets.items()
        if kept.get(name) != contents
    ]
    return "\n".join(parts) + "\n"


def member_changes(
    held: Ruleset, desired: Ruleset
) -> dict[str, tuple[frozenset[bytes], frozenset[bytes]]] | None:
    """Set name -> (members to remove, members to add), or None when more than members differ."""
    if held.chains != desired.chains or held.sets.keys() != desired.sets.keys():
        return None
    return {
        name: (held.sets[name].members - new.members, new.members - held.sets[name].members)
        for name, new in desired.sets.items()
        if new.members != held.sets[name].members
    }


def members_text(contents: AddressSet) -> Iterator[str]:
    """Members as nft writes them, in order."""
    af = _socket_family(contents.family)
    for member in sorted(contents.members):
        if contents.ranges:
            half = len(member) // 2
            first, last = socket.inet_ntop(af, member[:half]), socket.inet_ntop(af, member[half:])
            yield f"{first}-{last}" if first != last else first
        else:
            yield socket.inet_ntop(af, member)


# --- sets


def _address_sets(
    set_id: str, members: list[str], families: tuple[Family, ...]
) -> Iterator[tuple[str, AddressSet]]:
    addresses: dict[Family, set[bytes]] = {4: set(), 6: set()}
    ranges: dict[Family, list[tuple[int, int]]] = {4: [], 6: []}
    for member in members:
        try:
            if "/" in member or "-" in member:
                family, first, last = _range(member)
                ranges[family].append((first, last))
            elif ":" in member:
                addresses[6].add(socket.inet_pton(socket.AF_INET6, member))
            else:
                addresses[4].add(socket.inet_pton(socket.AF_INET, member))
        except (OSError, ValueError) as error:
            raise BadPolicy(f"set {set_id!r} holds {member!r}: {error}") from None
    name = set_id if _PLAIN_NAME.fullmatch(set_id) else "_" + _digest(set_id)
    for family in families:
        size = 4 if family == 4 else 16
        merged = list(_merged(ranges[family]))
        # A range of one address is an address.
        addresses[family].update(first.to_bytes(size) for first, last in merged if first == last)
        if addresses[family]:
            yield f"a{family}_{name}", AddressSet(family, False, frozenset(addresses[family]))
        packed = frozenset(
            first.to_bytes(size) + last.to_bytes(size) for first, last in merged if first != last
        )
        if packed:
            yield f"r{family}_{name}", AddressSet(family, True, packed)


def _range(member: str) -> tuple[Family, int, int]:
    if "/" in member:
        network = ip_network(member)
        family: Family = 4 if network.version == 4 else 6
        return family, int(network.network_address), int(network.broadcast_address)
    first, last = map(ip_address, member.split("-"))
    if first.version != last.version or int(first) > int(last):
        raise ValueError("a range goes from an address to a higher one of the same family")
    return (4 if first.version == 4 else 6), int(first), int(last)


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Overlapping and touching ranges joined, because the kernel refuses overlaps."""
    current: tuple[int, int] | None = None
    for first, last in sorted(ranges):
        if current is None:
            current = first, last
        elif first <= current[1] + 1:
            current = current[0], max(current[1], last)
        else:
            yield current
            current = first, last
    if current is not None:
        yield current


def _declaration(contents: AddressSet) -> str:
    kind = f"type ipv{contents.family}_addr"
    return f"{kind}; flags interval;" if contents.ranges else f"{kind};"


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:24]


def _socket_family(family: Family) -> int:
    return socket.AF_INET if family == 4 else socket.AF_INET6


# --- rules that judge


def _verdict(document: PolicyDocument, rule: Rule, qualifier: int, slot: int) -> tuple[int, str]:
    """Mark bits and target chain of a rule."""
    if rule.action == "allow":
        return verdict_bits(Decision.ALLOWED, 0, rule.direction, slot), "allowed"
    if document.mode == "visibility_only":
        bits = verdict_bits(Decision.POTENTIALLY_BLOCKED, qualifier, rule.direction, slot)
        return bits, "allowed"
    return verdict_bits(Decision.BLOCKED, qualifier, rule.direction, slot), "refused"


def _default(document: PolicyDocument, direction: Direction) -> str:
    if document.mode == "full":
        return _decide(verdict_bits(Decision.BLOCKED, NO_RULE, direction, 0), "refused")
    return _decide(verdict_bits(Decision.POTENTIALLY_BLOCKED, NO_RULE, direction, 0), "allowed")


def _decide(bits: int, target: str) -> str:
    return f"ct mark set ct mark and {0xFFFFFFFF ^ OURS:#010x} or {bits:#010x} goto {target}"


def _rule_lines(
    rule: Rule, names: list[str], sets: dict[str, AddressSet], bits: int, target: str
) -> Iterator[str]:
    comment = _UNSAFE.sub("_", rule.id)[:100]
    for name in dict.fromkeys(names):
        family = sets[name].family
        for service in service_matches(rule.services, family):
            yield (
                f"{_peer(rule.direction, family)} @{name} {service}{_decide(bits, target)}"
                f' comment "{comment}"'
            )


def _peer(direction: Direction, family: Family) -> str:
    # The responder of the reply tuple is the real one after destination NAT.
    side = "original" if direction == "in" else "reply"
    return f"ct {side} {'ip' if family == 4 else 'ip6'} saddr"


def service_matches(services: Iterable[Service], family: Family) -> list[str]:
    """nft expressions, each with a space behind it, one of which matches when a service does."""
    whole: set[int] = set()
    ports: dict[int, list[tuple[int, int]]] = {}
    for service in services:
        has_type = service.icmp_type is not None or service.icmp_code is not None
        if service.proto == -1 and service.port is None and not has_type:
            return [""]
        for proto in (*_PORT_PROTOCOLS, _ICMP[family]) if service.proto == -1 else (service.proto,):
            found = list(_service_ranges(service, proto, has_type))
            if found == [(0, 0xFFFF)]:
                whole.add(proto)
            elif found and not (proto in _ICMP.values() and proto != _ICMP[family]):
                ports.setdefault(proto, []).extend(found)
    lines = [f"meta l4proto {{ {', '.join(map(str, sorted(whole)))} }} "] if whole else []
    for proto in sorted(ports.keys() - whole):
        # Of a reply the source port is the service; conntrack keeps an ICMP type and code where
        # the original has its destination port.
        key = "ct original proto-dst" if proto in _ICMP.values() else "ct reply proto-src"
        ranges = (f"{a}-{b}" if a != b else str(a) for a, b in _merged(ports[proto]))
        lines.append(f"meta l4proto {proto} {key} {{ {', '.join(ranges)} }} ")
    return lines


def _service_ranges(service: Service, proto: int, has_type: bool) -> Iterator[tuple[int, int]]:
    """Ranges of the 16 bits that name a service within ``proto``; none when it cannot match."""
    if service.port is not None:
        if proto in _PORT_PROTOCOLS and not has_type:
            yield service.port, service.port if service.to_port is None else service.to_port
    elif not has_type:
        yield 0, 0xFFFF
    elif proto in _ICMP.values():
        types = range(256) if service.icmp_type is None else (service.icmp_type,)
        for kind in types:
            if service.icmp_code is None:
                yield kind << 8, kind << 8 | 0xFF
            else:
                yield kind << 8 | service.icmp_code, kind << 8 | service.icmp_code


def _lifelines(endpoints: Iterable[Endpoint], sets: dict[str, AddressSet]) -> Iterator[str]:
    """Rules that come before the policy; their sets are added to ``sets``."""
    groups: dict[tuple[Family, int, int], set[bytes]] = {}
    for endpoint in endpoints:
        try:
            address = ip_address(endpoint.address)
        except ValueError:
            raise BadPolicy(f"lifeline {endpoint.address!r} is no address") from None
        family: Family = 4 if address.version == 4 else 6
        groups.setdefault((family, endpoint.proto, endpoint.port), set()).add(address.packed)
    bits = verdict_bits(Decision.ALLOWED, 0, "out", 0)
    for (family, proto, port), addresses in sorted(groups.items()):
        name = f"lifeline{family}_{proto}_{port}"
        sets[name] = AddressSet(family, False, frozenset(addresses))
        yield (
            f"{_peer('out', family)} @{name} meta l4proto {proto} ct reply proto-src {port} "
            f"{_decide(bits, 'allowed')}"
        )


# --- the fixed part of the table


def _chains(document: PolicyDocument, judges: dict[Direction, list[str]], nflog_group: int) -> str:
    full = document.mode == "full"
    # Emptied by somebody else, full enforcement fails closed.
    policy = "drop" if full else "accept"
    unjudged = "drop" if full else "accept"
    refused = "" if document.visibility == "flow_off" else _REPORT
    return f"""
    chain decided {{
        ct mark and {BLOCKED:#010x} == {BLOCKED:#010x} drop
        accept
    }}
    chain allowed {{
        jump stamp
        accept
    }}
{_counting_chains()}
{_logging_chain(nflog_group)}
    chain refused {{
        jump stamp{refused}
        drop
    }}
    chain judge_in {{
        {_lines(judges["in"], _default(document, "in"))}
    }}
    chain judge_out {{
        {_lines(judges["out"], _default(document, "out"))}
    }}
    chain essential {{
        icmpv6 type {{ {_DISCOVERY} }} ip6 hoplimit 255 accept
        icmpv6 type {{ {_LISTENERS} }} accept
        icmpv6 type {{ {_ERRORS} }} accept
        ct state related meta l4proto {{ icmp, ipv6-icmp }} accept
        meta l4proto igmp goto allowed
    }}
    chain in {{
        type filter hook input priority {PRIORITY}; policy {policy};
        iif lo accept
        jump fresh
        jump essential
        udp sport 67 udp dport 68 goto allowed
        ip6 saddr fe80::/10 udp sport 547 udp dport 546 goto allowed
        ct state invalid,untracked {unjudged}
        ct direction original goto judge_in
        goto judge_out
    }}
    chain out {{
        type filter hook output priority {PRIORITY}; policy {policy};
        oif lo accept
        jump fresh
        jump essential
        udp sport 68 udp dport 67 goto allowed
        udp sport 546 udp dport 547 goto allowed
        ct state invalid,untracked {unjudged}
        ct direction original goto judge_out
        goto judge_in
    }}"""


_REPORT = f"""
        limit rate {LOG_PER_SECOND}/second burst {LOG_BURST} packets goto logged
        jump count"""
"""Every refused packet is either logged or counted, never both: their sum is exact."""


def log_prefix(direction: Direction, qualifier: int) -> str:
    """What comes with every logged packet: the connection's direction, and why it is blocked."""
    return f"{direction} {qualifier}"


LOG_PREFIXES: dict[str, tuple[Direction, int]] = {
    log_prefix(direction, qualifier): (direction, qualifier)
    for direction in _DIRECTIONS
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
    return "    chain logged {\n        " + _lines(lines, "drop") + "\n    }"


_DISCOVERY = "nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert"
_LISTENERS = "mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report"
_ERRORS = "destination-unreachable, packet-too-big, time-exceeded, parameter-problem"


def _lines(rules: list[str], last: str) -> str:
    return "\n        ".join([*rules, last])


def counting_set(family: Family, side: str) -> str:
    """Name of the set that counts refused packets above the logging rate."""
    return f"drops{family}_{side}"


def _counting_sets() -> str:
    return "\n".join(
        f"    set {counting_set(family, side)} {{"
        f" type mark . ipv{family}_addr . ipv{family}_addr . inet_proto . inet_service;"
        f" size {DROP_KEYS}; flags dynamic,timeout; timeout {DROP_KEY_LIFETIME}; }}"
        for side in ("a", "b")
        for family, _ip in _FAMILIES
    )


def _counting_chains() -> str:
    """One chain per side. The last part of a key is the service: the port of the responder, or
    the ICMP type and code. The verdict is never in these rules: a full set ends the rule."""
    ported = f"meta l4proto {{ {', '.join(map(str, _PORT_PROTOCOLS))} }}"
    others = ", ".join(map(str, (*_PORT_PROTOCOLS, 1, 58)))
    places = (
        (f"{ported} ct direction original", "@th,16,16"),
        (f"{ported} ct direction reply", "@th,0,16"),
        ("meta l4proto { icmp, ipv6-icmp }", "@th,0,16"),
        (f"meta l4proto != {{ {others} }}", "0"),
    )
    chains = []
    for side in ("a", "b"):
        lines = [
            f"{match} update @{counting_set(family, side)} {{"
            f" ct mark and {OURS ^ EPOCH_MASK:#010x} . ct original {ip} saddr . ct reply {ip} saddr"
            f" . meta l4proto . {service} counter }}"
            for family, ip in _FAMILIES
            for match, service in places
        ]
        body = "\n        ".join(lines)
        chains.append(f"    chain count_{side} {{\n        {body}\n    }}")
    return "\n".join(chains)
