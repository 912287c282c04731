"""The form of a presence item.

Attributes (short, since every byte is read by every sweep): ``p`` ``v`` key, ``hb`` last
heartbeat, ``up`` uptime, ``st`` status letter, ``fl`` flag letters, ``gb`` goodbye time, ``un``
when it was unpaired, ``ty`` type letter, ``iv`` its own clocks (seconds, ``heartbeat,flows``, with
``m`` for the comma where a maintenance token is required), ``mi`` the machine and boot that was
heard last, ``mp`` the one before, ``th`` token hash, ``tn`` hash of a refreshed token that was not
used yet, ``te`` target: the narrow name of its policy, ``ws`` wide parts that belong to it (a bit
a slot, the lowest first), ``wg`` generation of the wide head that came with them, ``cs`` number of
the compile that set these, ``ae`` applied etag, ``fh`` hash of host facts, ``ci`` bolt connection,
``bo`` when a bolt was queued that no request has followed yet, ``sp`` policy waits for a person:
1, who has not said so yet, or 2, who has; ``ac`` pending actions, ``ux`` when the upgrade among
them expires, ``ho`` host of a container workload. The row of a container workload has no heartbeat
of its own and no connection: it names what the container should hold and holds, under its host's
token.
"""

import uuid
from typing import Any

from pce.identifiers import OrgId
from pce.policy.parts import split_etag
from pce.presence.record import STATUS_LETTERS, TYPE_LETTERS, Presence, clocks_of, flags_of
from pce.store.dynamodb import Item, Value
from pce.store.presence_key import presence_key

STAGED, TO_BE_APPLIED = "1", "2"
"""Values of ``sp``."""


def item_key(org_id: int, ven_id: uuid.UUID) -> dict[str, Any]:
    """The key of a row, in DynamoDB's form."""
    key = presence_key(OrgId(org_id), ven_id)
    return {"p": {"S": key.partition}, "v": {"B": key.sort}}


def etag_value(etag: str) -> dict[str, Any]:
    """An etag of ours in half its length, as bytes; what a VEN says instead as text."""
    named = split_etag(etag)
    if named is None:
        return {"S": etag}
    packed, generation = bytes.fromhex(named[0]), named[1]
    if generation is not None:
        packed += generation.to_bytes(max(1, (generation.bit_length() + 7) // 8), "big")
    return {"B": packed} if _etag_in(Value(B=packed)) == etag else {"S": etag}


def _etag_in(value: Value) -> str:
    if not value.B:
        return value.S
    name, generation = value.B[:16].hex(), value.B[16:]
    return f"{name}.{int.from_bytes(generation, 'big')}" if generation else name


def bits(slots: int) -> bytes:
    """Wide parts by their bits, as they are stored."""
    return slots.to_bytes((slots.bit_length() + 7) // 8, "little")


def presence_of(item: Item) -> Presence:
    """The row in an item, of which some attributes may not have been read."""

    def text(name: str) -> str:
        return item[name].S if name in item else ""

    def number(name: str) -> int:
        return int(item[name].N) if name in item else 0

    return Presence(
        org_id=OrgId(int(item["p"].S.partition("#")[0])),
        ven_id=uuid.UUID(bytes=item["v"].B),
        last_heartbeat=number("hb"),
        status=STATUS_LETTERS.get(text("st"), "active"),
        flags=flags_of(text("fl")),
        goodbye_at=number("gb") or None,
        unpaired_at=number("un") or None,
        ven_type=TYPE_LETTERS.get(text("ty"), "server"),
        clocks=clocks_of(text("iv")),
        instance=item["mi"].B if "mi" in item else b"",
        earlier_instance=item["mp"].B if "mp" in item else b"",
        uptime_s=number("up"),
        target=_etag_in(item["te"]) if "te" in item else "",
        wide_slots=int.from_bytes(item["ws"].B, "little") if "ws" in item else 0,
        wide_since=number("wg"),
        applied_etag=_etag_in(item["ae"]) if "ae" in item else "",
        facts_hash=item["fh"].B if "fh" in item else b"",
        connection_id=text("ci"),
        bolt_at=number("bo") or None,
        static="sp" in item,
        apply_asked="sp" in item and item["sp"].N == TO_BE_APPLIED,
        host=uuid.UUID(bytes=item["ho"].B) if "ho" in item else None,
        actions=text("ac"),
        upgrade_expires_at=number("ux") or None,
    )
