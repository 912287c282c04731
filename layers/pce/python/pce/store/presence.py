"""The presence table: one compact item per VEN.

A sign of life is one conditional UpdateItem: the condition checks the token's hash, so that
authentication and write are one request, and the old item that comes back tells what changed.
It goes through ``store/dynamodb.py``: pynamodb would double the cold start of the hot functions.

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

import hashlib
import hmac
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pce.errors import Problem, Unauthenticated
from pce.identifiers import OrgId
from pce.policy.parts import Target, split_etag
from pce.presence.record import (
    STATUS_LETTERS,
    TYPE_LETTERS,
    Clocks,
    Presence,
    clocks_of,
    clocks_text,
    flags_of,
)
from pce.store.dynamodb import ConditionFailed, DynamoDB, Item, Value
from pce.store.presence_key import presence_key, presence_partitions
from ven_protocol.paths import AgentToken

_STAGED, _TO_BE_APPLIED = "1", "2"
"""Values of ``sp``."""
_SWEEP_ATTRIBUTES = "p, v, hb, st, fl, gb, un, ty, iv, ci, ux"


def token_hash(secret: str) -> bytes:
    """What is stored of a secret of 256 random bits; no salt is needed at that size."""
    return hashlib.sha256(secret.encode()).digest()


class PresenceStore:
    """Reads and writes presence items. One instance per function environment."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def sign_of_life(
        self,
        token: AgentToken,
        now: int,
        *,
        applied_etag: str | None = None,
        uptime_s: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        remove: tuple[str, ...] = (),
    ) -> Presence:
        """Authenticate a VEN and record that it was heard; returns the item as it was before.

        ``attributes`` and ``remove`` change further attributes (DynamoDB form) in the same
        request. A goodbye is withdrawn. Exactly one write request, whether it succeeds or not.
        Raises :class:`Unauthenticated` when the token is not the VEN's (any more); then nothing
        was changed.
        """
        values: dict[str, Any] = {"hb": {"N": str(now)}}
        if applied_etag is not None:
            values["ae"] = _etag_value(applied_etag)
        if uptime_s is not None:
            values["up"] = {"N": str(uptime_s)}
        values.update(attributes or {})
        hashed = token_hash(token.secret)
        removed = () if "gb" in values else ("gb",)
        old = self._update(
            token.org_id,
            token.ven_id,
            values,
            removed + remove,
            condition="th = :th OR tn = :th",
            condition_values={":th": {"B": hashed}},
        )
        if old is None:
            raise Unauthenticated(
                Problem(
                    "invalid_agent_token",
                    "this agent token is not valid (any more); pair the workload again",
                )
            )
        if "tn" in old and hmac.compare_digest(old["tn"].B, hashed):
            # The refreshed token has been used: from now on the former one is void.
            promote = {"th": {"B": hashed}}
            self._update(
                token.org_id, token.ven_id, promote, ("tn",), condition="attribute_exists(tn)"
            )
        return _presence(old)

    def get(self, org_id: OrgId, ven_id: uuid.UUID) -> Presence | None:
        """One VEN's row, read strongly, or None."""
        item = self._get(org_id, ven_id)
        return None if item is None else _presence(item)

    def get_many(self, org_id: OrgId, ven_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Presence]:
        """The rows of these VENs (none named twice) that exist, read strongly; one request per
        100."""
        keys = [_key(org_id, ven_id) for ven_id in ven_ids]
        rows = map(_presence, self._dynamodb.get_all(self._table, keys, strongly=True))
        return {row.ven_id: row for row in rows}

    def all_of(self, org_id: OrgId) -> list[Presence]:
        """All VENs and container workloads of an org, read strongly; 16 queries side by side would
        not be cheaper."""
        return [
            _presence(item)
            for partition in presence_partitions(org_id)
            for page in self._dynamodb.pages(
                "Query",
                TableName=self._table,
                KeyConditionExpression="p = :p",
                ExpressionAttributeValues={":p": {"S": partition}},
                ConsistentRead=True,
            )
            for item in page
        ]

    def bolt_rows(self, partition: str) -> list[Presence]:
        """VENs of one partition (of ``presence_partitions``) that have a bolt connection and wide
        parts, and container workloads with wide parts, with what a wave needs, read strongly."""
        return [
            _presence(item)
            for page in self._dynamodb.pages(
                "Query",
                TableName=self._table,
                KeyConditionExpression="p = :p",
                ExpressionAttributeValues={":p": {"S": partition}},
                FilterExpression="attribute_exists(ws)"
                " AND (attribute_exists(ci) OR attribute_exists(ho))",
                ProjectionExpression="p, v, hb, ci, te, ws, ae, bo, sp, ho",
                ConsistentRead=True,
            )
            for item in page
        ]

    def all_for_sweep(self) -> Iterator[Presence]:
        """Every VEN of every org, eventually consistent, with what a sweep needs.

        Half a read unit per 4 KB: 2,500 for 100,000 VENs. A stale row does no harm, since every
        transition is written on condition that the row is still as it was read.
        """
        for page in self._dynamodb.pages(
            "Scan",
            TableName=self._table,
            ProjectionExpression=_SWEEP_ATTRIBUTES,
            FilterExpression="attribute_not_exists(ho)",  # containers are heard through their host
        ):
            yield from map(_presence, page)

    def set_target(
        self,
        org_id: OrgId,
        ven_id: uuid.UUID,
        target: Target,
        compile_number: int,
        now: int,
        wide_since: int = 0,
    ) -> Presence | None:
        """Name the policy that a VEN should hold, unless a later compile has; returns the row as it
        was before, or None when nothing was written. ``wide_since``: the generation of the wide
        head that is about to replace the present one together with this; 0 when none is.

        Notes that a bolt is queued at ``now``, unless one is under way or the policy waits for a
        person. One write; another where the bolt before went unanswered for long.
        """
        values: dict[str, Any] = {"te": _etag_value(target.name), "cs": {"N": str(compile_number)}}
        if target.slots:
            values["ws"] = {"B": _bits(target.slots)}
        if target.slots and wide_since:
            values["wg"] = {"N": str(wide_since)}
        removed = {"ws", "wg"} - values.keys()
        if target.static:
            first = {"sp": {"N": _STAGED}}
        else:
            first = {"bo": {"N": str(now)}}
            removed.add("sp")
        old = self._update(
            org_id,
            ven_id,
            values,
            tuple(sorted(removed)),
            condition="attribute_exists(th) AND (attribute_not_exists(cs) OR cs < :n)",
            condition_values={":n": {"N": str(compile_number)}},
            first=first,
        )
        before = None if old is None else _presence(old)
        if before and before.bolt_at is not None and not before.awaits_bolt(now):
            lost = {":bo": {"N": str(before.bolt_at)}}
            again = {"bo": {"N": str(now)}}
            self._update(org_id, ven_id, again, (), condition="bo = :bo", condition_values=lost)
        return before

    def ask_to_apply(self, org_id: OrgId, ven_id: uuid.UUID, now: int) -> Presence | None:
        """Let a VEN have the policy that waits for a person, until it reports one; returns the row
        as it is now, or None when nothing waits. Notes that a bolt is queued. One write."""
        old = self._update(
            org_id,
            ven_id,
            {"sp": {"N": _TO_BE_APPLIED}, "bo": {"N": str(now)}},
            (),
            condition="attribute_exists(sp)",
        )
        return None if old is None else replace(_presence(old), apply_asked=True, bolt_at=None)

    def stop_applying(self, org_id: OrgId, ven_id: uuid.UUID) -> None:
        """What is newer than what the VEN has reported waits again. One write."""
        values = {"sp": {"N": _STAGED}}
        self._update(org_id, ven_id, values, (), condition="attribute_exists(sp)")

    def answer_bolt(self, org_id: OrgId, ven_id: uuid.UUID, connection_id: str) -> Presence | None:
        """The bolt that is under way for a VEN is about to tell all that a fetch would: whatever
        changes from now on needs another. Returns the row as it was read by this, or None when the
        VEN has another connection. One write."""
        old = self._update(
            org_id,
            ven_id,
            {},
            ("bo",),
            condition="ci = :ci",
            condition_values={":ci": {"S": connection_id}},
        )
        return None if old is None else _presence(old)

    def drop_connection(
        self, org_id: OrgId, ven_id: uuid.UUID, connection_id: str, heard_before: int
    ) -> bool:
        """Forget a bolt connection, unless the VEN has opened another meanwhile; whether it was
        forgotten.

        A VEN that was heard at or after ``heard_before`` (epoch seconds) keeps it: API Gateway
        calls a connection gone as long as it is still being opened.
        """
        old = self._update(
            org_id,
            ven_id,
            {},
            ("ci",),
            condition="ci = :ci AND hb < :hb",
            condition_values={":ci": {"S": connection_id}, ":hb": {"N": str(heard_before)}},
        )
        return old is not None

    def set_earlier_instance(self, org_id: OrgId, ven_id: uuid.UUID, instance: bytes) -> None:
        """Remember which machine and boot was heard before the last one."""
        values = {"mp": {"B": instance}}
        self._update(org_id, ven_id, values, (), condition="attribute_exists(p)")

    def set_facts_hash(self, org_id: OrgId, ven_id: uuid.UUID, facts_hash: bytes) -> None:
        """Remember which host facts are stored in the workload."""
        values = {"fh": {"B": facts_hash}}
        self._update(org_id, ven_id, values, (), condition="attribute_exists(p)")

    def set_clocks(
        self, org_id: OrgId, ven_id: uuid.UUID, before: Clocks | None, clocks: Clocks | None
    ) -> bool:
        """Give a VEN other clocks if they still are ``before``; whether that was so."""
        old = self._update(
            org_id,
            ven_id,
            {} if clocks is None else {"iv": {"S": clocks_text(clocks)}},
            ("iv",) if clocks is None else (),
            condition="attribute_exists(p) AND "
            + ("attribute_not_exists(iv)" if before is None else "iv = :old"),
            condition_values={} if before is None else {":old": {"S": clocks_text(before)}},
        )
        return old is not None

    def set_actions(self, org_id: OrgId, ven_id: uuid.UUID, expected: str, actions: str) -> bool:
        """Replace the pending actions if they still are ``expected``; whether that was so."""
        known = "ac = :old" if expected else "(attribute_not_exists(ac) OR ac = :old)"
        old = self._update(
            org_id,
            ven_id,
            {"ac": {"S": actions}},
            (),
            condition=f"attribute_exists(p) AND {known}",
            condition_values={":old": {"S": expected}},
        )
        return old is not None

    def put_container(self, org_id: OrgId, id: uuid.UUID, host: AgentToken, now: int) -> None:
        """Make the row of a container workload, or give the one that is there its host's present
        token. One write; safe to repeat."""
        values = {
            "th": {"B": token_hash(host.secret)},
            "ho": {"B": host.ven_id.bytes},
            "hb": {"N": str(now)},
        }
        self._update(org_id, id, values, ("tn",), condition="attribute_not_exists(ty)")

    def delete(self, org_id: OrgId, ven_id: uuid.UUID) -> None:
        """Remove a VEN's row: its token is void from now on. Safe to repeat."""
        self._dynamodb.call("DeleteItem", TableName=self._table, Key=_key(org_id, ven_id))

    def _get(self, org_id: OrgId, ven_id: uuid.UUID) -> Item | None:
        key = _key(org_id, ven_id)
        return self._dynamodb.call(
            "GetItem", TableName=self._table, Key=key, ConsistentRead=True
        ).item

    def _update(
        self,
        org_id: int,
        ven_id: uuid.UUID,
        values: Mapping[str, Any],
        remove: tuple[str, ...],
        condition: str,
        condition_values: Mapping[str, Any] | None = None,
        first: Mapping[str, Any] | None = None,
    ) -> Item | None:
        """One conditional UpdateItem; the item before it, or None when the condition failed.

        ``first``: attributes to set where there are none yet.
        """
        first = first or {}
        sets = [f"{name} = :_{name}" for name in values]
        sets += [f"{name} = if_not_exists({name}, :_{name})" for name in first]
        expression = "SET " + ", ".join(sets) if sets else ""
        if remove:
            expression += " REMOVE " + ", ".join(remove)
        bound = {f":_{name}": value for name, value in {**values, **first}.items()}
        bound.update(condition_values or {})
        parameters: dict[str, Any] = {"ExpressionAttributeValues": bound} if bound else {}
        try:
            reply = self._dynamodb.call(
                "UpdateItem",
                TableName=self._table,
                Key=_key(org_id, ven_id),
                UpdateExpression=expression.strip(),
                ConditionExpression=condition,
                ReturnValues="ALL_OLD",
                **parameters,
            )
        except ConditionFailed:
            return None
        return reply.attributes


def _key(org_id: int, ven_id: uuid.UUID) -> dict[str, Any]:
    key = presence_key(OrgId(org_id), ven_id)
    return {"p": {"S": key.partition}, "v": {"B": key.sort}}


def _etag_value(etag: str) -> dict[str, Any]:
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


def _bits(slots: int) -> bytes:
    return slots.to_bytes((slots.bit_length() + 7) // 8, "little")


def _presence(item: Item) -> Presence:
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
        apply_asked="sp" in item and item["sp"].N == _TO_BE_APPLIED,
        host=uuid.UUID(bytes=item["ho"].B) if "ho" in item else None,
        actions=text("ac"),
        upgrade_expires_at=number("ux") or None,
    )
