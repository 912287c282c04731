"""What is planned of bolts: the timetables that pace them, and the waves that wait.

Keys of the policy table
    ``bolts`` / timetable            bolts booked for the account, by the second
    ``<org>#bolts`` / timetable      the same for one org
    ``<org>#bolts`` / tightening     wide parts that changed since the last wave of this kind began
    ``<org>#bolts`` / loosening      the same

Attributes: ``since`` epoch second of the first of ``counts`` (two bytes each, little-endian);
``gen`` and ``slots`` of a wave, ``through`` epoch second of its last bolt.

An item is written on condition that it still is as it was read. Losing one would lose bolts or
their pace, never policy.
"""

import contextlib
import random
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from pce.identifiers import OrgId
from pce.policy.pacing import Timetable, Urgency, book
from pce.store.dynamodb import ConditionFailed, DynamoDB, DynamoDBError, Item

ATTEMPTS = 8
"""A wave's 16 parts book at about the same time; with up to 20 ms * attempt between attempts, each
loses to the others a few times at most."""
WAIT_S = 0.02

Key = dict[str, Any]


class Wave(Struct, frozen=True):
    """Wide parts to announce, and the generation of the wide head that has the last of them."""

    generation: int
    slots: int
    """Bit n: the part in slot n changed."""


class BoltPlans:
    """Timetables and waves. One instance per function environment."""

    def __init__(
        self, table: str, dynamodb: DynamoDB, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._sleep = sleep

    def book(
        self, org_id: OrgId, sizes: Sequence[int], urgency: Urgency, now: int
    ) -> tuple[int | None, ...]:
        """Book batches of bolts; the seconds that each must wait, None for those without room.

        Two reads and one transaction. When others book first again and again the last answer
        counts without having been written: a pace slightly too high is better than no bolts.
        """
        org_key, account_key = _key(f"{org_id}#bolts", "timetable"), _key("bolts", "timetable")
        delays_s: tuple[int | None, ...] = ()
        for attempt in range(ATTEMPTS):
            of_org, of_account = self._get(org_key), self._get(account_key)
            booked = book(_timetable(of_org), _timetable(of_account), sizes, urgency, now)
            delays_s = booked.delays_s
            puts = [
                self._put(org_key, of_org, booked.org),
                self._put(account_key, of_account, booked.account),
            ]
            try:
                self._dynamodb.call("TransactWriteItems", TransactItems=puts)
                break
            except DynamoDBError as error:
                if error.code not in (
                    "TransactionCanceledException",
                    "TransactionConflictException",
                ):
                    raise
                self._sleep(random.random() * WAIT_S * attempt)  # noqa: S311 - spreads load
        return delays_s

    def add_to_wave(self, org_id: OrgId, tightens: bool, generation: int, slots: int) -> int:
        """Add wide parts to the wave that begins next; returns the epoch second until which the
        one before it is under way (0 when there was none). One read and one write."""
        key = _wave_key(org_id, tightens)
        item = None
        for _ in range(ATTEMPTS):
            item = self._get(key)
            waiting = _wave(item)
            more = Wave(max(generation, waiting.generation), slots | waiting.slots)
            values = {":g": {"N": str(more.generation)}, ":s": {"B": slots_bytes(more.slots)}}
            if self._change_wave(key, item, "SET gen = :g, slots = :s", values):
                break
        return int(item["through"].N) if item and "through" in item else 0

    def take_wave(self, org_id: OrgId, tightens: bool) -> Wave | None:
        """Take what waits for this wave, so that nobody else does; None when nothing waits."""
        key = _wave_key(org_id, tightens)
        item = None
        for _ in range(ATTEMPTS):
            item = self._get(key)
            waiting = _wave(item)
            if not waiting.slots:
                return None
            if self._change_wave(key, item, "REMOVE slots", {}):
                return waiting
        return None

    def wave_lasts(self, org_id: OrgId, tightens: bool, through: int) -> None:
        """A part of the wave under way has its last bolt at ``through`` (epoch seconds)."""
        with contextlib.suppress(ConditionFailed):  # another part lasts longer
            self._dynamodb.call(
                "UpdateItem",
                TableName=self._table,
                Key=_wave_key(org_id, tightens),
                UpdateExpression="SET through = :t",
                ConditionExpression="attribute_not_exists(through) OR through < :t",
                ExpressionAttributeValues={":t": {"N": str(through)}},
            )

    def _change_wave(
        self, key: Key, before: Item | None, expression: str, values: dict[str, Any]
    ) -> bool:
        """Whether it was changed, which it is not when it is no longer as in ``before``."""
        condition = "attribute_not_exists(slots)"
        if before and "slots" in before:
            condition = "gen = :_g AND slots = :_s"
            seen = _wave(before)
            values = values | {
                ":_g": {"N": str(seen.generation)},
                ":_s": {"B": slots_bytes(seen.slots)},
            }
        try:
            self._dynamodb.call(
                "UpdateItem",
                TableName=self._table,
                Key=key,
                UpdateExpression=expression,
                ConditionExpression=condition,
                **({"ExpressionAttributeValues": values} if values else {}),
            )
        except ConditionFailed:
            return False
        return True

    def _put(self, key: Key, before: Item | None, timetable: Timetable) -> dict[str, Any]:
        item = {**key, "since": {"N": str(timetable.start)}, "counts": {"B": _packed(timetable)}}
        put = {"TableName": self._table, "Item": item}
        if before is None:
            return {"Put": {**put, "ConditionExpression": "attribute_not_exists(pk)"}}
        seen = {":n": {"N": before["since"].N}, ":c": {"B": before["counts"].B}}
        condition = "since = :n AND counts = :c"
        return {"Put": {**put, "ConditionExpression": condition, "ExpressionAttributeValues": seen}}

    def _get(self, key: Key) -> Item | None:
        return self._dynamodb.call(
            "GetItem", TableName=self._table, Key=key, ConsistentRead=True
        ).item


def slots_bytes(slots: int) -> bytes:
    """A mask of slots as it is stored: the lowest slots in the first byte, no zeros at the end."""
    return slots.to_bytes((slots.bit_length() + 7) // 8, "little")


def slots_of(stored: bytes) -> int:
    """The mask in stored bytes."""
    return int.from_bytes(stored, "little")


def _key(pk: str, sk: str) -> Key:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _wave_key(org_id: OrgId, tightens: bool) -> Key:
    return _key(f"{org_id}#bolts", "tightening" if tightens else "loosening")


def _wave(item: Item | None) -> Wave:
    if item is None or "slots" not in item:
        return Wave(0, 0)
    return Wave(int(item["gen"].N), slots_of(item["slots"].B))


def _timetable(item: Item | None) -> Timetable:
    if item is None:
        return Timetable()
    counts = array("H", item["counts"].B)
    if sys.byteorder == "big":
        counts.byteswap()
    return Timetable(int(item["since"].N), tuple(counts))


def _packed(timetable: Timetable) -> bytes:
    counts = array("H", timetable.taken)
    if sys.byteorder == "big":
        counts.byteswap()
    return counts.tobytes()
