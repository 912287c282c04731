"""One atomic change of an org, as a value: objects, audit events and change-log entries together.

A use case builds a :class:`Change` and hands it to ``ObjectStore.commit``, which writes it in one
DynamoDB transaction or not at all. So an object never changes without its audit event, and the
policy compiler never misses a change.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pce.identifiers import OrgId
from pce.presence.record import Clocks, Status, VenType

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """Store a document. ``expected_rev`` None means that the object must not exist yet."""

    collection: str
    id: str
    document: Document
    expected_rev: str | None = None
    ttl: int | None = None
    """Epoch seconds after which the item may vanish."""
    org_id: OrgId | None = None
    """Another org than the change's: the installation, for activation codes and API keys."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object that still has this revision."""

    collection: str
    id: str
    expected_rev: str
    org_id: OrgId | None = None
    """As in :class:`Put`."""


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """Conditional change of one VEN's presence item; None leaves an attribute as it is.

    The change happens only while the item's flags still are ``expected_flags`` (and its last
    heartbeat ``expected_heartbeat``, when given), so each transition happens once and a heartbeat
    that races it wins.
    """

    ven_id: uuid.UUID
    expected_flags: str | None = None
    expected_heartbeat: int | None = None
    flags: str | None = None
    status: Status | None = None
    goodbye_at: int | None = None
    """Epoch seconds; 0 removes it."""
    unpaired_at: int | None = None
    """Epoch seconds: from then on only the uninstall timer runs."""
    delete: bool = False
    """The item is removed: the VEN's token is void."""
    token_hash: bytes | None = None
    """New hash; ``b""`` revokes every token."""
    actions: str | None = None
    upgrade_expires_at: int | None = None
    """Epoch seconds; 0 removes it."""
    ven_type: VenType = "server"
    """Used when the item is made."""
    clocks: Clocks | None = None
    """Used when the item is made; later ``PresenceStore.set_clocks`` changes them."""
    create_at: int | None = None
    """Epoch seconds: the item is made (it must not exist) with this as its first heartbeat."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """An entry of the change log: something that policy may depend on has changed."""

    reason: str
    """From a closed list: ``provision``, ``workload``, ``labels``, ``online``, ``offline``,
    ``goodbye``, ``activate``, ``unpair``, ``interfaces``, ``binding``, ``virtual_server``,
    ``settings``, ``containers``, ``unfinished_compile``."""
    hrefs: tuple[str, ...] = ()
    """Of what changed; none: the whole org is read again."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is written together. At most 100 items, events and claims included (DynamoDB)."""

    org_id: OrgId
    puts: tuple[Put, ...] = ()
    deletes: tuple[Delete, ...] = ()
    claims: tuple[str, ...] = ()
    """Names to take, for example ``labels#role#web``; taken already: :class:`Conflict`."""
    releases: tuple[str, ...] = ()
    events: tuple[Document, ...] = ()
    """Complete audit events, from ``pce.events``."""
    policy_changes: tuple[PolicyChange, ...] = ()
    presence: tuple[PresenceChange, ...] = field(default=())
