"""POST .../ticket: a Kerberos ticket for a new agent token."""

from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, http_function, json_body, json_reply, ven_of
from pce.runtime.wiring import wiring
from pce.usecases.renew_by_ticket import renew_by_ticket
from ven_protocol.messages import Ticket


@http_function
def handler(request: Request) -> Reply:
    """200 with a token; 401 for a ticket that is not this VEN's, 403 where none is expected."""
    org_id, ven_id = ven_of(request)
    shown = json_body(request, Ticket)
    ip = request.source_ip
    return json_reply(200, renew_by_ticket(org_id, ven_id, shown, wiring(), now_s(), ip))
