"""The presence table: one compact item per VEN.

A sign of life is one conditional UpdateItem: the condition checks the token's hash, so that
authentication and write are one request, and the old item that comes back tells what changed.
It goes through ``store/dynamodb.py``: pynamodb would double the cold start of the hot functions.
``presence_item.py`` says what the attributes mean.
"""

import hashlib
import hmac
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pce.errors import Problem, Unauthenticated
from pce.identifiers import OrgId
from pce.policy.parts import Target
from pce.presence.record import Clocks, Presence, clocks_text
from pce.store.dynamodb import ConditionFailed, DynamoDB, Item
from pce.store.presence_item import (
    STAGED,
    TO_BE_APPLIED,
    bits,
    etag_value,
    item_key,
    presence_of,
)
from pce.store.presence_key import presence_partitions
from ven_protocol.paths import AgentToken

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
            values["ae"] = etag_value(applied_etag)
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
        return presence_of(old)

    def get(self, org_id: OrgId, ven_id: uuid.UUID) -> Presence | None:
        """One VEN's row, read strongly, or None."""
        item = self._get(org_id, ven_id)
        return None if item is None else presence_of(item)

    def get_many(self, org_id: OrgId, ven_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Presence]:
        """The rows of these VENs (none named twice) that exist, read strongly; one request per
        100."""
        keys = [item_key(org_id, ven_id) for ven_id in ven_ids]
        rows = map(presence_of, self._dynamodb.get_all(self._table, keys, strongly=True))
        return {row.ven_id: row for row in rows}

    def all_of(self, org_id: OrgId) -> list[Presence]:
        """All VENs and container workloads of an org, read strongly; 16 queries side by side would
        not be cheaper."""
        return self._all_of(org_id)

    def signs_of(self, org_id: OrgId) -> list[Presence]:
        """As :meth:`all_of`, with status and last heartbeat alone: what lists are filtered by."""
        return self._all_of(org_id, ProjectionExpression="p, v, hb, st")

    def _all_of(self, org_id: OrgId, **parameters: str) -> list[Presence]:
        return [
            presence_of(item)
            for partition in presence_partitions(org_id)
            for page in self._dynamodb.pages(
                "Query",
                TableName=self._table,
                KeyConditionExpression="p = :p",
                ExpressionAttributeValues={":p": {"S": partition}},
                ConsistentRead=True,
                **parameters,
            )
            for item in page
        ]

    def bolt_rows(self, partition: str) -> list[Presence]:
        """VENs of one partition (of ``presence_partitions``) that have a bolt connection and wide
        parts, and container workloads with wide parts, with what a wave needs, read strongly."""
        return [
            presence_of(item)
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
            yield from map(presence_of, page)

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
        values: dict[str, Any] = {"te": etag_value(target.name), "cs": {"N": str(compile_number)}}
        if target.slots:
            values["ws"] = {"B": bits(target.slots)}
        if target.slots and wide_since:
            values["wg"] = {"N": str(wide_since)}
        removed = {"ws", "wg"} - values.keys()
        if target.static:
            first = {"sp": {"N": STAGED}}
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
        before = None if old is None else presence_of(old)
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
            {"sp": {"N": TO_BE_APPLIED}, "bo": {"N": str(now)}},
            (),
            condition="attribute_exists(sp)",
        )
        return None if old is None else replace(presence_of(old), apply_asked=True, bolt_at=None)

    def stop_applying(self, org_id: OrgId, ven_id: uuid.UUID) -> None:
        """What is newer than what the VEN has reported waits again. One write."""
        values = {"sp": {"N": STAGED}}
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
        return None if old is None else presence_of(old)

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
        self._dynamodb.call("DeleteItem", TableName=self._table, Key=item_key(org_id, ven_id))

    def _get(self, org_id: OrgId, ven_id: uuid.UUID) -> Item | None:
        key = item_key(org_id, ven_id)
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
                Key=item_key(org_id, ven_id),
                UpdateExpression=expression.strip(),
                ConditionExpression=condition,
                ReturnValues="ALL_OLD",
                **parameters,
            )
        except ConditionFailed:
            return None
        return reply.attributes
