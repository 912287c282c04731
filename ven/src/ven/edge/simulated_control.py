"""The control socket of a simulated kernel: other programs let things happen to its host."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
from msgspec import Struct

from ven.edge.simulated import SimulatedKernel
from ven_protocol.messages import InteractiveUser


class _Try(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line to the control socket: a connection is tried."""

    src: str
    dst: str
    proto: int = 6
    port: int
    bytes_to_dst: int = 0
    bytes_to_src: int = 0
    stays_open: bool = False


class _LogOn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line to the control socket: these users are logged on, and no others."""

    users: list[InteractiveUser]


async def serve(kernel: SimulatedKernel, path: Path) -> asyncio.AbstractServer:
    """Let other programs try connections through a Unix socket: one JSON object a line in, one
    ``{"decision": "allowed", "qualifier": 0}`` out; or ``{"error": ...}``. ``{"users": [...]}``
    says who is logged on."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the VEN stops
            await answer_all(reader, writer)
        writer.close()

    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                answer = obey(msgspec.json.decode(line))
            except ValueError as error:
                answer = {"error": str(error)}
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()

    def obey(wish: object) -> dict[str, object]:
        if isinstance(wish, dict) and "users" in wish:
            kernel.users = msgspec.convert(wish, _LogOn).users
            return {"users": len(kernel.users)}
        attempt = msgspec.convert(wish, _Try)
        judgement = kernel.connect(**msgspec.structs.asdict(attempt))
        return {"decision": judgement.decision.name.lower(), "qualifier": judgement.qualifier}

    path.unlink(missing_ok=True)
    return await asyncio.start_unix_server(talk, path)
