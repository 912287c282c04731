"""Give a VEN the policy that it should hold: nothing new, a delta, or the whole document."""

from pce.errors import NotFound, Problem
from pce.presence.record import Presence
from pce.store.policies import PolicyStore
from ven_protocol.policy import PolicyReply, policy_delta, policy_digest


def fetch_policy(row: Presence, held_etag: str, policies: PolicyStore) -> PolicyReply | None:
    """The reply for a VEN that holds ``held_etag`` ("" for none); None when that is current.

    A delta when the held document is still stored, else the document. Cost: at most two reads, and
    none for documents that this function environment has seen.
    """
    if row.target_etag and row.target_etag == held_etag:
        return None
    document = policies.document(row.org_id, row.target_etag) if row.target_etag else None
    if document is None:
        raise NotFound(
            Problem(
                "policy_not_computed",
                "no policy has been computed for this VEN yet; keep what you enforce and ask again"
                " with the next heartbeat",
            )
        )
    held = policies.document(row.org_id, held_etag) if held_etag else None
    if held is None:
        return PolicyReply(etag=row.target_etag, digest=policy_digest(document), document=document)
    delta = policy_delta(held, document)
    return PolicyReply(etag=row.target_etag, digest=policy_digest(document), delta=delta)
