"""The presence row of a VEN, and the letters that it is stored with."""

import uuid
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pce.identifiers import OrgId

Status = Literal["active", "suspended", "stopped"]
Flag = Literal["noted", "warned", "alarmed", "offline", "lost", "cloned"]
VenType = Literal["server", "endpoint", "containerized"]

STATUS_LETTERS: dict[str, Status] = {"a": "active", "u": "suspended", "x": "stopped"}
FLAG_LETTERS: dict[str, Flag] = {
    "n": "noted",
    "w": "warned",
    "a": "alarmed",
    "o": "offline",
    "l": "lost",
    "c": "cloned",
}
TYPE_LETTERS: dict[str, VenType] = {"s": "server", "e": "endpoint", "c": "containerized"}

STATUS_LETTER_OF = {status: letter for letter, status in STATUS_LETTERS.items()}
TYPE_LETTER_OF = {ven_type: letter for letter, ven_type in TYPE_LETTERS.items()}
_FLAG_LETTER_OF = {flag: letter for letter, flag in FLAG_LETTERS.items()}

SILENT: frozenset[Flag] = frozenset({"noted", "warned", "alarmed", "offline", "lost"})
"""Flags that end with the next sign of life."""


class Clocks(NamedTuple):
    """What a VEN is told that another may not be."""

    heartbeat_s: int
    """Seconds between heartbeats."""
    flows_s: int
    """Seconds between flow posts."""
    token_required: bool = False
    """Local commands that stop or weaken it need a maintenance token."""


BOLT_PATIENCE_S = 60
"""A bolt that nothing has followed for so long was lost, or its VEN spreads its fetch."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What the PCE remembers of one VEN's life signs. Times are epoch seconds."""

    org_id: OrgId
    ven_id: uuid.UUID
    last_heartbeat: int
    status: Status = "active"
    flags: frozenset[Flag] = frozenset()
    """What was already raised, so that it is raised once: ``noted``, ``warned``, ``alarmed``
    (missed heartbeats, by severity), ``offline`` (out of its peers' policy), ``lost`` (lost-agent
    message seen), ``cloned`` (two machines use its identity)."""
    goodbye_at: int | None = None
    """When it said goodbye, until it is heard again or the goodbye timer runs out."""
    unpaired_at: int | None = None
    """When a person unpaired it, until it confirms or the uninstall timer runs out."""
    ven_type: VenType = "server"
    clocks: Clocks | None = None
    """Its own heartbeat and flow intervals; None: those of the installation."""
    instance: bytes = b""
    """Which machine, and which boot of it, was heard last; empty when it did not say."""
    earlier_instance: bytes = b""
    """The one before. A machine that boots leaves it for good; two that take turns come back."""
    uptime_s: int = 0
    target: str = ""
    """Narrow name of the policy that the VEN should hold; empty while none was computed."""
    wide_slots: int = 0
    """Wide parts that belong to it: bit n is the part in slot n of the org's wide head."""
    wide_since: int = 0
    """Generation of the wide head that came with the target. Before that head is there the two do
    not fit together, and the VEN goes on with what it holds."""
    applied_etag: str = ""
    facts_hash: bytes = b""
    """Hash of the host facts in the last heartbeat: a difference means something to store."""
    connection_id: str = ""
    """Bolt connection, or empty."""
    bolt_at: int | None = None
    """When a bolt was queued for it that neither a fetch nor a heartbeat has followed yet."""
    static: bool = False
    """A policy newer than the applied one waits until a person has it applied."""
    apply_asked: bool = False
    """A person has said so, and the VEN has not reported one since."""
    host: uuid.UUID | None = None
    """Of a container workload: the VEN that it runs on, which is the one that is heard."""
    actions: str = ""
    """Pending actions (``pce.presence.actions``)."""
    upgrade_expires_at: int | None = None
    """When an upgrade that it was told to do should be done."""

    @property
    def keeps_policy(self) -> bool:
        """Whether it goes on with the policy that it has applied, whatever is newer."""
        return self.static and not self.apply_asked and bool(self.applied_etag)

    def awaits_bolt(self, now: int) -> bool:
        """Whether a bolt is under way that makes another needless: its fetch brings what is newest
        by then."""
        return self.bolt_at is not None and now - self.bolt_at < BOLT_PATIENCE_S

    def wants_bolt(self, now: int) -> bool:
        """Whether a bolt would reach it, and tell it something."""
        return bool(self.connection_id) and not self.keeps_policy and not self.awaits_bolt(now)


def flags_text(flags: frozenset[Flag]) -> str:
    """Flags as they are stored: their letters, sorted."""
    return "".join(sorted(_FLAG_LETTER_OF[flag] for flag in flags))


def flags_of(text: str) -> frozenset[Flag]:
    """The flags in a stored text; letters of a newer release are ignored."""
    return frozenset(FLAG_LETTERS[letter] for letter in text if letter in FLAG_LETTERS)


def clocks_text(clocks: Clocks) -> str:
    """Clocks as they are stored: the character between the two says whether a token is required.
    The row has no byte to spare."""
    return f"{clocks.heartbeat_s}{_TOKEN if clocks.token_required else _NO_TOKEN}{clocks.flows_s}"


def clocks_of(text: str) -> Clocks | None:
    """The clocks in a stored text; empty is None."""
    if not text:
        return None
    between = _TOKEN if _TOKEN in text else _NO_TOKEN
    heartbeat_s, _, flows_s = text.partition(between)
    return Clocks(int(heartbeat_s), int(flows_s), between == _TOKEN)


_NO_TOKEN, _TOKEN = ",", "m"
