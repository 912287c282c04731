"""POST /ven/v1/activate and .../clone: a machine becomes a VEN."""

from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, agent_of, http_function, json_body, json_reply
from pce.runtime.wiring import wiring
from pce.usecases.activate_ven import activate_ven
from pce.usecases.reactivate_clone import reactivate_clone
from ven_protocol.messages import Activate, Reactivate


@http_function
def handler(request: Request) -> Reply:
    """201 with hrefs, agent token and settings; 401 says what is wrong with the code."""
    if request.path.endswith("/clone"):
        token, clone = agent_of(request), json_body(request, Reactivate)
        made = reactivate_clone(token, clone, wiring(), now_s(), request.source_ip)
        return json_reply(201, made)
    wish = json_body(request, Activate)
    return json_reply(201, activate_ven(wish, wiring(), now_s(), request.source_ip))
