"""The policy that a VEN enforces: a document of rules over named address sets, and its deltas.

Rules never hold addresses. An address that comes or goes changes one set, and a delta says only
that. An **etag** names a policy: two VENs with one etag enforce the same thing. It is opaque: the
PCE can name what an org's policy has become without reading any document. The **digest** is the
hash of the document's canonical bytes: a body that does not hash to it is refused.
"""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ven_protocol.messages import EnforcementMode, Message, VisibilityLevel

POLICY_DOCUMENT_VERSION = 1


class Service(Message, frozen=True, kw_only=True):
    """Protocol and ports. ``proto`` -1 is any protocol; without ``port`` any port."""

    proto: Annotated[int, Meta(ge=-1, le=255)]
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    to_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    """Last port of a range, inclusive."""
    icmp_type: Annotated[int, Meta(ge=0, le=255)] | None = None
    icmp_code: Annotated[int, Meta(ge=0, le=255)] | None = None


RuleAction = Literal["override_deny", "allow", "deny"]
"""Tiers, strongest first: override deny, allow, deny, then the mode's default."""


class Rule(Message, frozen=True, kw_only=True):
    """What may (not) pass between this host and the members of ``peers``."""

    id: str
    direction: Literal["in", "out"]
    """``in``: the peers connect to this host. ``out``: this host connects to the peers."""
    action: RuleAction
    peers: list[str]
    """Ids of sets, joined by OR. An empty list selects nobody."""
    services: list[Service]
    """Joined by OR. An empty list selects no traffic."""
    stateless: bool = False


Ipv6Handling = Literal["by_policy", "blocked_in_full", "allowed"]
"""What becomes of IPv6: it follows the rules; or it is dropped whole while the mode is ``full``;
or it is let through whatever the rules say."""


class Firewall(Message, frozen=True, kw_only=True, omit_defaults=False):
    """What the host's firewall does beside the rules."""

    ipv6: Ipv6Handling = "by_policy"
    reject_blocked: bool = False
    """Blocked connections are answered (TCP reset, ICMP administratively prohibited) rather than
    dropped in silence."""
    allow_dhcp_client: bool = True
    """This host may get its address by DHCP (v4 and v6), whatever the rules say."""
    allow_traceroute: bool = True
    """ICMP time exceeded and destination unreachable may pass, whatever the rules say."""
    allow_igmp: bool = True
    """This host may join multicast groups by IGMP, whatever the rules say. MLD always passes: IPv6
    needs it to find its neighbours."""
    order: Literal["first", "last"] = "first"
    """Whether this policy is asked before other software's rules on this host or after them. A
    packet passes when nobody drops it; what another drops first is in no traffic log."""
    containers: Literal["untouched", "by_policy"] = "untouched"
    """Traffic that this host forwards to and from its containers: none of the policy's business, or
    judged by the host's rules, the container's end being the host's."""
    updates: Literal["adaptive", "static"] = "adaptive"
    """``static``: a newer policy waits at the PCE until a person has it applied."""


class PolicyDocument(Message, frozen=True, kw_only=True, omit_defaults=False):
    """Everything one VEN enforces, complete in itself. Every field is sent: a VEN must be able to
    tell a version that it does not know."""

    version: int = POLICY_DOCUMENT_VERSION
    mode: EnforcementMode
    visibility: VisibilityLevel
    firewall: Firewall = Firewall()
    sets: dict[str, list[str]]
    """Set id to members: addresses (``10.1.2.3``), prefixes (``10.0.0.0/8``) and ranges
    (``10.0.0.5-10.0.0.9``), canonical, sorted as text, without repeats. An empty list
    selects nothing."""
    names: dict[str, list[str]] = {}
    """Set id to domain names whose addresses this host adds to the set, as it resolves them:
    ``www.example.com``, or ``*.example.com`` for every name below. Each set is in ``sets`` too."""
    rules: list[Rule]
    not_enforced: list[str] = []
    """Hrefs of custom iptables rules that are meant for this host. It has nftables: it enforces
    none of them, and says so."""


class SetDelta(Message, frozen=True, kw_only=True):
    """Change of one set's members."""

    added: list[str] = []
    removed: list[str] = []


class PolicyDelta(Message, frozen=True, kw_only=True):
    """From the document whose digest is ``base`` to the reply's. Absent means unchanged."""

    base: str
    mode: EnforcementMode | None = None
    visibility: VisibilityLevel | None = None
    firewall: Firewall | None = None
    sets: dict[str, SetDelta] = {}
    """Changed sets; a set that the base lacks counts as empty there."""
    dropped_sets: list[str] = []
    names: dict[str, list[str]] | None = None
    """All names of the new document, when any differs."""
    rules: list[Rule] | None = None
    """All rules of the new document, when any differs."""
    not_enforced: list[str] | None = None


class PolicyReply(Message, frozen=True, kw_only=True):
    """200 reply to GET .../policy: exactly one of ``document`` and ``delta``."""

    etag: str
    """Opaque; what the VEN says when it asks again, and once it has applied this."""
    digest: str
    """:func:`policy_digest` of the document, or of what the delta leads to."""
    document: PolicyDocument | None = None
    delta: PolicyDelta | None = None


class DeltaMismatch(Exception):
    """A delta does not fit the document it is applied to; fetch the whole document instead."""


_ENCODER = msgspec.json.Encoder(order="sorted")


def policy_digest(document: PolicyDocument) -> str:
    """Hash of exactly this policy: 128 bits of SHA-256 over its canonical JSON, in hex."""
    return hashlib.sha256(_ENCODER.encode(document)).hexdigest()[:32]


_WHOLE = ("mode", "visibility", "firewall", "names", "rules", "not_enforced")
"""Fields that a delta carries whole when they differ."""


def policy_delta(base: PolicyDocument, new: PolicyDocument) -> PolicyDelta:
    """The smallest delta that turns ``base`` into ``new``; pure, linear in the members."""
    sets: dict[str, SetDelta] = {}
    for set_id, members in new.sets.items():
        old = set(base.sets.get(set_id, ()))
        now = set(members)
        if old != now or set_id not in base.sets:
            sets[set_id] = SetDelta(added=sorted(now - old), removed=sorted(old - now))
    differing = {
        name: getattr(new, name) for name in _WHOLE if getattr(new, name) != getattr(base, name)
    }
    return PolicyDelta(
        base=policy_digest(base),
        sets=sets,
        dropped_sets=sorted(base.sets.keys() - new.sets.keys()),
        **differing,
    )


def apply_delta(base: PolicyDocument, delta: PolicyDelta, digest: str) -> PolicyDocument:
    """The document of this digest; raises :class:`DeltaMismatch` when it does not come out. 10 ms
    of CPU for 100,000 members, however few change."""
    sets = {name: list(members) for name, members in base.sets.items()}
    for name in delta.dropped_sets:
        sets.pop(name, None)
    for name, change in delta.sets.items():
        moved = {*change.removed, *change.added}
        stay = [member for member in sets.get(name, ()) if member not in moved]
        # What stays is in order, and sorting finds that: much less work than ordering a set.
        sets[name] = sorted([*stay, *sorted({*change.added})])
    whole = {
        name: getattr(base if getattr(delta, name) is None else delta, name) for name in _WHOLE
    }
    document = PolicyDocument(version=base.version, sets=sets, **whole)
    found = policy_digest(document)
    if found != digest:
        raise DeltaMismatch(f"delta from {delta.base} gives {found}, expected {digest}")
    return document
