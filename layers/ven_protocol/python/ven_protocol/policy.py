"""The policy that a VEN enforces: a document of rules over named address sets, and its deltas.

Rules never hold addresses. An address that comes or goes changes one set, and a delta says only
that. The etag is the hash of the document's canonical bytes: two VENs with one etag enforce the
same thing, and a body that does not hash to its etag is refused.
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


class PolicyDocument(Message, frozen=True, kw_only=True, omit_defaults=False):
    """Everything one VEN enforces, complete in itself. Every field is sent: a VEN must be able to
    tell a version that it does not know."""

    version: int = POLICY_DOCUMENT_VERSION
    mode: EnforcementMode
    visibility: VisibilityLevel
    block_ipv6_in_full: bool = False
    """IPv6 is dropped whole while the mode is ``full`` (else it follows the rules)."""
    sets: dict[str, list[str]]
    """Set id to members: addresses (``10.1.2.3``), prefixes (``10.0.0.0/8``) and ranges
    (``10.0.0.5-10.0.0.9``), canonical, sorted as text, without repeats. An empty list
    selects nothing."""
    rules: list[Rule]


class SetDelta(Message, frozen=True, kw_only=True):
    """Change of one set's members."""

    added: list[str] = []
    removed: list[str] = []


class PolicyDelta(Message, frozen=True, kw_only=True):
    """From the document named ``base`` to the one named ``etag``. Absent means unchanged."""

    base: str
    mode: EnforcementMode | None = None
    visibility: VisibilityLevel | None = None
    block_ipv6_in_full: bool | None = None
    sets: dict[str, SetDelta] = {}
    """Changed sets; a set that the base lacks counts as empty there."""
    dropped_sets: list[str] = []
    rules: list[Rule] | None = None
    """All rules of the new document, when any differs."""


class PolicyReply(Message, frozen=True, kw_only=True):
    """200 reply to GET .../policy: exactly one of ``document`` and ``delta``."""

    etag: str
    document: PolicyDocument | None = None
    delta: PolicyDelta | None = None


class DeltaMismatch(Exception):
    """A delta does not fit the document it is applied to; fetch the whole document instead."""


_ENCODER = msgspec.json.Encoder(order="sorted")


def policy_etag(document: PolicyDocument) -> str:
    """Name of exactly this policy: 128 bits of SHA-256 over its canonical JSON, in hex."""
    return hashlib.sha256(_ENCODER.encode(document)).hexdigest()[:32]


def policy_delta(base: PolicyDocument, new: PolicyDocument) -> PolicyDelta:
    """The smallest delta that turns ``base`` into ``new``; pure, linear in the members."""
    sets: dict[str, SetDelta] = {}
    for set_id, members in new.sets.items():
        old = set(base.sets.get(set_id, ()))
        now = set(members)
        if old != now or set_id not in base.sets:
            sets[set_id] = SetDelta(added=sorted(now - old), removed=sorted(old - now))
    return PolicyDelta(
        base=policy_etag(base),
        mode=new.mode if new.mode != base.mode else None,
        visibility=new.visibility if new.visibility != base.visibility else None,
        block_ipv6_in_full=(
            new.block_ipv6_in_full if new.block_ipv6_in_full != base.block_ipv6_in_full else None
        ),
        sets=sets,
        dropped_sets=sorted(base.sets.keys() - new.sets.keys()),
        rules=new.rules if new.rules != base.rules else None,
    )


def apply_delta(base: PolicyDocument, delta: PolicyDelta, etag: str) -> PolicyDocument:
    """The document named ``etag``; raises :class:`DeltaMismatch` when it does not come out."""
    sets = {name: list(members) for name, members in base.sets.items()}
    for name in delta.dropped_sets:
        sets.pop(name, None)
    for name, change in delta.sets.items():
        members = set(sets.get(name, ())).difference(change.removed).union(change.added)
        sets[name] = sorted(members)
    document = PolicyDocument(
        version=base.version,
        mode=base.mode if delta.mode is None else delta.mode,
        visibility=base.visibility if delta.visibility is None else delta.visibility,
        block_ipv6_in_full=(
            base.block_ipv6_in_full
            if delta.block_ipv6_in_full is None
            else delta.block_ipv6_in_full
        ),
        sets=sets,
        rules=base.rules if delta.rules is None else delta.rules,
    )
    found = policy_etag(document)
    if found != etag:
        raise DeltaMismatch(f"delta from {delta.base} gives {found}, expected {etag}")
    return document
