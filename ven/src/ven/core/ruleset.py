"""From a policy document to the rules and sets that enforce it, and from one to the next; pure.

One nft rule per document rule, address set and service, strongest tier first, then the mode's
default. They match the *connection* (``ct original``, ``ct reply``), not the packet, so that
packets of either direction, and the far side of address translation, are judged alike. The table
around them is in ``ven.core.table``.

Members of the document's sets are put in hash sets when they are single addresses and in interval
sets when they are not: a hash set takes a change in constant time whatever its size.

A packet that is under way while the policy changes must not find a policy that is neither the old
nor the new one, so contents of sets and rules never change together (:func:`changed_sets`), and
sets are changed in place only where any mixture is harmless (:func:`member_changes`).
"""

import hashlib
import re
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import Literal

from msgspec import Struct

from ven.core.kernel import Decision
from ven.core.mark import DENY_RULE, NO_RULE, OURS, OVERRIDE_DENY, verdict_bits
from ven.core.table import (
    DIRECTIONS,
    NFLOG_GROUP,
    PORT_PROTOCOLS,
    Direction,
    Family,
    policy_chains,
)
from ven_protocol.policy import PolicyDocument, Rule, Service

Tier = Literal["lifeline", "override_deny", "allow", "deny"]

_ICMP: dict[Family, int] = {4: 1, 6: 58}

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_./:-]")


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
    members."""

    chains: str
    """Text of the chains (``ven.core.table.policy_chains``)."""
    sets: dict[str, AddressSet]
    """By the name that ``chains`` calls them; only those that a rule uses, and none empty."""
    uses: dict[str, frozenset[tuple[Direction, Tier]]]
    """What the rules that look into a set decide."""
    blocks: bool
    """False when whatever is decided, everything passes."""
    rules: int
    """Kernel rules that judge connections."""


class Held(Struct, frozen=True):
    """What the kernel holds: a ruleset, and what its sets are called there."""

    ruleset: Ruleset
    names: dict[str, str]


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
    if document.mode == "full" and document.firewall.ipv6 == "blocked_in_full":
        families = (4,)  # nothing allows IPv6, so full enforcement's default drops it

    sets: dict[str, AddressSet] = {}
    by_id: dict[str, list[str]] = {}
    for set_id in sorted({peer for rule in document.rules for peer in rule.peers}):
        if set_id not in document.sets:
            raise BadPolicy(f"rule names set {set_id!r}, which the policy does not hold")
        found = dict(_address_sets(set_id, document.sets[set_id], families))
        by_id[set_id] = sorted(found)
        sets.update(found)

    uses: dict[str, set[tuple[Direction, Tier]]] = {name: set() for name in sets}
    lines: dict[Direction, list[str]] = {"in": [], "out": list(_lifelines(lifelines, sets, uses))}
    tiers: tuple[tuple[Tier, int], ...] = (
        ("override_deny", OVERRIDE_DENY),
        ("allow", NO_RULE),
        ("deny", DENY_RULE),
    )
    for tier, qualifier in tiers:
        for slot, rule in enumerate(document.rules, 1):
            if rule.action == tier:
                names = [name for set_id in rule.peers for name in by_id[set_id]]
                bits, target = _verdict(document, rule, qualifier, slot)
                lines[rule.direction] += _rule_lines(rule, names, sets, bits, target)
                for name in names:
                    uses[name].add((rule.direction, tier))
    return Ruleset(
        chains=policy_chains(
            {direction: [*lines[direction], _default(document, direction)] for direction in lines},
            closed=document.mode == "full",
            reported=document.visibility != "flow_off",
            nflog_group=nflog_group,
        ),
        sets=sets,
        uses={name: frozenset(found) for name, found in uses.items()},
        blocks=document.mode != "visibility_only",
        rules=len(lines["in"]) + len(lines["out"]),
    )


def changed_sets(held: Held | None, desired: Ruleset) -> dict[str, AddressSet]:
    """Sets that have to be made anew when the rules are replaced.

    A set is never changed in the transaction that replaces the rules: a packet that is under way
    at the commit goes on through the old rules and would find the new members, and the kernel
    switches interval sets a moment after the rules. So it is made beforehand under a new name."""
    return {
        name: contents
        for name, contents in desired.sets.items()
        if held is None or held.ruleset.sets.get(name) != contents
    }


def with_kernel_names(chains: str, names: dict[str, str]) -> str:
    """The chains, with every set called as in the kernel."""
    return _SET_REFERENCE.sub(lambda found: f"@{names[found[1]]} ", chains)


_SET_REFERENCE = re.compile(r"(?<=saddr )@([A-Za-z0-9_]+) ")

MemberChanges = dict[str, tuple[frozenset[bytes], frozenset[bytes]]]
"""Set name -> (members to remove, members to add)."""


def member_changes(held: Ruleset, desired: Ruleset) -> MemberChanges | None:
    """What has to be told when the sets are changed in place, or None when that cannot be done.

    It cannot when the rules differ, or when a packet that is under way at the commit, and finds
    some sets old and some new, could pass although neither policy allows it."""
    if held.chains != desired.chains or held.sets.keys() != desired.sets.keys():
        return None
    changes = {
        name: (held.sets[name].members - new.members, new.members - held.sets[name].members)
        for name, new in desired.sets.items()
        if new.members != held.sets[name].members
    }
    return changes if _safe_in_place(changes, desired) else None


def _safe_in_place(changes: MemberChanges, desired: Ruleset) -> bool:
    """Is every mixture of old and new lookups as strict as the old or the new policy?

    Within one tier lookups are joined by OR. For ``allow`` any hit is one of the old or of the new
    policy. For a tier that denies, a member that moves from one set to another could be missed in
    both; if members are only added or only removed it cannot. Between tiers nothing is sure: a
    new member could be missed by the tier that denies and then be found by the one that allows.
    """
    if not desired.blocks:
        return True
    for direction in DIRECTIONS:
        names = [n for n in changes if any(d == direction for d, _tier in desired.uses[n])]
        tiers = {tier for n in names for d, tier in desired.uses[n] if d == direction}
        if len(tiers) > 1:
            return False
        denies = tiers & {"override_deny", "deny"}
        removed = any(changes[name][0] for name in names)
        added = any(changes[name][1] for name in names)
        if denies and removed and added:
            return False
    return True


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


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:24]


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
        for proto in (*PORT_PROTOCOLS, _ICMP[family]) if service.proto == -1 else (service.proto,):
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
        merged = list(_merged(ports[proto]))
        # A range has its own rule: as part of a set it would make it an interval set, which the
        # kernel switches later than the rules.
        single = [str(first) for first, last in merged if first == last]
        if single:
            lines.append(f"meta l4proto {proto} {key} {{ {', '.join(single)} }} ")
        lines += [
            f"meta l4proto {proto} {key} {first}-{last} " for first, last in merged if first != last
        ]
    return lines


def _service_ranges(service: Service, proto: int, has_type: bool) -> Iterator[tuple[int, int]]:
    """Ranges of the 16 bits that name a service within ``proto``; none when it cannot match."""
    if service.port is not None:
        if proto in PORT_PROTOCOLS and not has_type:
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


def _lifelines(
    endpoints: Iterable[Endpoint],
    sets: dict[str, AddressSet],
    uses: dict[str, set[tuple[Direction, Tier]]],
) -> Iterator[str]:
    """Rules that come before the policy; their sets are added to ``sets`` and ``uses``."""
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
        uses[name] = {("out", "lifeline")}
        yield (
            f"{_peer('out', family)} @{name} meta l4proto {proto} ct reply proto-src {port} "
            f"{_decide(bits, 'allowed')}"
        )
