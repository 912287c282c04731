"""POST .../heartbeat: a VEN is up. One conditional write, and nothing else unless it changed."""

from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, agent_of, http_function, json_body, json_reply
from pce.runtime.wiring import wiring
from pce.usecases.record_heartbeat import record_heartbeat
from ven_protocol.messages import Heartbeat


@http_function
def handler(request: Request) -> Reply:
    """200 with what the VEN should hold and do; 401 for a token that is not valid."""
    token = agent_of(request)
    heartbeat = json_body(request, Heartbeat)
    return json_reply(200, record_heartbeat(token, heartbeat, wiring(), now_s()))
