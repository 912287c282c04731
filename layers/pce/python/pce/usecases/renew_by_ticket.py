"""A VEN whose agent token is refused shows a Kerberos ticket and gets another token."""

import base64
import binascii
import uuid

from pce.errors import Invalid, NotAllowed, NotFound, Problem, Unauthenticated, Unavailable
from pce.identifiers import OrgId
from pce.store.change import PresenceChange
from pce.store.kerberos import NoKerberos, TicketRefused, principal_of
from pce.store.presence import token_hash
from pce.usecases.set_keytab import keytab_key
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords, ven_action
from ven_protocol.messages import Ticket, TokenRefreshed
from ven_protocol.paths import AgentToken


def renew_by_ticket(
    org_id: OrgId, ven_id: uuid.UUID, shown: Ticket, stores: Stores, now: int, source_ip: str = ""
) -> TokenRefreshed:
    """A new token for the VEN whose workload has the ticket's principal as its
    ``service_principal_name``. The former one is void.

    Raises :class:`NotAllowed` where that name or the org's keytab is not set,
    :class:`Unauthenticated` for a ticket that does not prove it, :class:`Unavailable` where this
    machine has no Kerberos library.
    """
    try:
        records = VenRecords.read(stores, org_id, ven_id)
    except NotFound as error:
        raise NotAllowed(error.problems[0]) from error
    wanted = records.workload.document.get("service_principal_name")
    keytab = stores.archive.get(keytab_key(org_id)) if wanted else None
    if not wanted or keytab is None:
        message = (
            "Kerberos is not set up for this VEN: its workload needs a service_principal_name, and"
            " the organization a keytab in settings/kerberos"
        )
        raise NotAllowed(Problem("kerberos_not_set_up", message))
    principal = _principal(shown, keytab)
    if principal != wanted:
        message = f"the ticket is {principal}'s, the workload is known as {wanted}"
        raise Unauthenticated(Problem("ticket_of_another", message))
    token = AgentToken.new(org_id, ven_id)
    event = records.journal(stores, now, ven_action("POST", 200, source_ip)).event(
        "agent.refresh_token"
    )
    renewed = PresenceChange(ven_id, token_hash=token_hash(token.secret))
    stores.objects.commit(records.change((), [event], renewed))
    return TokenRefreshed(agent_token=str(token))


def _principal(shown: Ticket, keytab: bytes) -> str:
    try:
        ticket = base64.b64decode(shown.ticket, validate=True)
    except binascii.Error as error:
        message = f"ticket: this is not base64: {error}"
        raise Invalid(Problem("invalid_attribute", message, "ticket")) from error
    try:
        return principal_of(ticket, keytab)
    except TicketRefused as error:
        raise Unauthenticated(Problem("ticket_refused", f"Kerberos says: {error}")) from error
    except NoKerberos as error:
        raise Unavailable(
            Problem("kerberos_not_available", f"no Kerberos here: {error}")
        ) from error
