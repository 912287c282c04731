"""Local commands that stop or weaken the VEN need a maintenance token, where the org wants that.

The token is checked against the digests that the PCE has told this VEN, so it opens also while the
PCE is away. This keeps people from taking the VEN down by habit; whoever is root on the host and
means to can kill it and remove its table, which the PCE is told as missed heartbeats and tampering.
"""

import logging
import time

from ven.configuration import Identity
from ven.edge.files import DataDirectory
from ven.edge.http import RequestFailed
from ven_protocol.messages import Tampering

_log = logging.getLogger("ven.agent")


class TokenRefused(Exception):
    """No maintenance token, or none that is good."""


def require_token(data: DataDirectory, identity: Identity, command: str, token: str) -> None:
    """Raise :class:`TokenRefused`, and tell the PCE (best effort), unless ``token`` is good or none
    is needed."""
    if not identity.settings.maintenance_token_required:
        return
    now = time.time()
    if token and any(accepted.opens(token, now) for accepted in data.maintenance_tokens()):
        return
    why = "the maintenance token is wrong or has expired" if token else "no maintenance token"
    _tell(identity, f"ven {command}: {why}")
    raise TokenRefused(
        f"{why}: an operator gets one from the PCE (POST {identity.ven_href}/maintenance_token)."
        f" Then run 'ven --maintenance-token TOKEN {command}'. The VEN learns of a token with its"
        " next heartbeat"
    )


def _tell(identity: Identity, detail: str) -> None:
    from ven.activation import connected

    message = Tampering(kind="agent", num_reverts=0, revert_succeeded=True, detail=detail)
    try:
        with connected(identity) as pce:
            pce.tampering(message)
    except RequestFailed as error:
        _log.warning("the PCE was not told of a refused command: %s", error)
