"""Compute an org's policy from its present state and tell every VEN whose policy became another.

The change log says only that there is work; the work is always "recompute from what is stored".
So it may run twice, late, or be killed after any single write:

1. read the change log, then the state; compute
2. write the documents (named by their content), then the address directory
3. name each VEN's new target, unless a later compile has done so
4. queue a bolt for every VEN that has a connection and another policy than before
5. only now let documents expire that no VEN has as target any more: were it done before step 3,
   a compile that died in between, followed by a change back, would leave a document to expire that
   VENs are still to hold
6. last, delete the change-log entries of step 1

A change that is committed after step 1 stays in the log, and its own wake-up runs this again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pce.identifiers import OrgId
from pce.policy.estate_from_documents import estate_from_documents
from pce.policy.recompute import recompute
from pce.presence.record import Presence
from pce.store.presence import PresenceStore
from pce.store.queues import BoltBatch, BoltOrder
from pce.usecases.stores import Stores


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one compile did, for its log line and metric."""

    org_id: OrgId
    changes: int
    lag_s: float
    """Age of the oldest change when its effects were all written."""
    workloads: int
    retargeted: int
    bolts: int
    problems: int


def compile_policy(org_id: OrgId, stores: Stores, clock: Callable[[], float]) -> Compiled:
    """Bring an org's computed policy up to date. Cost: reads the whole org; writes one item per
    distinct policy that is new and one per VEN whose target changes."""
    objects, presence, policies = stores.objects, stores.presence, stores.policies
    log = objects.change_log(org_id)
    number = policies.begin_compile(org_id)
    workloads = [stored.document for stored in objects.all_of(org_id, "workloads")]
    workloads = [workload for workload in workloads if not workload.get("deleted")]
    labels = [stored.document for stored in objects.all_of(org_id, "labels")]
    _, documents = stores.policy_versions.active_documents(org_id)
    recomputed = recompute(estate_from_documents(workloads, labels, documents))

    etags = recomputed.etags()
    rows = presence.all_of(org_id)
    targeted = {row.target_etag for row in rows if row.target_etag}
    wanted = {etags[id]: document for id, document in recomputed.documents.items()}
    for etag in sorted(wanted.keys() - targeted):
        policies.put_document(org_id, etag, wanted[etag])
    stores.directory.save(org_id, workloads, labels)
    orders = list(_retarget(org_id, presence, rows, etags, number))
    bolts = [order for order in orders if order.connection_id]
    if bolts:
        batch = BoltBatch(org_id, bolts, log[-1].reason if log else "")
        stores.queues.send_bolts([(batch, 0)])
    for etag in sorted(targeted - wanted.keys()):
        policies.retire_document(org_id, etag, int(clock()))
    objects.drain_change_log(org_id, (entry.id for entry in log))
    return Compiled(
        org_id=org_id,
        changes=len(log),
        lag_s=clock() - log[0].epoch_ms / 1000 if log else 0.0,
        workloads=len(workloads),
        retargeted=len(orders),
        bolts=len(bolts),
        problems=len(recomputed.problems),
    )


def _retarget(
    org_id: OrgId,
    presence: PresenceStore,
    rows: Iterable[Presence],
    etags: Mapping[str, str],
    number: int,
) -> Iterable[BoltOrder]:
    for row in rows:
        etag = etags.get(str(row.ven_id))
        if etag is None or etag == row.target_etag:
            continue
        connection_id = presence.set_target(org_id, row.ven_id, etag, number)
        if connection_id is not None:
            yield BoltOrder(
                ven_id=str(row.ven_id),
                connection_id=connection_id,
                etag=etag,
            )
