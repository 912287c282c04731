"""A VEN whose agent token is refused gets another one by a code: instead of uninstalling it.

Who may edit the workload opens the way for a while and gets a code, once; it is handed to the host,
where ``ven recover`` shows it. Nothing else would prove who asks: what a host knows of itself, such
as its machine id, others can read too.
"""

import hmac
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pce.errors import Conflict, NotFound, Problem, Unauthenticated
from pce.events.journal import Notification
from pce.identifiers import OrgId
from pce.objects.api_key import secret_hash
from pce.objects.fields import Integer, Shape
from pce.store.change import Change, PresenceChange, Put
from pce.store.presence import token_hash
from pce.timestamps import rfc3339
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords, ven_action
from pce.usecases.vens_in_bulk import Target, on_each
from ven_protocol.messages import RecoveryCode, TokenRefreshed
from ven_protocol.paths import AgentToken

CODES = "recovery_codes"
DEFAULT_S = 3_600
LONGEST_S = 7 * 86_400
"""How long a code is good for: an hour; at most a week, for hosts that somebody has to visit."""

_SHAPE = Shape({"expires_in_seconds": Integer(60, LONGEST_S)})


def open_recovery(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """A code for each VEN, shown once: ``{"recovery_codes": [{"href", "code", "expires_at"}],
    "errors": [...]}``. A new code takes the place of an older one; the token that the VEN has, if
    it is a good one, stays good until the code is used. Raises :class:`Invalid`."""
    said = _SHAPE.clean(body if isinstance(body, Mapping) else {})
    expires_at = caller.now_s + (said.get("expires_in_seconds") or DEFAULT_S)
    codes: list[dict[str, str]] = []

    def act(batch: Sequence[Target]) -> None:
        made = {target.ven.id: secrets.token_hex(32) for target in batch}
        known = stores.objects.get_many(caller.org_id, CODES, list(made))
        puts = tuple(
            Put(
                CODES,
                id,
                {"code_hash": secret_hash(code), "expires_at": expires_at},
                known[id].rev if id in known else None,
                ttl=expires_at,
            )
            for id, code in made.items()
        )
        until = Notification("vens.authentication_recovery", {"expires_at": rfc3339(expires_at)})
        event = caller.journal(stores, 200).event(
            "vens.authentication_recovery",
            severity="warning",
            changes=[target.changed for target in batch],
            notifications=[until],
        )
        stores.objects.commit(Change(caller.org_id, puts=puts, events=(event,)))
        codes.extend(
            {
                "href": str(target.ven.document["href"]),
                "code": made[target.ven.id],
                "expires_at": rfc3339(expires_at),
            }
            for target in batch
        )

    result = on_each(caller, body, stores, act, _why_not)
    return {"recovery_codes": codes, **result}


def _why_not(target: Target) -> Problem | None:
    if target.row is None:
        message = f"{target.ven.document['href']} is being uninstalled; pair the host anew"
        return Problem("ven_uninstalled", message)
    return None


def recover_by_code(
    org_id: OrgId, ven_id: uuid.UUID, shown: RecoveryCode, stores: Stores, now: int, source_ip: str
) -> TokenRefreshed:
    """A new token for the VEN that the code was made for; the code and the former token are void.
    Raises :class:`Unauthenticated`, with one message whatever is wrong."""
    try:
        records = VenRecords.read(stores, org_id, ven_id)
    except NotFound as error:
        raise _refused() from error
    stored = stores.objects.get(org_id, CODES, str(ven_id))
    code: dict[str, Any] = stored.document if stored else {"code_hash": "0" * 64, "expires_at": 0}
    fits = hmac.compare_digest(str(code["code_hash"]), secret_hash(shown.code))
    if stored is None or not fits or now >= code["expires_at"]:
        raise _refused()
    token = AgentToken.new(org_id, ven_id)
    recovered = Notification("agent.authentication_recovered", {"by": "recovery_code"})
    event = records.journal(stores, now, ven_action("POST", 200, source_ip)).event(
        "agent.refresh_token", severity="warning", notifications=[recovered]
    )
    used = Put(CODES, stored.id, {**code, "expires_at": 0}, stored.rev, ttl=now)
    renewed = PresenceChange(ven_id, token_hash=token_hash(token.secret))
    try:
        stores.objects.commit(records.change((used,), [event], renewed))
    except Conflict as error:  # used at the same time, or replaced
        raise _refused() from error
    return TokenRefreshed(agent_token=str(token))


def _refused() -> Unauthenticated:
    message = (
        "this recovery code is not this VEN's, was used or has expired; ask for another one with"
        " PUT vens/authentication_recovery"
    )
    return Unauthenticated(Problem("recovery_code_refused", message, "code"))
