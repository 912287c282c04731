"""Audit events in the order of their ids: what streaming reads from. See ``events.py`` for the
other direction."""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pce.identifiers import OrgId, uuid7, uuid7_epoch_ms
from pce.store.compression import unpack_json
from pce.store.dynamodb import DynamoDB

SETTLED_AFTER_S = 70
"""An event is read when its id is older than this: the id's time is when its request or sweep
began, no function that writes events lives longer than 60 s, and clocks differ by less than the
rest. None can appear before what was read."""


class EventLog:
    """Audit events of all orgs, oldest first."""

    def __init__(self, table: str, dynamodb: DynamoDB) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def after(
        self, org_id: OrgId, position: str, now: int, limit: int
    ) -> tuple[list[dict[str, Any]], str]:
        """At most ``limit`` events behind ``position`` that are settled at ``now`` (epoch
        seconds), and the position behind them.

        Without events the position is that of the settled moment's day, so that quiet days are
        not looked at again. One query a day.
        """
        until = first_position(now - SETTLED_AFTER_S)
        last_day = _day(until)
        day = _day(position)
        while day <= last_day:
            reply = self._dynamodb.call(
                "Query",
                TableName=self._table,
                KeyConditionExpression="pk = :p AND sk BETWEEN :after AND :until",
                ExpressionAttributeValues={
                    ":p": {"S": f"{org_id}#{day}"},
                    ":after": {"S": f"{position}!"},  # behind the position itself
                    ":until": {"S": max(until, f"{position}!")},
                },
                Limit=limit,
                ConsistentRead=True,
            )
            if reply.items:
                return [unpack_json(item["body"].B) for item in reply.items], reply.items[-1][
                    "sk"
                ].S
            day += timedelta(days=1)
        midnight = datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC)
        return [], max(position, first_position(int(midnight.timestamp())))


def first_position(epoch_s: int) -> str:
    """Before every event of this second and later ones."""
    return str(uuid7(epoch_s * 1000, bytes(10)))


def position_epoch_s(position: str) -> int:
    """When what is at a position happened."""
    return uuid7_epoch_ms(uuid.UUID(position)) // 1000


def _day(position: str) -> date:
    return datetime.fromtimestamp(position_epoch_s(position), UTC).date()
