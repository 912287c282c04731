"""POST .../flows: a window of flow summaries, and a heartbeat with it."""

from pce.errors import Invalid, Problem
from pce.runtime.clock import now_s
from pce.runtime.http import (
    Reply,
    Request,
    agent_of,
    http_function,
    inflated_body,
    json_reply,
)
from pce.runtime.wiring import wiring
from pce.usecases.ingest_flows import ingest_flows
from ven_protocol.flow_columns import FlowBatchError
from ven_protocol.flows import decode_batch
from ven_protocol.limits import MAX_FLOW_BODY_BYTES, MAX_INFLATED_BYTES


@http_function
def handler(request: Request) -> Reply:
    """200 with how many summaries were stored (0 for a batch that was stored before)."""
    token = agent_of(request)
    body = inflated_body(request, MAX_FLOW_BODY_BYTES, MAX_INFLATED_BYTES)
    try:
        batch = decode_batch(body)
    except FlowBatchError as error:
        raise Invalid(Problem("invalid_flow_batch", str(error), error.field)) from error
    return json_reply(200, ingest_flows(token, batch, wiring(), now_s()))
