"""What a VEN is told once: where its data lies, who it is, where its PCE is."""

import uuid
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ven_protocol.messages import Activated, Settings
from ven_protocol.paths import AgentToken, ven_path

DEFAULT_DATA_DIRECTORY = Path("/opt/ven_data")
DATA_DIRECTORY_VARIABLE = "VEN_DATA_DIR"

VERSION = "25.2.0"
"""Version of the VEN software; the same as in ``ven/pyproject.toml``. It is numbered like that of
the PCE, which concludes from it what a VEN can do: one before 20.2.0 is told to let all IPv6
pass."""


class InvalidServer(ValueError):
    """A management server that is not ``HOST:PORT``."""


class Server(Struct, frozen=True):
    """The PCE's address as the operator writes it."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Server":
        """``HOST:PORT``, ``HOST`` (port 443) or ``[IPV6]:PORT``; raises :class:`InvalidServer`."""
        host, colon, port = text.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = text, "443"
        host = host.removeprefix("[").removesuffix("]")
        if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
            raise InvalidServer(f"management server {text!r}: give it as HOST:PORT")
        return cls(host, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Identity(Struct, frozen=True, kw_only=True):
    """Who this VEN is, from the activation; kept in one file that only its owner may read."""

    server: str
    """``HOST:PORT``."""
    ca_file: str = ""
    """The only authority to trust; empty means the host's own."""
    ven_href: str
    workload_href: str
    agent_token: str
    kerberos: bool = False
    """A refused token is renewed by a ticket of the host's."""
    settings: Settings
    containers: bool = False
    """This is a container host of a container cluster."""
    runtime_roots: tuple[str, ...] = ()
    """Where its container runtimes keep their state; empty means the usual places."""

    @property
    def ven_id(self) -> uuid.UUID:
        """The VEN's identifier; it is also the last part of its href."""
        return self._token().ven_id

    def path(self, resource: str) -> str:
        """Path of one of this VEN's resources, for example ``heartbeat``."""
        token = self._token()
        return ven_path(token.org_id, token.ven_id, resource)

    def _token(self) -> AgentToken:
        token = AgentToken.parse(self.agent_token)
        if token is None:
            raise ValueError("the stored agent token is damaged: activate this VEN again")
        return token

    def __repr__(self) -> str:
        return f"Identity(server={self.server!r}, ven_href={self.ven_href!r}, agent_token=...)"


def reactivated(identity: Identity, activated: Activated) -> Identity:
    """The identity that a machine has after it was paired anew with the same PCE."""
    return replace(
        identity,
        ven_href=activated.ven_href,
        workload_href=activated.workload_href,
        agent_token=activated.agent_token,
        settings=activated.settings,
    )
