"""Where a VEN's presence item lies. Apart from its users so that none imports the other."""

import uuid
from typing import NamedTuple

from pce.identifiers import OrgId

SHARDS = 16
"""Partitions of an org: 100,000 VENs write 333 times a second, a partition takes 1,000."""


class PresenceKey(NamedTuple):
    """Partition and sort key of one item."""

    partition: str
    sort: bytes


def presence_key(org_id: OrgId, ven_id: uuid.UUID) -> PresenceKey:
    """The key of one VEN; its shard comes from the random part of its UUID."""
    return PresenceKey(f"{org_id}#{ven_id.bytes[15] % SHARDS:02x}", ven_id.bytes)


def presence_partitions(org_id: OrgId) -> list[str]:
    """All partitions of an org, for reading its VENs."""
    return [f"{org_id}#{shard:02x}" for shard in range(SHARDS)]
