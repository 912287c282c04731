"""Store a window of flow summaries. The post is a heartbeat too.

The heartbeat comes first because its write is what authenticates. When the process dies before
the batch is stored, the VEN gets no answer and posts the same batch again; when it dies after, the
second post meets the first one's item. Its arrival is noted last, for the streams, and noted again
when it is posted again: a note may have been lost with the first answer.
"""

from pce.flows.admission import admit
from pce.flows.batch import pack_parts
from pce.flows.directory import knowing_the_reporter
from pce.flows.drops import without_dropped
from pce.identifiers import OrgId
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.stores import Stores
from ven_protocol.flows import FlowBatch
from ven_protocol.messages import FlowsAccepted
from ven_protocol.paths import AgentToken, container_workload_id


def ingest_flows(token: AgentToken, batch: FlowBatch, stores: Stores, now: int) -> FlowsAccepted:
    """Record the heartbeat, then store the batch under its VEN and sequence number.

    A batch that was stored before is acknowledged and not stored again. What the org's traffic
    collector settings drop is accepted and not stored. Three writes, and a read of the directory
    and of these settings every half minute. Raises :class:`Unauthenticated`, or :class:`Invalid`
    for a window that lies too far in the past or the future: a VEN with a wrong clock is alive, but
    its flows cannot be placed.
    """
    reply = record_heartbeat(token, batch.heartbeat, stores, now)
    admit(batch, now)
    org_id = OrgId(token.org_id)
    posted, duplicate = len(batch), False
    if posted:
        batch = without_dropped(batch, stores.flow_drops.of(org_id))
    if len(batch):
        reporter = token.ven_id
        if batch.container:
            reporter = container_workload_id(reporter, batch.container)
        directory = knowing_the_reporter(stores.directory.load(org_id), batch, reporter)
        parts = pack_parts(batch, reporter, directory)
        duplicate = not stores.flows.put(org_id, token.ven_id, batch.seq, batch.end, parts)
        stores.arrivals.note(org_id, token.ven_id, batch.seq, batch.end, len(parts), now)
    return FlowsAccepted(
        accepted=0 if duplicate else posted,
        duplicate=duplicate,
        heartbeat=reply,
    )
