"""What a VEN would hold."""

import gzip

import msgspec

from pce.presence.record import Presence
from pce.runtime.wiring import Wiring
from pce.usecases.fetch_policy import fetch_policy
from ven_protocol.policy import PolicyDocument, PolicyReply, apply_delta, policy_digest


def fetched(stores: Wiring, row: Presence, held_etag: str = "") -> PolicyReply | None:
    """What the PCE answers; None for 304."""
    answer = fetch_policy(row, held_etag, stores)
    if answer.gzipped is None:
        return None
    return msgspec.json.decode(gzip.decompress(answer.gzipped), type=PolicyReply)


def wanted_document(stores: Wiring, row: Presence | None) -> PolicyDocument:
    """The whole document that a VEN should hold."""
    assert row is not None
    reply = fetched(stores, row)
    assert reply is not None and reply.document is not None
    assert policy_digest(reply.document) == reply.digest
    return reply.document


def followed(held: PolicyDocument, reply: PolicyReply) -> PolicyDocument:
    """What a VEN that holds a document makes of a reply."""
    if reply.document is not None:
        return reply.document
    assert reply.delta is not None and reply.delta.base == policy_digest(held)
    return apply_delta(held, reply.delta, reply.digest)
