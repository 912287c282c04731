"""POST .../suspend, unsuspend, goodbye, deactivate, token, lost, recovery."""

from pce.errors import NotFound, Problem
from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, agent_of, http_function, json_body, json_reply, ven_of
from pce.runtime.wiring import wiring
from pce.usecases.change_ven_state import (
    deactivate,
    note_lost_agent,
    refresh_token,
    say_goodbye,
    suspend,
    unsuspend,
)
from pce.usecases.recover_authentication import recover_by_code
from ven_protocol.messages import Deactivate, Goodbye, LostAgent, RecoveryCode


@http_function
def handler(request: Request) -> Reply:
    """204 when the state is changed; 200 with a new token for ``token`` and ``recovery``."""
    if request.path.endswith("/recovery"):
        return _recovered(request)
    token, now, ip = agent_of(request), now_s(), request.source_ip
    match request.path.rsplit("/", 1)[-1]:
        case "suspend":
            suspend(token, wiring(), now, ip)
        case "unsuspend":
            unsuspend(token, wiring(), now, ip)
        case "goodbye":
            say_goodbye(token, json_body(request, Goodbye), wiring(), now, ip)
        case "deactivate":
            deactivate(token, json_body(request, Deactivate), wiring(), now, ip)
        case "token":
            return json_reply(200, refresh_token(token, wiring(), now, ip))
        case "lost":
            note_lost_agent(token, json_body(request, LostAgent), wiring(), now, ip)
        case _:
            raise NotFound(Problem("not_found", f"there is nothing at {request.path}"))
    return json_reply(204)


def _recovered(request: Request) -> Reply:
    """The only one that comes without an agent token."""
    org_id, ven_id = ven_of(request)
    shown = json_body(request, RecoveryCode)
    ip = request.source_ip
    return json_reply(200, recover_by_code(org_id, ven_id, shown, wiring(), now_s(), ip))
