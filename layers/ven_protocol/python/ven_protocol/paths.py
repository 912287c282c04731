"""Paths of the VEN API and the form of an agent token. Pure text, no I/O."""

import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass

ACTIVATE = "/ven/v1/activate"
SOFTWARE = "/ven/v1/software/{release}"
VEN_PREFIX = "/ven/v1/orgs/{org_id}/vens/{ven_id}"

_TOKEN = re.compile(r"v1\.(\d{1,9})\.([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")


def ven_path(org_id: int, ven_id: uuid.UUID, resource: str) -> str:
    """Path of one resource of a VEN, for example ``/ven/v1/orgs/1/vens/<uuid>/heartbeat``."""
    return f"{VEN_PREFIX.format(org_id=org_id, ven_id=ven_id)}/{resource}"


def container_workload_id(ven_id: uuid.UUID, container_id: str) -> uuid.UUID:
    """The id of a container workload: made from its host's and the container runtime's (RFC 9562,
    version 8), so that neither side has to be told, and no host can name another's."""
    made = hashlib.sha256(ven_id.bytes + container_id.encode()).digest()[:16]
    value = int.from_bytes(made, "big") & ~(0xF << 76) | 0x8 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


@dataclass(frozen=True, slots=True)
class AgentToken:
    """An agent token taken apart: whose it claims to be, and the secret that proves it.

    The identifiers let the PCE address the one presence item without a look-up; only the secret
    is a secret, and only its hash is stored.
    """

    org_id: int
    ven_id: uuid.UUID
    secret: str

    @classmethod
    def new(cls, org_id: int, ven_id: uuid.UUID) -> "AgentToken":
        """A token with a fresh secret of 256 random bits."""
        return cls(org_id, ven_id, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> "AgentToken | None":
        """The token in ``v1.<org>.<ven uuid hex>.<secret>``, or None when it has another form."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            return None
        return cls(int(match[1]), uuid.UUID(hex=match[2]), match[3])

    def of_container(self, container_id: str) -> "AgentToken":
        """The token by which a container host speaks for one of its container workloads: the same
        secret under that one's id."""
        ven_id = container_workload_id(self.ven_id, container_id)
        return AgentToken(self.org_id, ven_id, self.secret)

    def __str__(self) -> str:
        return f"v1.{self.org_id}.{self.ven_id.hex}.{self.secret}"

    def __repr__(self) -> str:
        return f"AgentToken(org_id={self.org_id}, ven_id={self.ven_id}, secret=...)"
