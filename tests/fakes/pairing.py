"""A VEN that pairs, for tests of what the management API then shows."""

import uuid
from dataclasses import dataclass
from typing import Any

from pce.runtime.wiring import Wiring
from pce.usecases.activate_ven import activate_ven
from tests.fakes.api import Api
from ven_protocol.messages import Activate, HostFacts, Interface
from ven_protocol.paths import AgentToken


@dataclass(frozen=True)
class PairedVen:
    """One machine, paired."""

    id: uuid.UUID
    href: str
    workload_href: str
    token: AgentToken


def pair(
    api: Api, stores: Wiring, hostname: str = "web-1", now: int = 1_800_000_000, **wish: Any
) -> PairedVen:
    """Pair a machine with the org's first activation code, or the one in ``wish``."""
    activated = activate_ven(
        Activate(
            activation_code=wish.pop("activation_code", api.created["activation_code"]),
            host=HostFacts(hostname=hostname, version="1.2.3-4", os_id="debian-12"),
            interfaces=[Interface(name="eth0", address="10.0.0.7", cidr_block=24)],
            **wish,
        ),
        stores,
        now,
    )
    token = AgentToken.parse(activated.agent_token)
    assert token is not None
    return PairedVen(token.ven_id, activated.ven_href, activated.workload_href, token)
