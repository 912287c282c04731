"""Give a VEN the policy that it should hold: nothing new, a delta, or the whole document."""

import gzip
import math
from dataclasses import dataclass

import msgspec

from pce.errors import NotFound, Problem, TooLarge, Unavailable
from pce.identifiers import OrgId
from pce.policy.parts import (
    Block,
    ClassPart,
    WideHead,
    assemble,
    etag_of,
    set_versions,
    slots_of,
    split_etag,
    version_name,
)
from pce.presence.record import Presence
from pce.store.address_sets import AddressSets
from pce.store.policies import PolicyStore
from pce.usecases.stores import Stores
from ven_protocol.policy import PolicyDelta, PolicyDocument, PolicyReply, SetDelta, policy_digest

MAX_REPLY_BYTES = 4_400_000
"""Compressed: Lambda answers with at most 6 MB, and base64 takes a third more. 100,000 addresses
take half a megabyte."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a VEN should hold, and how it comes by it."""

    etag: str
    gzipped: bytes | None
    """A :class:`PolicyReply` as compressed JSON; None when the VEN holds the etag."""


@dataclass(frozen=True)
class _State:
    """One policy of one VEN, put together; the members of its sets are JSON."""

    document: PolicyDocument
    versions: dict[str, str]
    """Set id to digest."""


def fetch_policy(
    row: Presence, held_etag: str, stores: Stores, row_read_at: float = -math.inf
) -> Fetched:
    """The policy of a VEN that holds ``held_etag`` ("" for none; any text).

    ``row_read_at``: a moment before the row was read, in seconds of the process's monotonic clock.

    A delta when the held policy is still stored, else the document. Everything is read strongly or
    immutable, so it is never older than what the VEN was told. Raises :class:`NotFound` before the
    first compile, :class:`TooLarge` for what no reply can hold; the VEN keeps what it enforces.

    Class part and wide parts are always of one state of the org, although the compile writes them
    one after the other: see ``Presence.wide_since``.

    Cost: no read when the etag is held and has no wide parts; with wide parts the org's wide head,
    and the row once more when another etag comes out and the head was not known before. Then one
    or two batches of parts for each of both policies, and nothing for what this function
    environment has seen. A reply that was made before costs no more than these.
    """
    if not row.target:
        raise _not_computed()
    if held_etag and row.keeps_policy:
        return Fetched(held_etag, None)
    known_before = stores.policies.known_generation(row.org_id, row_read_at)
    head = stores.policies.wide_head(row.org_id) if row.wide_slots else WideHead()
    etag = etag_of(row.target, row.wide_slots, head)
    if row.wide_slots and etag != held_etag and known_before != head.generation:
        # The head may be newer than the row, and rows are written first: now it is not.
        row = stores.presence.get(row.org_id, row.ven_id) or row
    if row.wide_since > head.generation:
        head = stores.policies.wide_head(row.org_id)
    if row.wide_since > head.generation:
        if not held_etag:
            raise _not_computed()
        return Fetched(held_etag, None)
    return answer(row, head, held_etag, stores)


def answer(row: Presence, head: WideHead, held_etag: str, stores: Stores) -> Fetched:
    """What leads from ``held_etag`` to the target of a row that is of the same state of the org as
    this wide head; compressed once per pair and function environment.

    Raises :class:`TooLarge`, and :class:`Unavailable` when a part is not stored. Cost: reads of
    parts that are not in memory.
    """
    etag = etag_of(row.target, row.wide_slots, head)
    if etag == held_etag:
        return Fetched(etag, None)
    key = (row.org_id, held_etag, etag)
    body = stores.policies.replies.get(key)
    if body is None:
        reply = _reply(row, head, held_etag, etag, stores)
        body = gzip.compress(msgspec.json.encode(reply), 6, mtime=0)  # equal wherever it is made
        if len(body) > MAX_REPLY_BYTES:
            message = (
                f"this VEN's policy takes {len(body)} bytes compressed; at most {MAX_REPLY_BYTES}"
                " fit one reply. Let fewer rules or smaller sets apply to it."
            )
            raise TooLarge(Problem("policy_too_large", message))
        stores.policies.replies.put(key, body)
    return Fetched(etag, body)


