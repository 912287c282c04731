"""``ven connectivity-test``: the way to the PCE, step by step, each with its verdict."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from ven.configuration import Identity, Server
from ven.edge.bolts import BoltConnection
from ven.edge.http import PceConnection, Refused, RequestFailed, resolve, trust


@dataclass(frozen=True)
class Step:
    """One step and how it went."""

    name: str
    passed: bool
    detail: str


def steps(identity: Identity, agent_runs: bool) -> Iterator[Step]:
    """Resolve, connect with verified TLS, ask with the agent token, open a bolt connection.

    Stops at the first failure that makes the rest pointless. The PCE sends bolts to a VEN's newest
    connection, so none is opened beside a running agent's.
    """
    server = Server.parse(identity.server)
    try:
        found = resolve(server.host, server.port)
        yield Step("resolve", True, ", ".join(address for address, _ in found))
        context = trust(identity.ca_file)
    except RequestFailed as error:
        yield Step("resolve", False, str(error))
        return
    connection = PceConnection(server, context, identity.agent_token)
    try:
        # A policy that we already have costs the PCE least.
        connection.request("GET", identity.path("policy"), headers={"if-none-match": '"-"'})
        yield Step("request", True, f"{server} answers and knows this VEN")
    except Refused as error:
        yield Step("request", False, str(error))
    except RequestFailed as error:
        yield Step("request", False, str(error))
        return
    finally:
        connection.close()
    if agent_runs:
        yield Step("bolts", True, "not tried, because the running VEN uses them: see 'ven status'")
        return
    try:
        asyncio.run(_open_bolts(identity))
        yield Step("bolts", True, identity.settings.bolts_url)
    except RequestFailed as error:
        yield Step("bolts", False, f"{error} (heartbeats bring everything, only later)")


async def _open_bolts(identity: Identity) -> None:
    bolts = BoltConnection(
        trust(identity.ca_file),
        identity.agent_token,
        on_bolt=lambda bolt: None,
        on_lost=lambda: None,
    )
    try:
        await bolts.open(identity.settings.bolts_url)
    finally:
        await bolts.close()
