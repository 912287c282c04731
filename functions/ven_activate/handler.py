"""POST /ven/v1/activate: an activation code becomes an identity."""

from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, http_function, json_body, json_reply
from pce.runtime.wiring import wiring
from pce.usecases.activate_ven import activate_ven
from ven_protocol.messages import Activate


@http_function
def handler(request: Request) -> Reply:
    """201 with hrefs, agent token and settings; 401 says what is wrong with the code."""
    wish = json_body(request, Activate)
    return json_reply(201, activate_ven(wish, wiring(), now_s(), request.source_ip))