def _not_computed() -> NotFound:
    return NotFound(
        Problem(
            "policy_not_computed",
            "no policy has been computed for this VEN yet; keep what you enforce and ask again"
            " with the next heartbeat",
        )
    )


def _reply(row: Presence, head: WideHead, held_etag: str, etag: str, stores: Stores) -> PolicyReply:
    target = _state(row.org_id, row.target, head, stores)
    if target is None:
        message = "a part of this VEN's policy is not stored; keep what you enforce and ask again"
        raise Unavailable(Problem("policy_incomplete", message))
    digest = policy_digest(target.document)
    held = _held(row.org_id, held_etag, head, stores)
    delta = held and _delta(row.org_id, held, target, stores.address_sets)
    if delta:
        return PolicyReply(etag=etag, digest=digest, delta=delta)
    return PolicyReply(etag=etag, digest=digest, document=target.document)


def _held(org_id: OrgId, etag: str, current: WideHead, stores: Stores) -> _State | None:
    """The policy that an etag names, as far as it is still known."""
    named = split_etag(etag)
    if named is None:
        return None
    name, generation = named
    if generation is None:
        return _state(org_id, name, WideHead(), stores)
    part = stores.policies.parts(org_id, [name], ClassPart).get(name)
    if not current.generation:  # not read: what the VEN is to hold has no wide parts
        current = stores.policies.wide_head(org_id)
    head = part and _head_of(org_id, etag, part, generation, current, stores.policies)
    return _state(org_id, name, head, stores) if head else None


def _head_of(
    org_id: OrgId,
    etag: str,
    part: ClassPart,
    generation: int,
    current: WideHead,
    policies: PolicyStore,
) -> WideHead | None:
    """A wide head in which this class part has this etag: the current one, that of the etag's
    generation, or the last before the wide parts that it uses changed again.

    The second expires a week after the next change of any wide part, the third a week after the
    next change of one that this class part uses.
    """
    name = etag.partition(".")[0]

    def fits(head: WideHead | None) -> bool:
        try:
            return head is not None and etag_of(name, slots_of(part, head), head) == etag
        except KeyError:
            return False

    if fits(current):
        return current
    candidates = [generation]
    try:
        now = split_etag(etag_of(name, slots_of(part, current), current))
        if now and now[1]:
            candidates.append(now[1] - 1)
    except KeyError:
        candidates.append(current.generation - 1)
    for candidate in candidates:
        head = policies.former_head(org_id, candidate)
        if fits(head):
            return head
    return None


def _state(org_id: OrgId, name: str, head: WideHead, stores: Stores) -> _State | None:
    """A policy from its parts; None when one of them is not stored (any more)."""
    part = stores.policies.parts(org_id, [name], ClassPart).get(name)
    if part is None:
        return None
    try:
        names = [version_name(id, head.parts[id].digest) for id in part.blocks]
        blocks = stores.policies.parts(org_id, names, Block)
        used = [blocks[name] for name in names]
        versions = set_versions(part, used, head)
        members = stores.address_sets.members(org_id, versions)
        # The members are spliced into the document as the JSON that they are stored as.
        document = assemble(part, used, members)  # type: ignore[arg-type]
    except KeyError:
        return None
    return _State(document, versions)


def _delta(
    org_id: OrgId, held: _State, target: _State, address_sets: AddressSets
) -> PolicyDelta | None:
    """What :func:`~ven_protocol.policy.policy_delta` says of the two documents, from the versions
    of their sets; None when one is not stored (any more)."""
    old, new = held.document, target.document
    sets: dict[str, SetDelta] = {}
    for set_id, members in new.sets.items():
        before, after = held.versions[set_id] if set_id in old.sets else "", target.versions[set_id]
        if not before:
            sets[set_id] = SetDelta(added=members)
        elif before != after:
            change = address_sets.delta(org_id, set_id, before, after)
            if change is None:
                return None
            sets[set_id] = change
    fields = ("mode", "visibility", "firewall", "names", "rules", "not_enforced")
    return PolicyDelta(
        base=policy_digest(old),
        sets=sets,
        dropped_sets=sorted(old.sets.keys() - new.sets.keys()),
        **{name: getattr(new, name) for name in fields if getattr(new, name) != getattr(old, name)},
    )
